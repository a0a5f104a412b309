import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.errors import InputError
from router.health.latency import LatencyEstimate, Pace, make_pace, peak_ewma, summarize_paces
from router.health.live import LiveState
from router.health.policy import HealthPolicy
from tests.router.health.fakes import FakeClock, answer, begin

LATENCY = st.floats(0, 1e6)
SPAN = st.floats(0, 1e4)
BAD = [math.nan, math.inf, -math.inf, -1.0]


def pace(seconds: float) -> Pace:
    """Pace of an endpoint whose typical answer, 300 tokens, takes that long, all of it before the first token."""
    return Pace(first_token_s=seconds, per_token_s=0.0)


@pytest.mark.parametrize(
    ("sample", "elapsed_s", "estimate"),
    [
        (12.0, 60.0, 12.0),  # a peak counts in full
        (5.0, 60.0, 5.0),  # 10·e⁻¹ = 3.679 is what is left of the old peak; 5 exceeds it
        (1.0, 60.0, 1.985474),  # 3.678794·0.367879 + 1·0.632121
        (0.0, 60.0, 1.353353),  # 10·e⁻²
        (1.0, 0.0, 10.0),  # at the same moment nothing has faded
        (1.0, -5.0, 10.0),  # nor when the clock went back
    ],
)
def test_peak_ewma_of_10_seconds_with_a_decay_of_60(sample: float, elapsed_s: float, estimate: float) -> None:
    assert peak_ewma(10.0, sample, elapsed_s=elapsed_s, decay_s=60.0) == pytest.approx(estimate, rel=1e-6)


@given(last=LATENCY, sample=LATENCY, elapsed_s=SPAN)
def test_peak_ewma_never_falls_below_the_sample_nor_exceeds_both(last: float, sample: float, elapsed_s: float) -> None:
    estimate = peak_ewma(last, sample, elapsed_s=elapsed_s, decay_s=60.0)
    assert sample * (1 - 1e-9) <= estimate <= max(last, sample) * (1 + 1e-9)


@given(last=LATENCY, samples=st.tuples(LATENCY, LATENCY), elapsed_s=SPAN)
def test_a_slower_sample_never_makes_the_estimate_faster(
    last: float, samples: tuple[float, float], elapsed_s: float
) -> None:
    low, high = (peak_ewma(last, sample, elapsed_s=elapsed_s, decay_s=60.0) for sample in sorted(samples))
    assert low <= high * (1 + 1e-9)


@pytest.mark.parametrize("bad", BAD)
def test_nan_infinite_and_negative_samples_are_refused_and_change_nothing(bad: float) -> None:
    with pytest.raises(InputError, match="finite and not negative, got"):
        peak_ewma(10.0, bad, elapsed_s=1.0, decay_s=60.0)
    estimate = LatencyEstimate()
    estimate.add(make_pace(2.0, 1.0, 100), now=0.0, decay_s=60.0)
    with pytest.raises(InputError, match="finite and not negative, got"):
        make_pace(bad, None, None)
    with pytest.raises(InputError, match="finite and not negative, got"):
        estimate.add(Pace(first_token_s=bad, per_token_s=0.01), now=1.0, decay_s=60.0)
    assert estimate.pace == Pace(first_token_s=1.0, per_token_s=0.01)


@pytest.mark.parametrize("bad", [*BAD, 5.0])
def test_a_first_token_outside_the_call_counts_as_unknown(bad: float) -> None:
    assert make_pace(2.0, bad, 100) == make_pace(2.0, None, 100)


@pytest.mark.parametrize("bad", BAD)
def test_a_length_that_is_no_length_counts_as_unknown(bad: float) -> None:
    assert make_pace(2.0, None, bad) == make_pace(2.0, None, None)  # type: ignore[arg-type] # the point


def test_a_streamed_answer_separates_its_first_token_from_its_length() -> None:
    clock = FakeClock()
    live = LiveState({"a": 1.0}, clock=clock)
    attempt = begin(live, "a")
    clock.advance(1.0)
    attempt.first_token()
    clock.advance(3.0)
    attempt.first_token()
    attempt.succeed(output_tokens=150)
    health = live.snapshot()["a"]
    assert (health.ttft_s, health.s_per_token) == pytest.approx((1.0, 0.02))
    assert live.load("a", output_tokens=0) == pytest.approx(1.0)
    assert live.load("a", output_tokens=50) == pytest.approx(2.0)
    assert live.load("a", output_tokens=1000) == pytest.approx(21.0)


def test_a_long_answer_is_not_held_against_the_model_that_wrote_it() -> None:
    clock = FakeClock()
    live = LiveState({"wordy": 1.0, "terse": 1.0}, clock=clock)
    answer(live, clock, "wordy", 41.0, output_tokens=2000)  # 0.02 s a token, the first worth 50
    answer(live, clock, "terse", 6.0, output_tokens=100)  # 0.04 s a token
    assert live.load("wordy") == pytest.approx(7.0)
    assert live.load("terse") == pytest.approx(14.0)


