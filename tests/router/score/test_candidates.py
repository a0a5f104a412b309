import pytest

from router.score.candidates import find_unable
from tests.router.fakes import model

SMALL = model("small", context_window=1000)
LARGE = model("large", context_window=8000, capabilities=frozenset({"vision", "tools"}))
OPEN = model("open", capabilities=frozenset({"vision"}))  # its window is unknown


def unable(*models: object, needs: tuple[str, ...] = (), tokens: int = 10) -> dict[str, str]:
    return find_unable({m.name: m for m in models}, needs=frozenset(needs), tokens=tokens)  # type: ignore[attr-defined]


def test_a_short_request_without_needs_fits_every_model() -> None:
    assert unable(SMALL, LARGE, OPEN) == {}


def test_a_model_that_lacks_a_capability_is_named_with_all_that_it_lacks() -> None:
    assert unable(SMALL, LARGE, OPEN, needs=("vision", "tools")) == {"small": "lacks tools, vision", "open": "lacks tools"}


@pytest.mark.parametrize(("tokens", "excluded"), [(1000, []), (1001, ["small"]), (8000, ["small"])])
def test_a_model_whose_window_is_too_small_is_excluded(tokens: int, excluded: list[str]) -> None:
    assert list(unable(SMALL, LARGE, tokens=tokens)) == excluded


def test_the_reason_names_the_request_and_the_window() -> None:
    assert unable(SMALL, LARGE, tokens=1500) == {"small": "needs about 1500 tokens, its context window has 1000"}


def test_an_unknown_window_holds_any_request() -> None:
    assert list(unable(SMALL, LARGE, OPEN, tokens=10**9)) == ["small", "large"]


def test_a_request_that_fits_no_window_leaves_the_largest_ones() -> None:
    twin = model("twin", context_window=8000)
    assert list(unable(SMALL, LARGE, twin, tokens=10**9)) == ["small"]


def test_a_model_that_lacks_a_capability_does_not_count_as_the_largest_window() -> None:
    assert unable(SMALL, LARGE, needs=("audio",), tokens=5000).keys() == {"small", "large"}
    seeing = model("seeing", context_window=500, capabilities=frozenset({"vision"}))
    assert unable(SMALL, seeing, needs=("vision",), tokens=5000) == {"small": "lacks vision"}


def test_no_models_are_not_an_error() -> None:
    assert unable() == {}
