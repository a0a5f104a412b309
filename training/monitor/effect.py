"""The requests of an experiment in, the effect of each arm with a verdict out: continue, stop or ship."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import Literal

from router.experiment.kinds import CONTROL
from training.data.trials import Trial
from training.evaluation.intervals import Interval
from training.monitor.sequence import (
    ALPHA,
    SCORE_VARIANCE,
    Moments,
    bound_difference,
    bound_mean,
    difference_variance,
    find_needed,
)

Decision = Literal["continue", "stop", "ship"]
Value = Callable[[Trial], float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One arm, or one model.

    Attributes:
        name: Its name.
        requests: Number of requests.
        units: Number of keys, conversations or requests, whatever was split.
        graded: Number of graded answers.
        failed: Number of requests without an answer.
        score: Mean score with its confidence sequence. A key with several answers counts once, with their mean.
        cost_usd: Mean cost of an answer in USD. None if unknown.
        seconds: Mean seconds of an answer.
    """

    name: str
    requests: int
    units: int
    graded: int
    failed: int
    score: Interval
    cost_usd: float | None
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What an arm changes against the control, or a shadow against the answers that were served.

    Ship if the lower end of the utility is above −margin and the upper end is not below 0. Stop if the upper end is below 0.
    Else continue.

    Attributes:
        name: Name of the arm, or of the shadow's model.
        against: What it is compared with.
        n: Number of units with a graded answer, of both sides. For a shadow, the pairs.
        score: Change of the score, in [−1, 1].
        cost_usd: Change of the cost of an answer in USD.
        seconds: Change of the seconds of an answer.
        utility: Change of score − 0.01 · cost / usd_per_point. It decides.
        decision: The verdict.
        more: About how many more units would decide it if the mean stays. 0 if it is decided. None if too many.
    """

    name: str
    against: str
    n: int
    score: Interval
    cost_usd: Interval
    seconds: Interval
    utility: Interval
    decision: Decision
    more: int | None


def describe_arm(name: str, trials: Sequence[Trial]) -> Arm:
    """Return what became of some requests."""
    answered = [trial for trial in trials if not trial.failed]
    costs = [trial.cost_usd for trial in answered if trial.cost_usd is not None]
    return Arm(
        name=name,
        requests=len(trials),
        units=len({trial.unit or trial.id for trial in trials}),
        graded=sum(trial.score is not None for trial in trials),
        failed=len(trials) - len(answered),
        score=bound_mean(Moments.of(unit_means(trials, _score))),
        cost_usd=sum(costs) / len(costs) if costs else None,
        seconds=sum(trial.seconds for trial in answered) / max(1, len(answered)),
    )


def compare_arms(trials: Sequence[Trial], *, usd_per_point: float, margin: float) -> list[Effect]:
    """Return the effect of each arm of one A/B test against the control.

    The unit is what was split, because requests of one key are alike. It counts with the mean of its values. Several arms
    share the probability of an error.

    Args:
        trials: The requests of the test.
        usd_per_point: USD that a point of quality (0.01) is worth.
        margin: Utility that may be lost.
    """
    by_arm: dict[str, list[Trial]] = {}
    for trial in trials:
        by_arm.setdefault(trial.arm, []).append(trial)
    control, others = by_arm.get(CONTROL, []), sorted(set(by_arm) - {CONTROL})
    alpha = ALPHA / max(1, len(others))
    value = partial(_utility, usd_per_point=usd_per_point)

    def compare(of: Value, other: Sequence[Trial], least: float = SCORE_VARIANCE) -> tuple[Interval, float, int]:
        both = [Moments.of(unit_means(rows, of), least=least) for rows in (other, control)]
        variance = difference_variance(*both) if all(one.n for one in both) else 0.0
        return bound_difference(*both, alpha=alpha), variance, sum(one.n for one in both)

    effects = []
    for arm in others:
        utility, variance, n = compare(value, by_arm[arm])
        decision, more = decide(utility, n, variance, margin=margin, alpha=alpha)
        effects.append(
            Effect(
                name=arm,
                against=CONTROL,
                n=n,
                score=compare(_score, by_arm[arm])[0],
                cost_usd=compare(_cost, by_arm[arm], 0.0)[0],
                seconds=compare(_seconds, by_arm[arm], 0.0)[0],
                utility=utility,
                decision=decision,
                more=more,
            )
        )
    return effects


def compare_shadow(trials: Sequence[Trial], *, usd_per_point: float, margin: float) -> list[Effect]:
    """Return the effect of each model that answered as a shadow, from the pairs whose answers are both graded.

    Args:
        trials: All requests of a log.
        usd_per_point: USD that a point of quality (0.01) is worth.
        margin: Utility that may be lost.
    """
    served = {trial.id: trial for trial in trials if not trial.shadow_of}
    pairs: dict[str, list[tuple[Trial, Trial]]] = {}
    for trial in trials:
        if trial.shadow_of in served and not trial.failed:
            pairs.setdefault(trial.model, []).append((trial, served[trial.shadow_of]))
    value = partial(_utility, usd_per_point=usd_per_point)
    effects = []
    for model, both in sorted(pairs.items()):
        gains, scores = (Moments.of(_differences(both, of)) for of in (value, _score))
        costs, seconds = (Moments.of(_differences(both, of), least=0.0) for of in (_cost, _seconds))
        utility = bound_mean(gains)
        decision, more = decide(utility, gains.n, gains.variance, margin=margin)
        effects.append(
            Effect(
                name=model,
                against="served",
                n=gains.n,
                score=bound_mean(scores),
                cost_usd=bound_mean(costs),
                seconds=bound_mean(seconds),
                utility=utility,
                decision=decision,
                more=more,
            )
        )
    return effects


def decide(
    utility: Interval, n: int, variance: float, *, margin: float, alpha: float = ALPHA
) -> tuple[Decision, int | None]:
    """Return the verdict on a change of utility, and about how many more units would decide it. See `Effect`."""
    if utility.high < 0:
        return "stop", 0
    if utility.low > -margin:
        return "ship", 0
    # Whichever end is farther from its limit gets there first.
    distance = max(utility.value + margin, -utility.value)
    needed = find_needed(max(1, n), variance, distance, alpha=alpha)
    return "continue", None if needed is None else max(1, needed - n)


def unit_means(trials: Sequence[Trial], of: Value) -> list[float]:
    """Return the mean value of each unit, in the order in which the units came first. Units without a value are left out."""
    values: dict[str, list[float]] = {}
    for trial in trials:
        if (value := of(trial)) is not None:
            values.setdefault(trial.unit or trial.id, []).append(value)
    return [sum(found) / len(found) for found in values.values()]


def group_tests(trials: Sequence[Trial]) -> dict[str, list[Trial]]:
    """Return the requests of each A/B test by its name."""
    members = sorted((trial for trial in trials if trial.experiment), key=lambda trial: trial.experiment)
    return {name: list(rows) for name, rows in groupby(members, key=lambda trial: trial.experiment)}


def _differences(pairs: Sequence[tuple[Trial, Trial]], of: Value) -> list[float]:
    found = ((of(shadow), of(served)) for shadow, served in pairs)
    return [one - other for one, other in found if one is not None and other is not None]


def _score(trial: Trial) -> float | None:
    return trial.score


def _cost(trial: Trial) -> float | None:
    return None if trial.failed else trial.cost_usd


def _seconds(trial: Trial) -> float | None:
    return None if trial.failed else trial.seconds


def _utility(trial: Trial, *, usd_per_point: float) -> float | None:
    """Return score − 0.01 · cost / usd_per_point. At an infinite price of a point the cost need not be known."""
    if trial.score is None or (trial.cost_usd is None and not math.isinf(usd_per_point)):
        return None
    return trial.score - 0.01 * (trial.cost_usd or 0.0) / usd_per_point
