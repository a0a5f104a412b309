import pytest

from tests.training.evaluation.rows import make_row
from training.evaluation.mix import contrast_sets, looks_typed, measure_mix


def test_a_contrast_set_has_at_least_three_tasks() -> None:
    rows = [make_row(f"{group}{task}", task, group=group) for group in "ab" for task in ("qa", "math")]
    assert contrast_sets([*rows, make_row("aw", "writing", group="a")]) == [
        [rows[0], rows[1], make_row("aw", "writing", group="a")]
    ]


@pytest.mark.parametrize(
    ("text", "typed"),
    [
        ("what is it", True),
        ("What is it", True),
        ("What is it?", False),
        ("What is it:", False),
        ("说明一下", True),
        ("说明。", False),
    ],
)
def test_a_text_looks_typed_by_a_small_first_letter_or_a_missing_end_mark(text: str, typed: bool) -> None:
    assert looks_typed(text) == typed


def test_the_mix_is_derived_from_the_text_if_nothing_is_declared() -> None:
    rows = [
        make_row("what is it"),
        make_row("Tell me. " + "word " * 60),
        make_row("Was ist das?", language="de"),
        make_row("what is it then"),
    ]
    shares = {share.name: (share.count, share.n, share.declared) for share in measure_mix(rows)}
    assert shares == {
        "typed": (3, 4, False),
        "pasted": (1, 4, False),
        "languages other than en": (1, 4, True),
        "under 8 words": (3, 4, False),
        "over 400 words": (0, 4, False),
        "in contrast sets": (0, 4, True),
        "same first 3 words, worst task (qa)": (2, 4, False),
    }


def test_declared_marks_replace_the_text() -> None:
    rows = [
        make_row("Tidy.", marks=("typed", "two")),
        make_row("typed", marks=("tidy",)),
        make_row("x" * 400, marks=("pasted", "context")),
    ]
    shares = {share.name: (share.count, share.declared) for share in measure_mix(rows)}
    assert shares["typed"] == shares["pasted"] == shares["context"] == shares["two"] == (1, True)
