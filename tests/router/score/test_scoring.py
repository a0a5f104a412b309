import math
from dataclasses import replace

import numpy as np
import pytest

from router import Estimate, InputError, ModelProfile, ModelScore, Preference, Router, ScoringParameters
from router.classify.features import BUCKETS, SURFACE
from router.classify.heads import Features, Heads, PromptHeads
from router.classify.parts import Media
from router.score.scoring import ProfileTable
from tests.router.fakes import model

DEAR = ModelProfile(
    name="dear",
    quality={"math": Estimate(mean=0.9, stderr=0.04, n=9), "coding": Estimate(mean=0.5, stderr=0.16, n=9)},
    input_usd_per_mtok=2,
    output_usd_per_mtok=10,
    output_tokens={"math": 1000, "coding": 200},
    latency_s=4,
)
CHEAP = model("cheap", {"math": 0.6, "coding": 0.4}, input_usd_per_mtok=1, output_usd_per_mtok=1, latency_s=1)
MIXED = {"math": 0.75, "coding": 0.25}


def score(
    *profiles: ModelProfile, p: dict[str, float] | None = None, preference: Preference | None = None
) -> dict[str, ModelScore]:
    table = ProfileTable(profiles, ["math", "coding"])
    names = [profile.name for profile in profiles]
    return table.score(names, p or MIXED, tokens=500, preference=preference or Preference())


def test_quality_is_expected_over_all_tasks_and_so_is_its_error() -> None:
    scores = score(DEAR, CHEAP)
    assert scores["dear"].quality == pytest.approx(0.75 * 0.9 + 0.25 * 0.5)  # 0.8
    assert scores["cheap"].quality == pytest.approx(0.55)
    assert scores["dear"].stderr == pytest.approx(0.07)  # 0.75 · 0.04 + 0.25 · 0.16


def test_cost_is_prompt_at_input_price_plus_expected_answer_at_output_price() -> None:
    scores = score(DEAR, CHEAP)
    assert scores["dear"].cost_usd == pytest.approx(0.001 + 0.008)  # 500 · 2 and 800 · 10 per million
    assert scores["cheap"].cost_usd == pytest.approx(
        0.0005 + 0.0006
    )  # it has no length, so the median of the known ones: 600


def test_audio_and_images_cost_their_own_price() -> None:
    hears = replace(DEAR, name="hears", audio_input_usd_per_mtok=32.0, image_input_usd_per_mtok=5.0)
    table = ProfileTable([hears, DEAR], ["math", "coding"])
    # 300 tokens of text, 150 of audio and 50 of an image. The answer costs 800 · 10 per million, as above.
    media = Media(audio=150, image=50)
    scores = table.score(["hears", "dear"], MIXED, tokens=500, media=media, preference=Preference())
    assert scores["hears"].cost_usd == pytest.approx((300 * 2 + 150 * 32 + 50 * 5) / 1e6 + 0.008)
    assert scores["dear"].cost_usd == pytest.approx(0.001 + 0.008)


def test_utility_is_the_bound_less_the_price_of_cost() -> None:
    scores = score(DEAR, CHEAP, preference=Preference(usd_per_point=0.001))
    assert scores["dear"].utility == pytest.approx(0.8 - 0.5 * 0.07 - 0.09)
    assert scores["cheap"].utility == pytest.approx(0.55 - 0.011)
    assert scores["dear"].quality_by_task == pytest.approx({"math": 0.9, "coding": 0.5})


def test_utility_is_the_bound_less_the_price_of_time() -> None:
    scores = score(DEAR, CHEAP, preference=Preference(seconds_per_point=2))
    assert scores["dear"].utility == pytest.approx(0.8 - 0.5 * 0.07 - 0.02)
    assert scores["cheap"].utility == pytest.approx(0.55 - 0.005)


def test_with_an_infinite_price_of_a_point_utility_is_the_bound() -> None:
    found = score(DEAR, preference=Preference(risk_aversion=2))["dear"]
    assert found.utility == found.bound == pytest.approx(0.8 - 2 * 0.07)
    free = score(DEAR, preference=Preference(risk_aversion=0))["dear"]
    assert free.utility == free.bound == free.quality


