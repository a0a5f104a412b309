import math
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.cascade import CascadeScore, Rates
from router.errors import InputError
from router.score.cascade import Check, Expected, expect_cascades, find_best_cascade
from router.score.choice import find_utility
from router.types import Preference

PERFECT, USELESS = Rates.of_accuracy(1.0), Rates.of_accuracy(0.5)
SHARE = st.floats(0, 1)
MODELS = st.lists(st.tuples(SHARE, st.sampled_from([0.0, 0.1, 0.5, 1.0]) | SHARE, SHARE), min_size=2, max_size=6)
PREFERENCES = st.sampled_from(
    [Preference(), Preference(usd_per_point=0.02), Preference(usd_per_point=0.02, seconds_per_point=0.1)]
)


def expected(*models: tuple[float, float, float]) -> Expected:
    quality, cost, latency = np.array(models, np.float64).T
    return Expected(quality=quality, cost_usd=cost, latency_s=latency)


def run(models: Expected, order: list[int], check: Check, overlap: float) -> tuple[float, float, float, list[float]]:
    found, asked = expect_cascades(models, np.array([order]), check, overlap=overlap)
    return float(found.quality[0]), float(found.cost_usd[0]), float(found.latency_s[0]), asked[0].tolist()


def best(
    models: Expected, rates: Rates, preference: Preference, overlap: float = 0.6, **options: object
) -> CascadeScore | None:
    names = [str(column) for column in range(len(models.quality))]
    given = {"max_models": 3, **options}
    return find_best_cascade(names, models, Check(rates=rates), preference, overlap=overlap, **given)  # type: ignore[arg-type]


def test_two_independent_models_by_hand() -> None:
    models = expected((0.6, 1.0, 2.0), (0.9, 10.0, 5.0))
    check = Check(rates=Rates(true_accept=0.9, false_accept=0.2), cost_usd=0.5, latency_s=1.0)
    # asked on: 0.6 · 0.1 + 0.4 · 0.8 = 0.38; right: 0.6 · 0.9 + 0.38 · 0.9 = 0.882
    quality, cost, latency, asked = run(models, [0, 1], check, 0.0)
    assert (quality, asked) == (pytest.approx(0.882), pytest.approx([1.0, 0.38]))
    assert (cost, latency) == (pytest.approx(1.0 + 0.5 + 3.8), pytest.approx(2.0 + 1.0 + 1.9))


def test_with_full_overlap_a_weaker_model_never_helps_a_stronger_one() -> None:
    models, check = expected((0.6, 1.0, 0.0), (0.9, 10.0, 0.0)), Check(rates=PERFECT)
    assert run(models, [0, 1], check, 1.0)[0] == pytest.approx(0.9)
    assert run(models, [1, 0], check, 1.0)[0] == pytest.approx(0.9)
    # half and half: 0.5 · 0.9 + 0.5 · (0.6 + 0.4 · 0.9)
    assert run(models, [0, 1], check, 0.5)[0] == pytest.approx(0.93)


def test_three_models_by_hand() -> None:
    models, check = expected((0.5, 1.0, 0.0), (0.5, 1.0, 0.0), (0.8, 4.0, 0.0)), Check(rates=PERFECT)
    quality, cost, _, asked = run(models, [0, 1, 2], check, 0.0)
    assert (quality, cost) == (pytest.approx(1 - 0.5 * 0.5 * 0.2), pytest.approx(1 + 0.5 + 0.25 * 4))
    assert asked == pytest.approx([1, 0.5, 0.25])
    # With full overlap the first two are right together: 0.8, and the third answers the other half.
    assert run(models, [0, 1, 2], check, 1.0)[:2] == (pytest.approx(0.8), pytest.approx(1 + 0.5 + 0.5 * 4))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(SHARE, SHARE, SHARE), min_size=3, max_size=3), SHARE, SHARE, SHARE)
def test_the_formula_is_the_mean_over_drawn_prompts(
    rows: list[tuple[float, float, float]], overlap: float, true_accept: float, false_accept: float
) -> None:
    models, check = expected(*rows), Check(rates=Rates(true_accept=true_accept, false_accept=false_accept))
    rng, n = np.random.default_rng(0), 4000
    together, alone = rng.random((n, 1)), rng.random((n, 3))
    right = np.where(rng.random((n, 1)) < overlap, together, alone) < models.quality
    accepted = rng.random((n, 3)) < np.where(right, true_accept, false_accept)
    accepted[:, 2] = True
    answers = accepted.argmax(axis=1)
    quality, _, _, asked = run(models, [0, 1, 2], check, overlap)
    assert quality == pytest.approx(right[np.arange(n), answers].mean(), abs=0.05)
    assert asked == pytest.approx([(answers >= place).mean() for place in range(3)], abs=0.05)


