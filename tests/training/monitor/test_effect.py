import math
from dataclasses import replace

import numpy as np
import pytest

from training.data.trials import Trial
from training.evaluation.intervals import Interval
from training.monitor.effect import compare_arms, compare_shadow, decide, describe_arm, unit_means


def trial(number: int, score: float | None = 1.0, **fields: object) -> Trial:
    plain = Trial(
        id=f"req-{number}",
        at=float(number),
        model="a",
        task="math",
        strategy="contextual",
        score=score,
        cost_usd=0.001,
        seconds=1.0,
        failed=False,
    )
    return replace(plain, **fields)  # type: ignore[arg-type]


def draw(arm: str, rate: float, n: int, cost_usd: float = 0.001) -> list[Trial]:
    """Return requests of n keys whose scores are 0 or 1 with exactly this mean."""
    ones = round(rate * n)
    fields = {"experiment": "dial", "arm": arm, "by": "key", "cost_usd": cost_usd}
    return [trial(k, float(k < ones), unit=f"{arm}-{k}", **fields) for k in range(n)]


@pytest.mark.parametrize(
    ("interval", "decision"),
    [
        ((-0.005, 0.02), "ship"),  # the loss is below the margin of 0.01
        ((-0.02, -0.001), "stop"),
        ((-0.009, -0.001), "stop"),  # surely worse, even if by less than the margin
        ((-0.02, 0.02), "continue"),
    ],
)
def test_the_rule(interval: tuple[float, float], decision: str) -> None:
    low, high = interval
    found, more = decide(Interval(value=(low + high) / 2, low=low, high=high), 1000, 0.25, margin=0.01)
    assert found == decision
    assert (more == 0) == (decision != "continue")


def test_a_key_with_many_answers_counts_once() -> None:
    rows = [trial(n, 0.0, unit="loud") for n in range(99)] + [trial(99, 1.0, unit="calm"), trial(100, None, unit="mute")]
    assert unit_means(rows, lambda row: row.score) == [0.0, 1.0]
    arm = describe_arm("control", rows)
    assert (arm.requests, arm.units, arm.graded, arm.score.value) == (101, 3, 100, 0.5)


def test_a_better_arm_ships_a_worse_one_stops_and_cost_counts_at_its_price() -> None:
    control = draw("control", 0.5, 2000)
    (better,) = compare_arms([*control, *draw("new", 0.7, 2000)], usd_per_point=math.inf, margin=0.01)
    (worse,) = compare_arms([*control, *draw("new", 0.3, 2000)], usd_per_point=math.inf, margin=0.01)
    # 0.1 USD more for each answer are 0.01 · 0.1 / 0.001 = 1 point of utility, more than the gain of 0.2.
    (dear,) = compare_arms([*control, *draw("new", 0.7, 2000, cost_usd=0.101)], usd_per_point=0.001, margin=0.01)
    assert (better.decision, worse.decision, dear.decision) == ("ship", "stop", "stop")
    assert (better.score.value, dear.utility.value, dear.cost_usd.value) == pytest.approx((0.2, 0.2 - 1.0, 0.1))


def test_equal_arms_go_on_and_the_report_says_for_how_long() -> None:
    rows = [*draw("control", 0.5, 500), *draw("new", 0.5, 500)]
    (effect,) = compare_arms(rows, usd_per_point=math.inf, margin=0.05)
    assert effect.decision == "continue"
    assert effect.more is not None
    more = [*draw("control", 0.5, 500 + effect.more // 2 + 1), *draw("new", 0.5, 500 + effect.more // 2 + 1)]
    assert compare_arms(more, usd_per_point=math.inf, margin=0.05)[0].decision == "ship"


def test_answers_without_a_score_or_without_a_partner_do_not_count_in_pairs() -> None:
    rng = np.random.default_rng(0)
    rows = []
    for n in range(300):
        hard = float(rng.random() < 0.5)  # prompts differ much, the two answers little
        rows += [trial(n, 1 - 0.5 * hard), trial(n, 0.9 - 0.5 * hard, id=f"req-{n}-shadow", model="b", shadow_of=f"req-{n}")]
    rows += [trial(900, None), trial(900, 1.0, id="s", model="b", shadow_of="req-900"), trial(901, 0.0)]
    rows.append(trial(902, 0.0, id="t", model="b", shadow_of="gone"))
    (effect,) = compare_shadow(rows, usd_per_point=math.inf, margin=0.01)
    assert (effect.name, effect.n, effect.decision) == ("b", 300, "stop")
    assert effect.score.value == pytest.approx(-0.1)