def test_of_two_models_of_equal_quality_the_better_measured_one_wins() -> None:
    sure, unsure = (
        ModelProfile(name=name, quality={"math": Estimate(mean=mean, stderr=error, n=1)}, cost_usd=0.001)
        for name, mean, error in [("sure", 0.6, 0.01), ("unsure", 0.62, 0.1)]
    )
    chosen = [Router([unsure, sure]).route("any", risk_aversion=risk, quality_floor=1.0).model for risk in (0, 1)]
    assert chosen == ["unsure", "sure"]


def test_an_unknown_cost_or_latency_is_the_median_of_the_known_and_is_marked_as_assumed() -> None:
    known = [model(name, cost_usd=cost, latency_s=cost) for name, cost in (("a", 1.0), ("b", 3.0), ("c", 10.0))]
    scores = score(*known, model("d"))
    assert (scores["d"].cost_usd, scores["d"].latency_s) == (3, 3)
    assert scores["d"].assumed == {"cost_usd", "latency_s"}
    assert scores["a"].assumed == frozenset()


def test_without_any_known_cost_it_does_not_count_and_nothing_is_assumed() -> None:
    scored = score(model("a"), preference=ScoringParameters().presets["cheap"])["a"]
    assert (scored.cost_usd, scored.latency_s, scored.assumed, scored.utility) == (None, None, frozenset(), 0.5)


def test_a_measured_cost_replaces_a_missing_list_price() -> None:
    half_listed = model("a", input_usd_per_mtok=9, cost_usd=0.02)
    both = model("b", input_usd_per_mtok=2, output_usd_per_mtok=2, cost_usd=0.02)
    assert score(half_listed)["a"].cost_usd == 0.02
    assert score(both)["b"].cost_usd == pytest.approx(0.002)  # 500 prompt and 500 answer tokens


def test_a_cost_by_task_counts_with_the_probability_of_the_task_and_the_mean_replaces_a_missing_one() -> None:
    measured = model("a", cost_usd=0.02, cost_usd_by_task={"math": 0.04})
    assert score(measured)["a"].cost_usd == pytest.approx(0.75 * 0.04 + 0.25 * 0.02)


def test_a_missing_task_gets_the_mean_of_the_others_with_their_largest_error() -> None:
    lacking = ModelProfile(
        name="a", quality={"x": Estimate(mean=0.2, stderr=0.1, n=1), "y": Estimate(mean=0.6, stderr=0.3, n=1)}
    )
    scored = score(lacking, p={"math": 1.0})["a"]
    assert (scored.quality, scored.stderr) == pytest.approx((0.4, 0.3))


def test_an_unknown_model_has_quality_one_half_with_error_one_half() -> None:
    scored = score(ModelProfile(name="a"), p={"math": 1.0})["a"]
    assert (scored.quality, scored.stderr) == (0.5, 0.5)


def test_a_missing_length_is_the_mean_of_the_others_of_the_profile() -> None:
    wordy = model("a", output_tokens={"math": 100, "writing": 300}, input_usd_per_mtok=0, output_usd_per_mtok=1e6)
    assert score(wordy, p={"coding": 1.0})["a"].cost_usd == pytest.approx(200)


def test_only_the_candidates_are_scored_and_in_their_order() -> None:
    table = ProfileTable([DEAR, CHEAP], [])
    assert list(table.score(["cheap", "dear"], MIXED, tokens=1, preference=Preference())) == ["cheap", "dear"]
    assert table.score([], MIXED, tokens=1, preference=Preference()) == {}


def constant(*outputs: float) -> Heads:
    n = len(outputs)
    sizes = {"embedding": (2, n), "lexical": (BUCKETS, n), "surface": (len(SURFACE), n)}
    return Heads(**{name: np.zeros(size, np.float32) for name, size in sizes.items()}, bias=np.array(outputs, np.float32))


