"""Names of graders in, graders out; and what each needs in a row."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping

from router.errors import InputError
from router.types import Encoder
from training.measure.answers import Answers
from training.measure.choice import find_letter, grade_choice, list_options
from training.measure.code import CodeGrader
from training.measure.exact import grade_exact
from training.measure.item import Grader, GradingError, Item
from training.measure.judge import Ask, FindOther, JudgeGrader, PairGrader
from training.measure.number import find_number, grade_number
from training.measure.regex import grade_regex
from training.measure.similarity import SimilarityGrader

_PLAIN: Mapping[str, Grader] = {
    "exact": grade_exact,
    "number": grade_number,
    "choice": grade_choice,
    "regex": grade_regex,
}
JUDGES = ("judge", "judge-pair")
GRADERS = (*_PLAIN, "code", "similarity", *JUDGES)


def make_graders(
    names: Collection[str],
    *,
    answers: Answers,
    load_encoder: Callable[[], Encoder],
    run_code: bool,
    judge: str | None,
    against: str | None,
) -> dict[str, Grader]:
    """Return the graders by name.

    Args:
        names: The graders that a plan uses.
        answers: Asks the judge, and the model to compare with.
        load_encoder: Returns the encoder for similarities.
        run_code: Whether the user allows code of models to run.
        judge: The model that judges. None: there is none.
        against: The model whose answer is compared if a row expects none. None: there is none.

    Raises:
        InputError: If a grader needs something that is not given.
    """
    made = {name: grader for name, grader in _PLAIN.items() if name in names}
    if "code" in names:
        if not run_code:
            raise InputError(
                "the grader code runs programs that models wrote; allow it with --run-code, best in a container"
            )
        made["code"] = CodeGrader()
    if "similarity" in names:
        made["similarity"] = SimilarityGrader(load_encoder())
    if set(JUDGES) & set(names):
        if judge is None:
            raise InputError("the graders judge and judge-pair need a model that judges; name it with --judge")
        answers.check(judge)
        ask = _make_ask(answers, judge)
        made |= {"judge": JudgeGrader(ask=ask), "judge-pair": PairGrader(ask=ask, find_other=_find_other(answers, against))}
    return made


def find_problem(grader: str, item: Item, *, against: str | None) -> str:
    """Return what a row lacks for its grader: rule, value and remedy. Empty if it lacks nothing.

    Args:
        grader: Name of the grader.
        item: The row.
        against: The model whose answer is compared if a row expects none. None: there is none.
    """
    if grader == "judge" or (grader == "judge-pair" and against is not None):
        return ""
    if not item.expected.strip():
        return f"expected must not be empty for the grader {grader}; fill it in or choose another grader"
    if grader == "number" and find_number(item.expected) is None:
        return "expected must hold a number for the grader number; correct it"
    if grader == "choice" and find_letter(item.expected, item.options or list_options(item.prompt)) is None:
        return "expected must be a letter or the text of an option for the grader choice; correct it"
    try:
        if grader == "regex":
            re.compile(item.expected)
        elif grader == "code":
            compile(item.expected, "tests", "exec")
    except (re.error, SyntaxError, ValueError) as error:
        kind = "a regular expression" if grader == "regex" else "tests in Python"
        return f"expected must be {kind} for the grader {grader}, got {type(error).__name__}; correct it"
    return ""


def _make_ask(answers: Answers, judge: str) -> Ask:
    return lambda messages: answers.ask(judge, messages).text


def _find_other(answers: Answers, against: str | None) -> FindOther:
    def find(item: Item) -> str:
        if item.expected.strip() or against is None:
            return item.expected
        text = answers.ask(against, [{"role": "user", "content": item.prompt}]).text
        if not text.strip():
            raise GradingError(f"{against} gave an empty answer to compare with; compare with another model")
        return text

    return find
