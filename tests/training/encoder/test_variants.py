from random import Random

import pytest

from training.encoder.variants import add_typos, drop_marks, move_request

TEXT = "please explain the difference between these two words, and why people often confuse them"


def rng(seed: int = 0) -> Random:
    return Random(seed)  # noqa: S311 - errors, no secrets


def distance(a: str, b: str) -> int:
    """Return the edit distance with swaps of neighbours (optimal string alignment)."""
    rows = [[max(i, j) if 0 in (i, j) else 0 for j in range(len(b) + 1)] for i in range(len(a) + 1)]
    for i, one in enumerate(a, 1):
        for j, other in enumerate(b, 1):
            rows[i][j] = min(rows[i - 1][j] + 1, rows[i][j - 1] + 1, rows[i - 1][j - 1] + (one != other))
            if i > 1 and j > 1 and (one, a[i - 2]) == (b[j - 2], other):
                rows[i][j] = min(rows[i][j], rows[i - 2][j - 2] + 1)
    return rows[-1][-1]


@pytest.mark.parametrize(("share", "errors"), [(0.0, 1), (0.1, 1), (0.2, 3), (1.0, 14)])
def test_a_share_of_the_words_has_one_error_each(share: float, errors: int) -> None:
    for seed in range(20):
        words = add_typos(TEXT, rng(seed), share=share).split()
        distances = [distance(one, other) for one, other in zip(TEXT.split(), words, strict=True)]
        # A swap of two equal letters changes nothing.
        assert max(distances) <= 1
        assert errors - 2 <= sum(distances) <= errors
        assert all(one[0] == other[0] for one, other in zip(TEXT.split(), words, strict=True))


def test_the_same_draws_give_the_same_errors_and_others_give_others() -> None:
    texts = {add_typos(TEXT, rng(seed)) for seed in range(20)}
    assert len(texts) > 15
    assert add_typos(TEXT, rng(3)) in texts


@pytest.mark.parametrize("text", ["", "42 + 1", "写一首诗", "a b", "ok"])
def test_a_text_without_words_of_letters_stays(text: str) -> None:
    assert add_typos(text, rng()) == text


def test_cyrillic_and_arabic_words_get_errors_too() -> None:
    for text in ("напиши письмо", "اكتب رسالة"):
        changed = {add_typos(text, rng(seed)) for seed in range(10)}
        assert len(changed - {text}) > 3


def test_marks_of_latin_letters_are_dropped_and_those_of_other_scripts_stay() -> None:
    assert drop_marks("žluťoučký kůň, schön, ñandú") == "zlutoucky kun, schon, nandu"
    assert drop_marks("й ё की が 2² ½") == "й ё की が 2² ½"


LONG = [f"{n}" + " and more" * 25 for n in "abcd"]


@pytest.mark.parametrize("separator", ["\n\n", "\n"])
def test_a_short_request_at_an_end_moves_into_the_middle(separator: str) -> None:
    middle = separator.join([*LONG[:2], "shorten this", *LONG[2:]])
    assert move_request(separator.join(["shorten this", *LONG])) == middle
    assert move_request(separator.join([*LONG, "shorten this"])) == middle


@pytest.mark.parametrize(
    "text",
    [
        "",
        "shorten this",
        "shorten this\n\n" + LONG[0],
        "\n\n".join(["ask", "a", "b", "c"]),
        "\n\n".join(["x" * 300, *LONG, "y" * 300]),
    ],
    ids=["empty", "request alone", "one part", "little material", "long parts"],
)
def test_other_texts_stay(text: str) -> None:
    assert move_request(text) == text