def shifted(
    *profiles: ModelProfile,
    quality: tuple[float, ...] = (0, 0),
    cost: tuple[float, ...] = (0, 0),
    p: dict[str, float] | None = None,
    trust: float = 1.0,
    with_features: bool = True,
) -> dict[str, ModelScore]:
    """Return scores with heads that count only in mathematics."""
    heads = PromptHeads(
        models=tuple(profile.name for profile in profiles),
        quality=constant(*quality),
        cost=constant(*cost),
        quality_tasks=frozenset({"math"}),
        cost_tasks=frozenset({"math"}),
    )
    table = ProfileTable(profiles, ["math", "coding"], heads=heads)
    features = Features.of("any", np.zeros(2, np.float32)) if with_features else None
    names = [profile.name for profile in profiles]
    return table.score(names, p or {"math": 1.0}, tokens=500, preference=Preference(), features=features, trust=trust)


def test_a_shift_multiplies_the_odds_of_a_good_answer_and_scales_the_error_with_the_slope() -> None:
    scored = shifted(DEAR, CHEAP, quality=(math.log(1 / 3), math.log(2)))
    assert scored["dear"].quality == pytest.approx(0.75)  # odds of 9 become 3
    assert scored["dear"].stderr == pytest.approx(0.04 * (0.75 * 0.25) / (0.9 * 0.1))
    assert scored["cheap"].quality == pytest.approx(0.75)  # odds of 1.5 become 3
    assert scored["cheap"].shift == pytest.approx(math.log(2))


def test_a_log_ratio_multiplies_the_cost() -> None:
    dearer, same = shifted(DEAR, CHEAP, cost=(math.log(3), 0)), shifted(DEAR, CHEAP)
    assert dearer["dear"].cost_usd == pytest.approx(3 * (same["dear"].cost_usd or 0))
    assert dearer["cheap"].cost_usd == same["cheap"].cost_usd


def test_a_shift_counts_with_the_probability_of_its_tasks_and_with_trust() -> None:
    assert shifted(DEAR, CHEAP, quality=(2, 0), p={"math": 0.25, "coding": 0.75})["dear"].shift == pytest.approx(0.5)
    assert shifted(DEAR, CHEAP, quality=(2, 0), p={"coding": 1.0})["dear"].shift == 0
    assert shifted(DEAR, CHEAP, quality=(2, 0), trust=0.25)["dear"].shift == pytest.approx(0.5)
    assert shifted(DEAR, CHEAP, quality=(2, 0), with_features=False) == shifted(DEAR, CHEAP, quality=(0, 0))


def test_shifts_and_ratios_are_bounded() -> None:
    far = shifted(DEAR, CHEAP, quality=(1e6, -1e6), cost=(1e6, -1e6))
    assert (far["dear"].shift, far["cheap"].shift) == (4, -4)
    assert 0 < far["cheap"].quality < far["dear"].quality < 1
    assert far["dear"].cost_usd == pytest.approx(0.011 * math.exp(3))


def test_many_prompts_at_once_get_the_expectations_of_single_ones() -> None:
    table = ProfileTable([DEAR, CHEAP], ["math", "coding"])
    p = np.array([[0.75, 0.25], [0.0, 1.0]])
    many = table.expect(p, tokens=np.array([[500], [10]]), shift=np.ones((2, 2)))
    alone = score(DEAR, CHEAP)
    assert many.quality[0] == pytest.approx([alone["dear"].quality, alone["cheap"].quality])
    assert many.cost_usd[0] == pytest.approx([alone["dear"].cost_usd, alone["cheap"].cost_usd])
    assert many.quality.shape == many.cost_usd.shape == many.shift.shape == (2, 2)


@pytest.mark.parametrize(
    "wrong", [{"usd_per_point": 0}, {"seconds_per_point": -1}, {"quality_floor": 1.1}, {"tolerance": math.nan}]
)
def test_a_preference_out_of_range_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError, match="must be"):
        Preference(**wrong)
