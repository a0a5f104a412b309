"""What a grader reads, what it returns, and the protocol of graders."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

from router.errors import RouterError

DEFAULT_TOLERANCE = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A prompt and what a right answer is checked against.

    Attributes:
        prompt: The prompt. It is in no repr, here and below, because a repr ends up in logs.
        expected: The right answer, in the form of the grader: accepted texts, a number, a letter, a pattern, tests, or a
            reference answer.
        rubric: What a judge looks at. Empty: how good and right the answer is.
        options: The texts of the options A, B, C, … of a multiple choice. Empty: those that the prompt lists.
        tolerance: Relative tolerance of a number, ≥ 0.
    """

    prompt: str
    expected: str = ""
    rubric: str = ""
    options: tuple[str, ...] = ()
    tolerance: float = DEFAULT_TOLERANCE

    def __repr__(self) -> str:
        return f"<Item: prompt of {len(self.prompt)} characters>"


class Grade(NamedTuple):
    """A score.

    Attributes:
        score: How good the answer is, in [0, 1].
        agreed: Whether a judge said the same in both orders. None: it was not asked twice.
    """

    score: float
    agreed: bool | None = None


class GradingError(RouterError):
    """An answer got no score. The message contains neither the prompt nor the answer."""


class Grader(Protocol):
    """Grades an answer. Called from several threads. A plain function fits."""

    def __call__(self, answer: str, item: Item, /) -> Grade:
        """Return the grade.

        Raises:
            GradingError: If there is none.
        """
        ...
