import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from training.measure.choice import grade_choice, list_options
from training.measure.exact import grade_exact, normalise
from training.measure.item import Item
from training.measure.number import find_number, grade_number
from training.measure.regex import grade_regex

CAPITAL = "What is the capital of France?\nA) Rome\nB) Paris\nC) New Rome\nD) None of these"


def item(expected: str, prompt: str = "?", **more: object) -> Item:
    return Item(prompt=prompt, expected=expected, **more)


@pytest.mark.parametrize(
    ("answer", "score"),
    [
        ("Paris", 1),
        ("  paris.\n", 1),
        ("**Paris**", 1),
        ("“Paris”", 1),
        ("`Paris`!", 1),
        ("LUTETIA", 1),
        ("The capital is an old city.\nAnswer: Paris", 1),
        ("The final answer is **Paris**.", 1),
        ("Paris or London", 0),
        ("Not Paris", 0),
        ("Pari", 0),
        ("", 0),
        ("The answer is Paris.\nOr London.", 0),
    ],
)
def test_exact_ignores_case_space_and_outer_punctuation_only(answer: str, score: int) -> None:
    assert grade_exact(answer, item("Paris | Lutetia")).score == score


def test_exact_keeps_what_changes_a_value_and_joins_forms_of_one_letter() -> None:
    assert grade_exact("5", item("-5")).score == 0
    assert grade_exact("50", item("50%")).score == 0
    assert normalise("!") == "!" != normalise("?")
    # The same word with a composed and a decomposed letter, in full width, with two spaces.
    assert grade_exact("cafe\u0301", item("CAFÉ")).score == 1
    assert grade_exact("Ｎｅｗ  Ｙｏｒｋ", item("New York")).score == 1
    assert grade_exact("STRASSE", item("Straße")).score == 1


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("42", 42),
        ("The answer is 42.", 42),
        ("**Answer:** 1,234", 1234),
        ("$\\boxed{-7}$", -7),
        ("so \\boxed{\\frac{3}{4}}", 0.75),
        ("\\boxed{-\\frac{1}{4}}", -0.25),
        ("\\boxed{x = 9}", 9),
        ("#### 18", 18),
        ("10-5", 5),
        ("(-3)", -3),
        ("−3", -3),
        ("1 1/2 cups", 1.5),
        ("-1/2", -0.5),
        ("1.234,56 €", 1234.56),
        ("3,14", 3.14),
        ("1 000 000", 1e6),
        ("5'000", 5000),
        ("about 2.5e3", 2500),
        ("6.02 × 10^{23}", 6.02e23),
        ("5 m^2", 5),
        ("H2O has 3 atoms", 3),
        ("2^10 = 1024", 1024),
        (".5", 0.5),
        ("the final answer is: $1,200.50.", 1200.5),
        ("Answer: 2 + 3 = 5", 5),
        ("The answer is 12 apples and 3 pears", 12),
        ("First I thought the answer is 3. No, the answer is 4 because of 2.", 4),
        ("In 2023 there were 5, in total 12.", 12),
        ("Answer: unknown, but at most 3", 3),
        ("no number", None),
        ("", None),
    ],
)
def test_the_number_of_an_answer(text: str, value: float | None) -> None:
    found = find_number(text)
    assert (None if found is None else found.value) == value


@pytest.mark.parametrize(
    ("answer", "expected", "score"),
    [
        ("50%", "0.5", 1),
        ("50%", "50", 1),
        ("0.5", "50%", 1),
        ("50", "50 %", 1),
        ("5000", "50%", 0),
        ("0.005", "50%", 0),
        ("0.5%", "0.5", 1),
        ("50%", "0.5%", 0),
        ("0.3333333333", "1/3", 1),
        ("0.33", "1/3", 0),
        ("-5", "5", 0),
        ("0", "0", 1),
        ("1/0", "0", 0),
        ("none", "0", 0),
    ],
)
def test_numbers_are_compared_by_value(answer: str, expected: str, score: int) -> None:
    assert grade_number(answer, item(expected)).score == score