@settings(max_examples=40, deadline=None)
@given(MODELS, PREFERENCES, SHARE)
def test_with_a_perfect_and_free_verifier_a_free_model_may_always_try_before_a_dear_one(
    rows: list[tuple[float, float, float]], preference: Preference, overlap: float
) -> None:
    free = [(quality, 0.0, 0.0) for quality, _, _ in rows[:1]]
    models = expected(*free, *rows[1:])
    found = best(models, PERFECT, preference, overlap)
    single = find_utility(models.quality, models.cost_usd, preference, latency_s=models.latency_s)
    assert found is not None
    assert found.utility >= single[1:].max() - 1e-9


@settings(max_examples=40, deadline=None)
@given(MODELS, PREFERENCES, SHARE, SHARE)
def test_no_cascade_with_a_verifier_that_does_not_tell_right_from_wrong(
    rows: list[tuple[float, float, float]], preference: Preference, overlap: float, accepts: float
) -> None:
    models = expected(*rows)
    blind = Rates(true_accept=accepts, false_accept=accepts)
    assert best(models, blind, preference, overlap) is None
    # and rightly so: by the formula, none of them is better than the best single model
    single = find_utility(models.quality, models.cost_usd, preference, latency_s=models.latency_s).max()
    for order in permutations(range(len(rows)), 2):
        found, _ = expect_cascades(models, np.array([order]), Check(rates=blind), overlap=overlap)
        assert find_utility(found.quality, found.cost_usd, preference, latency_s=found.latency_s)[0] <= single + 1e-9


@settings(max_examples=60, deadline=None)
@given(
    MODELS,
    PREFERENCES | st.builds(Preference, quality_floor=SHARE),
    SHARE,
    SHARE,
    st.sampled_from([2, 3]),
    st.sampled_from(["", "0"]),
)
def test_the_search_finds_what_trying_every_order_finds(
    rows: list[tuple[float, float, float]],
    preference: Preference,
    overlap: float,
    true_accept: float,
    max_models: int,
    only_last: str,
) -> None:
    models, rates = expected(*rows), Rates(true_accept=true_accept, false_accept=true_accept / 3)
    found = best(models, rates, preference, overlap, max_models=max_models, only_last=[only_last])
    worths = []
    for length in range(2, max_models + 1):
        orders = [order for order in permutations(range(len(rows)), length) if only_last not in map(str, order[:-1])]
        if not orders:
            continue
        every, _ = expect_cascades(models, np.array(orders), Check(rates=rates), overlap=overlap)
        utility = find_utility(every.quality, every.cost_usd, preference, latency_s=every.latency_s)
        floor = (preference.quality_floor or 0.0) * models.quality.max()
        worths += (utility if preference.weighs else np.where(every.quality >= floor, -every.cost_usd, -math.inf)).tolist()
    most = max(worths, default=-math.inf)
    if found is None:
        assert true_accept == 0 or most == -math.inf
        return
    assert found.cost_usd is not None
    assert (found.utility if preference.weighs else -found.cost_usd) == pytest.approx(most, abs=1e-9)


def test_a_model_that_another_one_beats_may_still_give_the_second_opinion() -> None:
    models = expected((0.9, 1.0, 0.0), (0.8, 1.1, 0.0))
    found = best(models, PERFECT, Preference(usd_per_point=1.0), 0.0)
    assert found is not None
    assert (found.models, found.quality) == (("0", "1"), pytest.approx(0.98))


def test_measured_rates_by_hand() -> None:
    rates = Rates.measure([1, 1, 1, 0.5, 0, 0], [True, True, False, True, True, False])
    # right 3.5, of which 2.5 accepted; wrong 2.5, of which 1.5 accepted
    assert (rates.true_accept, rates.false_accept) == (pytest.approx(2.5 / 3.5), pytest.approx(1.5 / 2.5))
    # Wilson's interval of 8 out of 10 is (0.490, 0.943), as in the tables of Newcombe (1998).
    ten = Rates.measure([1] * 10 + [0], [True] * 8 + [False] * 3)
    assert ten.true_accept_range == (0.49, 0.943)


@pytest.mark.parametrize(
    ("scores", "accepted", "message"),
    [
        ([1, 0], [True], "must have the same length, got 2 and 1"),
        ([1, 1], [True, False], "needs right and wrong answers, got 2 right and 0 wrong"),
        ([], [], "needs right and wrong answers"),
        ([1, 2], [True, False], "a score must be a number between 0 and 1, got 2"),
    ],
)
def test_faulty_measurements_are_refused(scores: list[float], accepted: list[bool], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Rates.measure(scores, accepted)
