import numpy as np
import pytest

from tests.training.tables import make_outcomes, two_trades
from training.quality.outcomes import Outcomes, split_groups
from training.verdict.baselines import by_task_table, cross_fit
from training.verdict.decide import Verdict
from training.verdict.evaluate import evaluate_choices
from training.verdict.sweep import sweep_prices


def decide_on(outcomes: Outcomes) -> Verdict:
    """Return the verdict on the task table, with each fifth of the prompts held out in turn."""
    folds = split_groups(outcomes, min(5, len(set(outcomes.groups))), seed=0)
    quality, cost = cross_fit(by_task_table, outcomes, folds)
    gain = quality[:, 0] - quality[:, 1]
    return evaluate_choices(sweep_prices("router", quality, cost), gain, [], outcomes, name="t", seed=0).verdict


def test_routing_pays_between_models_with_different_strengths() -> None:
    verdict = decide_on(two_trades())
    assert verdict.route
    assert verdict.equal is not None
    assert verdict.equal.share.low > 0.3  # every other prompt goes to the model that costs a tenth
    assert verdict.equal.over_mix.low > 0
    assert verdict.gain.low > 0.1
    assert verdict.sentence.startswith("Routing gains 17.0 points [12.6, 21.9] at equal cost on these 400 prompts")


def test_a_model_that_is_best_and_cheapest_needs_no_router() -> None:
    scores = np.random.default_rng(0).random((300, 3)) < (0.9, 0.5, 0.4)
    verdict = decide_on(make_outcomes(scores.astype(float), [0.001, 0.01, 0.02], tasks=["qa", "math"] * 150))
    assert not verdict.route
    assert verdict.sentence == "Do not route: a alone is the best model and the cheapest on these 300 prompts."


def test_a_model_that_is_best_at_every_task_needs_no_router() -> None:
    scores = np.random.default_rng(0).random((300, 3)) < (0.9, 0.5, 0.4)
    verdict = decide_on(make_outcomes(scores.astype(float), [0.02, 0.01, 0.001], tasks=["qa", "math"] * 150))
    assert not verdict.route
    assert verdict.sentence.startswith("Do not route: a alone, or two models mixed at random, is as good at any price")


# The same lines run a hundred thousand times, which takes three times as long if each of them is counted.
@pytest.mark.no_cover
def test_at_most_two_of_forty_random_tables_are_routed() -> None:
    wrong = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        scores = (rng.random((120, 4)) < (0.7, 0.65, 0.6, 0.5)).astype(float)
        tasks = rng.choice(["qa", "math", "coding"], 120).tolist()
        wrong += decide_on(make_outcomes(scores, [0.01, 0.005, 0.002, 0.001], tasks=tasks)).route
    assert wrong <= 2


def test_too_few_independent_prompts_are_never_routed() -> None:
    outcomes = two_trades(100)
    grouped = make_outcomes(
        outcomes.score, [0.001, 0.01, 0.012], tasks=outcomes.tasks, groups=[f"group {i % 10}" for i in range(100)]
    )
    assert decide_on(grouped).sentence == (
        "Do not route: 10 independent prompts are too few to tell, at least 20 are needed."
    )


def test_without_costs_a_gain_in_quality_decides() -> None:
    outcomes = two_trades()
    verdict = decide_on(make_outcomes(outcomes.score, [float("nan")] * 3, tasks=outcomes.tasks))
    assert verdict.route
    assert (verdict.equal, verdict.near, verdict.cost_change) == (None, None, None)
    assert verdict.gain.low > 0
    assert verdict.sentence.endswith("on these 400 prompts (costs are not known).")


def test_settings_that_fit_only_the_prompts_that_chose_them_are_not_routed() -> None:
    # Scores are random: choices that look good on some prompts are worth nothing on the others.
    rng = np.random.default_rng(1)
    outcomes = make_outcomes((rng.random((200, 3)) < 0.6).astype(float), [0.01, 0.01, 0.01])
    assert not decide_on(outcomes).route


@pytest.mark.parametrize("seed", [1, 2])
def test_the_verdict_does_not_depend_on_the_order_of_the_models(seed: int) -> None:
    outcomes = two_trades(seed=seed)
    order = [2, 0, 1]
    turned = make_outcomes(outcomes.score[:, order], np.array([0.001, 0.01, 0.012])[order], tasks=outcomes.tasks)
    here, there = decide_on(outcomes), decide_on(turned)
    assert here.route == there.route
    assert here.gain.value == pytest.approx(there.gain.value)
