import math

import numpy as np
import pytest

from router import Calibration, Estimate, ModelProfile, ModelScore, Preference
from router.features import BUCKETS, SURFACE
from router.heads import Features, Heads, PromptHeads
from router.scoring import ProfileTable
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


def test_quality_is_expected_over_all_tasks_and_its_error_adds_in_squares() -> None:
    scores = score(DEAR, CHEAP)
    assert scores["dear"].quality == pytest.approx(0.75 * 0.9 + 0.25 * 0.5)  # 0.8
    assert scores["cheap"].quality == pytest.approx(0.55)
    assert scores["dear"].stderr == pytest.approx(0.05)  # √(0.03² + 0.04²)


def test_cost_is_prompt_by_input_price_and_expected_answer_by_output_price() -> None:
    scores = score(DEAR, CHEAP)
    assert scores["dear"].cost_usd == pytest.approx(0.001 + 0.008)  # 500 · 2 and 800 · 10 per million
    assert scores["cheap"].cost_usd == pytest.approx(0.0005 + 0.0006)  # no length of its own: the known ones' median, 600


def test_utility_is_quality_less_what_cost_takes() -> None:
    scores = score(DEAR, CHEAP, preference=Preference(usd_per_point=0.001))
    assert scores["dear"].utility == pytest.approx(0.8 - 0.09)
    assert scores["cheap"].utility == pytest.approx(0.55 - 0.011)
    assert scores["dear"].quality_by_task == pytest.approx({"math": 0.9, "coding": 0.5})


def test_utility_is_quality_less_what_time_takes() -> None:
    scores = score(DEAR, CHEAP, preference=Preference(seconds_per_point=2))
    assert scores["dear"].utility == pytest.approx(0.8 - 0.02)
    assert scores["cheap"].utility == pytest.approx(0.55 - 0.005)


def test_an_infinite_price_of_a_point_leaves_quality_alone() -> None:
    assert score(DEAR)["dear"].utility == score(DEAR)["dear"].quality


def test_an_unknown_cost_or_latency_counts_as_the_median_of_the_known_and_is_named() -> None:
    known = [model(name, cost_usd=cost, latency_s=cost) for name, cost in (("a", 1.0), ("b", 3.0), ("c", 10.0))]
    scores = score(*known, model("d"))
    assert (scores["d"].cost_usd, scores["d"].latency_s) == (3, 3)
    assert scores["d"].assumed == {"cost_usd", "latency_s"}
    assert scores["a"].assumed == frozenset()


def test_where_no_cost_is_known_it_does_not_count_and_nothing_is_assumed() -> None:
    scored = score(model("a"), preference=Calibration().presets["cheap"])["a"]
    assert (scored.cost_usd, scored.latency_s, scored.assumed, scored.utility) == (None, None, frozenset(), 0.5)


def test_a_measured_cost_stands_in_where_a_list_price_is_missing() -> None:
    half_listed = model("a", input_usd_per_mtok=9, cost_usd=0.02)
    both = model("b", input_usd_per_mtok=2, output_usd_per_mtok=2, cost_usd=0.02)
    assert score(half_listed)["a"].cost_usd == 0.02
    assert score(both)["b"].cost_usd == pytest.approx(0.002)  # 500 prompt and 500 answer tokens


def test_a_cost_measured_by_task_counts_by_its_probability_and_the_mean_where_it_lacks() -> None:
    measured = model("a", cost_usd=0.02, cost_usd_by_task={"math": 0.04})
    assert score(measured)["a"].cost_usd == pytest.approx(0.75 * 0.04 + 0.25 * 0.02)


def test_a_task_a_profile_lacks_counts_as_the_mean_of_those_it_has_with_their_largest_error() -> None:
    lacking = ModelProfile(
        name="a", quality={"x": Estimate(mean=0.2, stderr=0.1, n=1), "y": Estimate(mean=0.6, stderr=0.3, n=1)}
    )
    scored = score(lacking, p={"math": 1.0})["a"]
    assert (scored.quality, scored.stderr) == pytest.approx((0.4, 0.3))


def test_a_model_of_which_nothing_is_known_counts_as_a_half_give_or_take_a_half() -> None:
    scored = score(ModelProfile(name="a"), p={"math": 1.0})["a"]
    assert (scored.quality, scored.stderr) == (0.5, 0.5)


def test_a_length_a_profile_lacks_is_the_mean_of_its_own() -> None:
    wordy = model("a", output_tokens={"math": 100, "writing": 300}, input_usd_per_mtok=0, output_usd_per_mtok=1e6)
    assert score(wordy, p={"coding": 1.0})["a"].cost_usd == pytest.approx(200)


def test_only_the_candidates_are_scored_in_their_order() -> None:
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
    told: bool = True,
) -> dict[str, ModelScore]:
    """Scores where prompts themselves count in mathematics alone."""
    heads = PromptHeads(
        models=tuple(profile.name for profile in profiles),
        quality=constant(*quality),
        cost=constant(*cost),
        quality_tasks=frozenset({"math"}),
        cost_tasks=frozenset({"math"}),
    )
    table = ProfileTable(profiles, ["math", "coding"], heads=heads)
    features = Features.of("any", np.zeros(2, np.float32)) if told else None
    names = [profile.name for profile in profiles]
    return table.score(names, p or {"math": 1.0}, tokens=500, preference=Preference(), features=features, trust=trust)


def test_a_shift_multiplies_the_odds_of_a_good_answer_and_scales_the_error_with_the_slope() -> None:
    scored = shifted(DEAR, CHEAP, quality=(math.log(1 / 3), math.log(2)))
    assert scored["dear"].quality == pytest.approx(0.75)  # odds of 9 become 3
    assert scored["dear"].stderr == pytest.approx(0.04 * (0.75 * 0.25) / (0.9 * 0.1))
    assert scored["cheap"].quality == pytest.approx(0.75)  # odds of 1.5 become 3
    assert scored["cheap"].shift == pytest.approx(math.log(2))


def test_a_ratio_multiplies_the_cost() -> None:
    told, untold = shifted(DEAR, CHEAP, cost=(math.log(3), 0)), shifted(DEAR, CHEAP)
    assert told["dear"].cost_usd == pytest.approx(3 * (untold["dear"].cost_usd or 0))
    assert told["cheap"].cost_usd == untold["cheap"].cost_usd


def test_prompts_count_as_far_as_their_task_heeds_them_and_as_they_speak_for_themselves() -> None:
    assert shifted(DEAR, CHEAP, quality=(2, 0), p={"math": 0.25, "coding": 0.75})["dear"].shift == pytest.approx(0.5)
    assert shifted(DEAR, CHEAP, quality=(2, 0), p={"coding": 1.0})["dear"].shift == 0
    assert shifted(DEAR, CHEAP, quality=(2, 0), trust=0.25)["dear"].shift == pytest.approx(0.5)
    assert shifted(DEAR, CHEAP, quality=(2, 0), told=False) == shifted(DEAR, CHEAP, quality=(0, 0))


def test_no_prompt_moves_a_model_without_bounds() -> None:
    far = shifted(DEAR, CHEAP, quality=(1e6, -1e6), cost=(1e6, -1e6))
    assert (far["dear"].shift, far["cheap"].shift) == (4, -4)
    assert 0 < far["cheap"].quality < far["dear"].quality < 1
    assert far["dear"].cost_usd == pytest.approx(0.011 * math.exp(3))


def test_the_scores_of_a_batch_are_those_of_its_prompts() -> None:
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
    with pytest.raises(ValueError, match="must be"):
        Preference(**wrong)