def test_the_tolerance_is_relative_to_the_expected_number() -> None:
    assert grade_number("101", item("100", tolerance=0.01)).score == 1
    assert grade_number("101.1", item("100", tolerance=0.01)).score == 0
    assert grade_number("-99", item("-100", tolerance=0.01)).score == 1


@pytest.mark.parametrize(
    ("answer", "score"),
    [
        ("B", 1),
        ("b", 1),
        ("(B)", 1),
        ("B)", 1),
        ("**B**", 1),
        ("B. Paris", 1),
        ("B) Paris, because it has been the capital for long.", 1),
        ("The answer is B.", 1),
        ("The correct answer is (B) Paris.", 1),
        ("Final Answer: (b)", 1),
        ("Answer: b", 1),
        ("The answer must be B", 1),
        ("$\\boxed{B}$", 1),
        ("\\boxed{\\text{B}}", 1),
        ("答案是B", 1),
        ("Some thoughts.\n\nB", 1),
        ("I choose B", 1),
        ("It is option B", 1),
        ("The answer is: B\n\nExplanation: option C is only a joke.", 1),
        ("A good question. The answer is (B).", 1),
        ("Paris", 1),
        ("It is Paris.", 1),
        ("C", 0),
        ("New Rome", 0),
        ("A or B", 0),
        ("Answer: A or B", 0),
        ("A: Rome\nB: Paris\nC: New Rome", 0),
        ("(A) is wrong and (B) is right", 0),
        ("Rome or Paris", 0),
        ("The answer is not clear", 0),
        ("I do not know", 0),
        ("", 0),
    ],
)
def test_a_choice_in_the_words_of_models(answer: str, score: int) -> None:
    assert grade_choice(answer, item("B", CAPITAL)).score == score


def test_a_longer_option_is_not_taken_for_the_shorter_one_in_it() -> None:
    assert grade_choice("It was New Rome.", item("C", CAPITAL)).score == 1
    assert grade_choice("It was Rome.", item("A", CAPITAL)).score == 1


def test_the_first_letter_of_a_sentence_is_no_choice() -> None:
    assert grade_choice("The answer is A because of its age", item("A", CAPITAL)).score == 1
    assert grade_choice("The answer is A city in the south", item("A", CAPITAL)).score == 0
    assert grade_choice("A city in the south", item("A", CAPITAL)).score == 0


def test_options_come_from_the_column_or_else_from_the_last_list_in_the_prompt() -> None:
    assert list_options(CAPITAL) == ("Rome", "Paris", "New Rome", "None of these")
    assert list_options("Example:\nA. no\nB. yes\nNow you:\nA. up\nB. down") == ("up", "down")
    assert list_options("A text without a list") == ()
    assert grade_choice("down", item("Up", "?", options=("up", "down"))).score == 0
    assert grade_choice("Up!", item("up", "?", options=("up", "down"))).score == 1


def test_a_regular_expression_is_searched_for_with_its_own_flags() -> None:
    assert grade_regex("see invoice 2024-17.", item(r"\b2024-\d{2}\b")).score == 1
    assert grade_regex("INVOICE", item("invoice")).score == 0
    assert grade_regex("INVOICE", item("(?i)invoice")).score == 1
    assert grade_regex("one\ntwo", item(r"\Atwo")).score == 0


PIECES = [
    "answer is ",
    "Answer:",
    "\\boxed{",
    "\\frac{",
    "}",
    "{",
    "####",
    "%",
    "-",
    ".",
    ",",
    " ",
    "\n",
    "/",
    "×10^",
    "e9",
    "=",
]
PIECES += ["(", ")", "A", "b", "12", "345", "٣", "²", "option", "```", "Paris"]


@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join) | st.text(max_size=40))
@example("\\frac{1.2.3}{.}")
@example("9" * 5000 + "e99999")
def test_no_text_breaks_a_grader(answer: str) -> None:
    for grade, expected in ((grade_exact, "a"), (grade_number, "12%"), (grade_choice, "B"), (grade_regex, "a.b")):
        assert grade(answer, item(expected, CAPITAL)).score in (0.0, 1.0)
