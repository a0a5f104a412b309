import math

import pytest

from router import InputError, ModelScore, Preference, RoutingDecision, TaskPrediction
from router.score.batch import Batch, spend
from tests.router.fakes import score

PREDICTION = TaskPrediction(task="math", confidence=1.0, probabilities={"math": 1.0}, source="classifier")


def decide(*scores: ModelScore, prediction: TaskPrediction = PREDICTION) -> RoutingDecision:
    return RoutingDecision(
        ranking=tuple(score.model for score in scores),
        prediction=prediction,
        scores={score.model: score for score in scores},
        strategy="contextual",
        preference=Preference(),
        excluded={},
        reasons=("known before",),
    )


EASY = decide(score("small", 0.8, 0.001), score("big", 0.81, 0.01))
HARD = decide(score("small", 0.3, 0.001), score("big", 0.9, 0.01))


def test_a_batch_is_a_sequence_of_decisions_with_their_sums() -> None:
    batch = Batch.of([EASY, HARD])
    assert (len(batch), batch[1], batch[:1], list(batch)) == (2, HARD, (EASY,), [EASY, HARD])
    assert (batch.cost_usd, batch.quality) == pytest.approx((0.002, 0.55))
    assert batch.shadow_price_usd_per_point is None


def test_one_unknown_cost_makes_the_sum_unknown() -> None:
    assert Batch.of([EASY, decide(score("small", 0.5))]).cost_usd is None


def test_no_prompts_cost_nothing_and_have_no_quality() -> None:
    batch = spend([], 1.0)
    assert (len(batch), batch.cost_usd, batch.shadow_price_usd_per_point) == (0, 0, math.inf)
    assert math.isnan(batch.quality)


def test_a_budget_pays_for_the_better_model_where_it_gains_most() -> None:
    batch = spend([EASY, HARD], 0.012)
    assert [decision.model for decision in batch] == ["small", "big"]
    assert batch.cost_usd == pytest.approx(0.011)
    assert batch.shadow_price_usd_per_point == pytest.approx(0.009)  # 0.01 of quality costs 0.009 USD more, for the easy one
    assert all(decision.strategy == "budget" for decision in batch)
    assert batch[0].reasons == (
        "known before",
        "a budget of 0.012 USD for 2 prompts decides; one more point of quality would cost 0.009 USD",
    )


def test_a_budget_that_does_not_bind_buys_the_best_models() -> None:
    batch = spend([EASY, HARD], 1.0)
    assert [decision.model for decision in batch] == ["big", "big"]
    assert batch[0].reasons[-1] == "a budget of 1 USD for 2 prompts pays for the best model of each"


def test_a_model_that_only_uses_the_rest_of_the_budget_is_explained() -> None:
    # "best" does not fit, and at its price "cheap" is worth more than "fair", which is below the line between the two.
    prompt = decide(score("cheap", 0.4, 1.0), score("fair", 0.45, 3.0), score("best", 0.8, 5.0))
    (decision,) = spend([prompt], 4.0)
    assert decision.ranking == ("fair", "cheap", "best")
    assert decision.reasons[-1] == (
        "the shadow price alone would choose cheap, but fair makes better use of the remaining budget"
    )


def test_a_budget_needs_costs() -> None:
    with pytest.raises(InputError, match="budget_usd needs expected costs, got none for any model of prompt 1"):
        spend([EASY, decide(score("small", 0.5))], 1.0)


def test_a_batch_is_shown_in_one_line() -> None:
    assert repr(Batch.of([EASY, HARD])) == "Batch(2 prompts, 0.002 USD, quality 0.55)"
    assert repr(Batch.of([decide(score("small", 0.5))])) == "Batch(1 prompt, cost unknown, quality 0.50)"
    assert repr(Batch.of([])) == "Batch(0 prompts, 0 USD, quality nan)"


def test_a_notebook_shows_a_row_per_prompt() -> None:
    unsure = TaskPrediction(task=None, confidence=0.5, probabilities={}, source="default")
    html = Batch.of([HARD, decide(score("<b>", 0.5), prediction=unsure)])._repr_html_()
    assert "<tr><td>1</td><td>math</td><td>small</td><td>0.30</td><td>0.001</td></tr>" in html
    assert "<tr><td>2</td><td>unknown</td><td>&lt;b&gt;</td><td>0.50</td><td>unknown</td></tr>" in html


def test_a_notebook_shows_at_most_twenty_prompts() -> None:
    html = Batch.of([EASY] * 23)._repr_html_()
    assert html.count("<tr>") == 1 + 20 + 1
    assert "<td>3 more</td>" in html
