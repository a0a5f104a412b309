"""Scores of a model in the order of their arrival in, an alarm out if the model has become worse."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Mean number of graded answers between two false alarms: a year of 1,000 a day.
FALSE_ALARM_EVERY = 365_000
# Probability that the reference of a task is ever too high.
_REFERENCE_ALPHA = 0.01
# Shares of a bet. Small ones find small changes, large ones find large changes soon.
_BETS = (0.025, 0.05, 0.1, 0.2, 0.4, 0.8)
# Means that the reference may take.
_MEANS = np.linspace(0.0, 1.0, 201)
# The reference follows after so many scores of a task.
_BLOCK = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """A model that has become worse.

    Attributes:
        task: The task. Empty: over all tasks.
        at: Index of the score that raised the alarm.
        since: Index of the first score after the change, as estimated.
        before: Mean score before that, since the start of the watch.
        after: Mean score from there to the alarm.
    """

    task: str
    at: int
    since: int
    before: float
    after: float


class Reference:
    """The lower bound of a mean score, which all scores before a change keep with probability 0.99.

    It is the largest mean m that a bettor has refuted (Waudby-Smith and Ramdas, 2024, Estimating means of bounded random
    variables by betting, JRSS B 86(1), section 4). Betting on x > m, the wealth is the mean over λ of Π (1 + λ (x − m)). If
    the true mean is at most m, it ever reaches 100 with probability 0.01 at most.
    """

    def __init__(self) -> None:
        self.bound = 0.0
        self._wealth = np.zeros((len(_MEANS), len(_BETS)))
        self._waiting: list[float] = []

    def add(self, score: float) -> None:
        """Take a score into account. The bound follows after a block of them."""
        self._waiting.append(score)
        if len(self._waiting) < _BLOCK:
            return
        # Most scores are equal to others, such as 0 and 1.
        values, counts = np.unique(self._waiting, return_counts=True)
        gains = values[:, None, None] - _MEANS[:, None]
        self._wealth += (counts[:, None, None] * np.log1p(np.array(_BETS) * gains)).sum(axis=0)
        self._waiting.clear()
        refuted = np.logaddexp.reduce(self._wealth, axis=1) - math.log(len(_BETS)) >= -math.log(_REFERENCE_ALPHA)
        if refuted.any():
            self.bound = max(self.bound, float(_MEANS[refuted].max()))


class Evidence:
    """The evidence that scores have fallen below their reference.

    A Shiryaev–Roberts e-detector (Shin, Ramdas and Rinaldo, 2024, E-detectors, New England Journal of Statistics in Data
    Science 2(2)): the mean over λ of M ← (M + 1) · (1 + λ (reference − x)). As long as the expected score is at least the
    reference, it takes `every` scores on average until M reaches `every`.

    Args:
        every: Mean number of scores between two false alarms, at least.
    """

    def __init__(self, every: float) -> None:
        # Lists, because an array of six numbers takes longer.
        self._needed, self._sums = every * len(_BETS), [0.0] * len(_BETS)

    def add(self, score: float, reference: float) -> bool:
        """Take a score into account. Return whether there is an alarm."""
        lag = reference - score
        self._sums = [(sum_ + 1) * (1 + bet * lag) for sum_, bet in zip(self._sums, _BETS, strict=True)]
        return sum(self._sums) >= self._needed


def find_alarms(scores: Iterable[tuple[str, float]], *, every: float = FALSE_ALARM_EVERY) -> list[Alarm]:
    """Return the alarms of one model, in order. After an alarm the watch starts afresh with what follows.

    The scores of each task are compared with a reference of that task, so a change in the mix of tasks raises no alarm. Two
    watches share the false alarms: one over all tasks, which finds a model that is worse everywhere, and one of each task.
    The reference itself is wrong in one task of a hundred.

    Args:
        scores: The task of each answer and its score in [0, 1], in order.
        every: Mean number of scores between two false alarms, at least.
    """
    rows = list(scores)
    alarms: list[Alarm] = []
    start = 0
    while (alarm := _find_first(rows, start, every)) is not None:
        alarms.append(alarm)
        start = alarm.at + 1
    return alarms


def _find_first(rows: list[tuple[str, float]], start: int, every: float) -> Alarm | None:
    references: dict[str, Reference] = {}
    single: dict[str, Evidence] = {}
    overall = Evidence(2 * every)
    lags: list[float] = []
    for place in range(start, len(rows)):
        task, score = rows[place]
        if task not in references:
            references[task], single[task] = Reference(), Evidence(2 * every)
        reference = references[task]
        lags.append(reference.bound - score)
        fell = single[task].add(score, reference.bound)
        fell_overall = overall.add(score, reference.bound)
        if fell or fell_overall:
            # The single task says more, if it raises the alarm.
            return _describe(rows, start, place, task if fell else "", lags)
        reference.add(score)
    return None


def _describe(rows: list[tuple[str, float]], start: int, at: int, task: str, lags: list[float]) -> Alarm:
    """Return an alarm with the start that explains it best: from there on, the bets have won most."""
    places = [place for place in range(start, at + 1) if not task or rows[place][0] == task]
    won = np.log1p(np.array(_BETS) * np.array([lags[place - start] for place in places])[:, None])
    # From the last score back to each place.
    from_here = won[::-1].cumsum(axis=0)[::-1]
    first = int(np.unravel_index(int(from_here.argmax()), from_here.shape)[0])
    scores: NDArray[np.float64] = np.array([rows[place][1] for place in places])
    before = float(scores[:first].mean()) if first else math.nan
    return Alarm(task=task, at=at, since=places[first], before=before, after=float(scores[first:].mean()))
