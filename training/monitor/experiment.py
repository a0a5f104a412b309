"""A log of the gateway in, everything that its experiments show out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from training.data.trials import Trial
from training.monitor.effect import Arm, Effect, compare_arms, compare_shadow, describe_arm, group_tests
from training.monitor.worse import Alarm, find_alarms

_SHADOW = "shadow"


@dataclass(frozen=True, slots=True, kw_only=True)
class Test:
    """One A/B test, or the shadows of a log.

    Attributes:
        name: Name of the test. `shadow` for shadows.
        by: What was split, with the number of requests: `key`, `conversation`, `request`. Empty for shadows.
        arms: The arms.
        effects: Each arm against the control.
    """

    name: str
    by: dict[str, int]
    arms: list[Arm]
    effects: list[Effect]


@dataclass(frozen=True, slots=True, kw_only=True)
class Worse:
    """An alarm with its model.

    Attributes:
        model: The model.
        alarm: The alarm.
        since: When its first worse answer was asked for, in seconds since the epoch.
        at: When the request arrived whose score raised the alarm.
        graded: Number of graded answers from then on to the alarm.
    """

    model: str
    alarm: Alarm
    since: float
    at: float
    graded: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a log shows.

    Attributes:
        requests: Number of requests of clients.
        graded: Number of graded answers, shadows included.
        began_at: First request, in seconds since the epoch.
        ended_at: Last request.
        usd_per_point: USD that a point of quality is worth.
        margin: Utility that may be lost.
        tests: The A/B tests and the shadows.
        models: Each model over the whole log.
        worse: The models that have become worse, in order of the alarms.
    """

    requests: int
    graded: int
    began_at: float
    ended_at: float
    usd_per_point: float
    margin: float
    tests: list[Test]
    models: list[Arm]
    worse: list[Worse]


def examine(trials: Sequence[Trial], *, usd_per_point: float, margin: float) -> Report:
    """Return what the requests of a log show.

    Args:
        trials: The requests, in order.
        usd_per_point: USD that a point of quality (0.01) is worth. Infinite: cost does not count.
        margin: Utility that may be lost, ≥ 0.
    """
    by_model: dict[str, list[Trial]] = {}
    for trial in trials:
        by_model.setdefault(trial.model, []).append(trial)
    tests = [_examine_test(name, rows, usd_per_point, margin) for name, rows in group_tests(trials).items()]
    effects = compare_shadow(trials, usd_per_point=usd_per_point, margin=margin)
    if effects:
        tests.append(Test(name=_SHADOW, by={}, arms=_describe_pairs(trials), effects=effects))
    return Report(
        requests=sum(not trial.shadow_of for trial in trials),
        graded=sum(trial.score is not None for trial in trials),
        began_at=trials[0].at,
        ended_at=trials[-1].at,
        usd_per_point=usd_per_point,
        margin=margin,
        tests=tests,
        models=[describe_arm(model, rows) for model, rows in sorted(by_model.items())],
        worse=sorted((found for model, rows in by_model.items() for found in _watch(model, rows)), key=lambda one: one.at),
    )


def _examine_test(name: str, trials: Sequence[Trial], usd_per_point: float, margin: float) -> Test:
    arms = sorted({trial.arm for trial in trials}, key=lambda arm: (arm != "control", arm))
    return Test(
        name=name,
        by={by: sum(trial.by == by for trial in trials) for by in dict.fromkeys(trial.by for trial in trials)},
        arms=[describe_arm(arm, [trial for trial in trials if trial.arm == arm]) for arm in arms],
        effects=compare_arms(trials, usd_per_point=usd_per_point, margin=margin),
    )


def _describe_pairs(trials: Sequence[Trial]) -> list[Arm]:
    """Return the served answers that a shadow followed, and the shadows by model."""
    shadows = [trial for trial in trials if trial.shadow_of]
    followed = {trial.shadow_of for trial in shadows}
    models = sorted({trial.model for trial in shadows})
    return [
        describe_arm("served", [trial for trial in trials if trial.id in followed]),
        *(describe_arm(model, [trial for trial in shadows if trial.model == model]) for model in models),
    ]


def _watch(model: str, trials: Sequence[Trial]) -> list[Worse]:
    graded = [(trial, trial.score) for trial in trials if trial.score is not None]
    return [
        Worse(
            model=model,
            alarm=alarm,
            since=graded[alarm.since][0].at,
            at=graded[alarm.at][0].at,
            graded=sum(not alarm.task or t.task == alarm.task for t, _ in graded[alarm.since : alarm.at + 1]),
        )
        for alarm in find_alarms((trial.task, score) for trial, score in graded)
    ]
