import math
from pathlib import Path

import pytest

from training.data.fields import check_nul, read_n, read_number, read_score, split_list
from training.data.table import Problems


@pytest.fixture
def problems(tmp_path: Path) -> Problems:
    return Problems(tmp_path / "given.csv")


def test_a_list_is_split_at_bars_and_empty_parts_are_dropped() -> None:
    assert split_list(" tools | vision||") == ("tools", "vision")
    assert split_list("") == ()


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
