import math
from pathlib import Path

import pytest

from training.data.fields import check_nul, read_n, read_number, read_score, split_capabilities, split_list
from training.data.table import Problems


@pytest.fixture
def problems(tmp_path: Path) -> Problems:
    return Problems(tmp_path / "given.csv")


def test_a_list_is_split_at_bars_and_empty_parts_are_dropped() -> None:
    assert split_list(" tools | vision||") == ("tools", "vision")
    assert split_list("") == ()


def test_capabilities_are_in_lower_case_and_in_any_usual_list() -> None:
    assert split_capabilities("Tools |VISION,, web search;reasoning") == ("tools", "vision", "web search", "reasoning")
    assert split_capabilities('["tools", "vision"]') == split_capabilities("{'tools', 'vision'}") == ("tools", "vision")
    assert split_capabilities("tools/vision + reasoning") == ("tools", "vision", "reasoning")
    assert split_capabilities(" | ") == ()


@pytest.mark.parametrize(
    ("text", "decimal_comma", "value"),
    [("0,85", False, 0.85), ("12,5", False, 12.5), ("0,125", False, 0.125), ("1,234", True, 1.234), ("1.5", True, 1.5)],
)
def test_a_comma_may_stand_before_decimals(problems: Problems, text: str, *, decimal_comma: bool, value: float) -> None:
    assert read_number(2, "cost_usd", text, problems, decimal_comma=decimal_comma) == value
    assert problems.count == 0


@pytest.mark.parametrize(
    ("text", "decimal_comma"), [("1,234", False), ("1,234,567", True), ("1.234,5", True), ("85%", False), ("$2", False)]
)
def test_a_number_that_may_mean_another_is_refused(problems: Problems, text: str, *, decimal_comma: bool) -> None:
    assert math.isnan(read_number(2, "cost_usd", text, problems, decimal_comma=decimal_comma))
    assert f"got '{text}'; correct it (digits only, and a dot before decimals)" in problems.lines[0]


def test_an_empty_number_is_unknown_and_no_mistake(problems: Problems) -> None:
    assert math.isnan(read_number(2, "cost_usd", " ", problems))
    assert math.isnan(read_score(2, "score", "", problems))
    assert math.isnan(read_n(2, "", problems))
    assert problems.count == 0


@pytest.mark.parametrize("text", ["-1", "inf", "nan", "good"])
def test_a_wrong_number_is_reported_and_becomes_unknown(problems: Problems, text: str) -> None:
    assert math.isnan(read_number(2, "cost_usd", text, problems))
    assert f"row 2: cost_usd must be a finite number of at least 0, got '{text}'" in problems.lines[0]


def test_a_message_shows_only_the_beginning_of_a_field(problems: Problems) -> None:
    read_number(2, "score", "secret " * 20, problems)
    assert problems.lines[0].count("secret") <= 6


def test_columns_with_nul_are_named(problems: Problems) -> None:
    check_nul(3, {"prompt": "a\0b", "task": "qa"}, problems)
    assert "row 3: fields must not contain NUL characters, found in ['prompt']; remove them" in problems.lines[0]