def test_an_answer_of_unknown_length_counts_as_a_typical_one_and_an_empty_one_as_a_token() -> None:
    clock = FakeClock()
    live = LiveState({"unknown": 1.0, "empty": 1.0}, clock=clock)
    answer(live, clock, "unknown", 7.0)
    assert live.load("unknown", output_tokens=300) == pytest.approx(7.0)
    answer(live, clock, "empty", 0.51, output_tokens=0)  # 0.01 s a token, the first worth 50
    assert live.load("empty", output_tokens=0) == pytest.approx(0.5)


def test_a_call_too_short_for_the_clock_still_has_a_load_that_grows_with_requests() -> None:
    clock = FakeClock()
    live = LiveState({"a": 1.0}, clock=clock)
    answer(live, clock, "a", 0.0)
    idle = live.load("a")
    with begin(live, "a"):
        assert live.load("a") == pytest.approx(2 * idle)
    assert idle > 0


def test_an_unknown_latency_is_one_second_and_later_the_median_of_the_known_ones() -> None:
    clock = FakeClock()
    live = LiveState(dict.fromkeys("abcde", 1.0), clock=clock)
    assert live.load("e") == 1.0
    assert live.load("e", output_tokens=5000) == 1.0
    answer(live, clock, "a", 2.0)
    assert live.load("e") == pytest.approx(2.0)
    answer(live, clock, "b", 4.0)
    assert live.load("e") == pytest.approx(3.0)
    answer(live, clock, "c", 9.0)
    assert live.load("e") == pytest.approx(4.0)
    assert live.snapshot()["e"].predicted_s == pytest.approx(4.0)
    assert live.snapshot()["e"].ttft_s is None


@pytest.mark.parametrize(
    ("seconds", "decay_s"), [((), 60.0), ((0.1,), 10.0), ((1.0, 1.0, 50.0), 30.0), ((2.0,), 60.0), ((10.0,), 120.0)]
)
def test_latencies_are_forgotten_by_30_medians_between_10_and_120_seconds(
    seconds: tuple[float, ...], decay_s: float
) -> None:
    summary = summarize_paces([pace(each) for each in seconds], HealthPolicy())
    assert summary.decay_s == pytest.approx(decay_s)


def test_a_bad_latency_fades_down_to_that_of_the_fastest_and_a_good_one_stays() -> None:
    clock = FakeClock()
    live = LiveState({"fast": 1.0, "slow": 1.0}, clock=clock)
    answer(live, clock, "fast", 2.0)
    answer(live, clock, "slow", 20.0)  # the median is 11 s: a time constant of 120 s
    assert live.load("slow") == pytest.approx(20.0)
    clock.advance(120.0)
    assert live.load("slow") == pytest.approx(7.357589)
    clock.advance(3600.0)
    assert live.load("slow") == pytest.approx(2.0)
    assert live.load("fast") == pytest.approx(2.0)


def test_an_endpoint_that_beats_the_fastest_for_short_answers_is_not_slowed_down_by_age() -> None:
    clock = FakeClock()
    live = LiveState({"prompt": 1.0, "steady": 1.0}, clock=clock)
    for name, first_token_s, seconds in (("prompt", 0.1, 6.1), ("steady", 2.0, 5.0)):
        attempt = begin(live, name)
        clock.advance(first_token_s)
        attempt.first_token()
        clock.advance(seconds - first_token_s)
        attempt.succeed(output_tokens=300)
    clock.advance(50.0)
    assert live.load("prompt", output_tokens=5) == pytest.approx(0.2)
    assert live.load("steady", output_tokens=5) == pytest.approx(2.05)


def test_a_clock_that_goes_back_makes_nothing_slower() -> None:
    clock = FakeClock()
    live = LiveState({"fast": 1.0, "slow": 1.0}, clock=clock)
    answer(live, clock, "fast", 2.0)
    answer(live, clock, "slow", 20.0)
    clock.advance(-10.0)
    assert live.load("slow") == pytest.approx(20.0)


def test_a_faded_peak_is_replaced_by_a_sample_that_exceeds_what_is_left_of_it() -> None:
    clock = FakeClock()
    live = LiveState({"fast": 1.0, "slow": 1.0}, clock=clock)
    answer(live, clock, "fast", 2.0)
    answer(live, clock, "slow", 20.0)
    clock.advance(115.0)
    answer(live, clock, "slow", 5.0)  # 120 s after the peak: 7.357589·0.367879 + 5·0.632121
    assert live.load("slow") == pytest.approx(5.867313)


@given(seconds=st.lists(st.floats(0, 1e4), min_size=1, max_size=9), later=SPAN)
def test_no_prediction_is_ever_zero_nor_slower_than_the_slowest_sample(seconds: list[float], later: float) -> None:
    clock = FakeClock(0.0)
    live = LiveState(dict.fromkeys("abc", 1.0), clock=clock)
    for place, each in enumerate(seconds):
        answer(live, clock, "ab"[place % 2], each)
    clock.advance(later)
    for name in "abc":
        assert 0 < live.load(name) <= max(*seconds, 2e-6) * (1 + 1e-9)


@pytest.mark.parametrize("bad", BAD)
def test_a_load_for_an_impossible_length_is_refused(bad: float) -> None:
    with pytest.raises(InputError, match="output_tokens must be finite and not negative, got"):
        LiveState({"a": 1.0}).load("a", output_tokens=bad)
