import pytest

from router.execution.agreement import find_final_answer


@pytest.mark.parametrize(
    ("text", "final"),
    [
        ("4", "4"),
        ("The answer is 4.", "4"),
        ("2 + 2 = 4, so\nAnswer: **4.0**", "4"),
        (r"Hence $\boxed{1{,}000}$.", "1000"),
        (r"First \boxed{3}, no: \boxed{-7}", "-7"),
        ("Final answer: 1,234.50 USD", "1234.5"),
        ("The result is −3", "-3"),
        ("(B)", "b"),
        ("B. Paris", "b"),
        ("The correct answer is (C), because of the rain", "c"),
        ("A dog", "a dog"),
        ("Rome.", "rome"),
        ("  ROME ", "rome"),
        ("from 3 to 5", "from 3 to 5"),
        ("ＡＢＣ", "abc"),
        ("", None),
        ("word " * 40, None),
        ("...", None),
    ],
)
def test_final_answers(text: str, final: str | None) -> None:
    assert find_final_answer(text) == final
