from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router import InputError, ModelScore, Preference, Router
from router.strategies import Bandit, contextual
from tests.router.fakes import context, model
from tests.router.strategies.fleets import chance, firsts

UNIT = st.floats(0, 1)
MODELS = st.lists(st.tuples(UNIT, st.floats(0, 0.5)), min_size=1, max_size=5)
# The 90 % quantile of the normal distribution.
Z90 = 1.2815515655446004


def uncertain(name: str, quality: float, stderr: float, price: float = 0.0) -> ModelScore:
    return ModelScore(
        model=name,
        quality=quality,
        stderr=stderr,
        bound=quality,
        cost_usd=price,
        latency_s=None,
        assumed=frozenset(),
        utility=quality - price,
        quality_by_task={},
    )


@given(rows=MODELS, share=UNIT, seed=st.integers(0, 99))
def test_no_model_below_the_floor_is_chosen_if_one_is_above(
    rows: list[tuple[float, float]], share: float, seed: int
) -> None:
    scores = [uncertain(f"m{place}", *row) for place, row in enumerate(rows)]
    lower = {one.model: one.quality - Z90 * one.stderr for one in scores}
    floor = share * max(one.quality for one in scores)
    asked = context(*scores, preference=Preference(usd_per_point=1.0))
    for chosen in firsts(Bandit(share, confidence=0.9, rng=chance(seed)), asked, 5):
        if any(bound >= floor for bound in lower.values()):
            assert lower[chosen] >= floor
        else:
            assert lower[chosen] == max(lower.values())


def test_a_model_is_tried_as_often_as_it_is_likely_to_be_the_best() -> None:
    # The difference of the draws is normal with mean 0.03 and deviation 0.05, and exceeds 0 with probability Φ(0.6) = 0.726.
    asked = context(uncertain("a", 0.63, 0.03), uncertain("b", 0.60, 0.04), preference=Preference(usd_per_point=1.0))
    counts = Counter(firsts(Bandit(0.0, rng=chance()), asked, 4000))
    assert counts["a"] / 4000 == pytest.approx(0.7257, abs=0.03)  # more than four standard errors


def test_cost_counts_as_in_the_contextual_strategy() -> None:
    asked = context(
        uncertain("dear", 0.8, 0.0, price=0.2), uncertain("cheap", 0.7, 0.0), preference=Preference(usd_per_point=1)
    )
    assert firsts(Bandit(0.0), asked, 1) == firsts(contextual, asked, 1) == ["cheap"]


def test_the_floor_of_the_dial_replaces_that_of_the_bandit() -> None:
    asked = context(uncertain("good", 0.8, 0.0, price=0.2), uncertain("fair", 0.7, 0.0), quality_floor=0.95)
    assert firsts(Bandit(0.5), asked, 1) == ["good"]


def test_the_bound_of_a_loss_is_kept_without_a_draw() -> None:
    scores = [uncertain("a", 0.8, 0.3, price=0.2), uncertain("b", 0.7, 0.3, price=0.1)]
    asked = context(*scores, preference=Preference(reference="a", tolerance=0.05))
    assert firsts(Bandit(0.0, rng=chance()), asked, 20) == ["a"] * 20


def test_the_same_seed_gives_the_same_choices() -> None:
    asked = context(uncertain("a", 0.6, 0.1), uncertain("b", 0.6, 0.1), preference=Preference(usd_per_point=1.0))
    runs = [firsts(Bandit(0.0, rng=chance(7)), asked, 50) for _ in range(2)]
    assert runs[0] == runs[1]
    assert set(runs[0]) == {"a", "b"}


@pytest.mark.parametrize(("floor", "confidence"), [(1.1, 0.9), (-0.1, 0.9), (0.9, 0.4), (0.9, 1.0), (True, 0.9), ("1", 0.9)])
def test_a_value_out_of_range_is_refused(floor: float, confidence: float) -> None:
    with pytest.raises(InputError, match="of a bandit must be a number"):
        Bandit(floor, confidence=confidence)


def test_a_model_that_gets_worse_loses_its_requests() -> None:
    profiles = [model("a", 0.8), model("b", 0.75)]
    router = Router(profiles, strategy=Bandit(0.5, rng=chance()), learn=True, prefer="quality")
    for _ in range(1500):
        decision = router.route("go on")
        router.feedback(decision, 0.1 if decision.model == "a" else 0.75)
    assert Counter(router.route("go on").model for _ in range(100))["b"] > 60
