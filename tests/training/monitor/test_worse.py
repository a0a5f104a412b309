import numpy as np
import pytest

from training.monitor.worse import Evidence, Reference, find_alarms


def draw(task: str, rate: float, n: int, seed: int) -> list[tuple[str, float]]:
    scores = np.random.default_rng(seed).random(n) < rate
    return [(task, float(score)) for score in scores]


def test_the_evidence_grows_by_the_bets() -> None:
    evidence = Evidence(every=4.0)
    # The mean of the bets is 1.575 / 6 = 0.2625, so a score of 0 below a reference of 1 makes M = 1.2625.
    assert not evidence.add(0.0, 1.0)
    assert sum(evidence._sums) / 6 == pytest.approx(1.2625)
    # As long as a score is the reference, M grows by one a score, as many as have passed.
    steady = Evidence(every=4.0)
    assert [steady.add(0.5, 0.5) for _ in range(4)] == [False, False, False, True]


def test_the_reference_stays_below_the_mean_and_comes_near_it() -> None:
    for seed in range(20):
        reference, bounds = Reference(), []
        for _, score in draw("math", 0.8, 4000, seed):
            reference.add(score)
            bounds.append(reference.bound)
        assert bounds == sorted(bounds)
        assert 0.74 < bounds[-1] <= 0.8


def test_a_model_that_gets_worse_is_found_with_its_task_and_its_start() -> None:
    before = [row for pair in zip(draw("math", 0.8, 3000, 0), draw("qa", 0.8, 3000, 1), strict=True) for row in pair]
    after = [row for pair in zip(draw("math", 0.4, 600, 2), draw("qa", 0.8, 600, 3), strict=True) for row in pair]
    (alarm,) = find_alarms([*before, *after])
    assert alarm.task in ("math", "")
    assert 6000 < alarm.at < 6600
    assert abs(alarm.since - 6000) < 100
    assert alarm.after < 0.65 < alarm.before


def test_a_model_that_gets_better_or_another_mix_of_tasks_raises_no_alarm() -> None:
    easy, hard = draw("qa", 0.9, 3000, 0), draw("math", 0.3, 3000, 1)
    assert find_alarms([*easy, *hard]) == []
    assert find_alarms([*draw("qa", 0.5, 2000, 2), *draw("qa", 0.9, 2000, 3)]) == []


def test_the_watch_goes_on_after_an_alarm() -> None:
    rows = [row for rate in (0.9, 0.6, 0.2) for row in draw("qa", rate, 2500, int(100 * rate))]
    assert [alarm.at // 2500 for alarm in find_alarms(rows)] == [1, 2]


def test_false_alarms_are_rarer_than_stated() -> None:
    """At one alarm per 2,000 scores or fewer, 40 runs of 2,000 expect at most 40. More than 60 has a chance below 0.1 %."""
    alarms = [find_alarms(draw("qa", 0.7, 2000, seed), every=2000.0) for seed in range(40)]
    assert sum(map(len, alarms)) <= 60
