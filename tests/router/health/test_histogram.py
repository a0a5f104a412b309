import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.errors import InputError
from router.health.histogram import LogHistogram

SECONDS = st.lists(st.floats(1e-9, 1e9), min_size=1, max_size=60)


def holding(*samples: float) -> LogHistogram:
    histogram = LogHistogram()
    for sample in samples:
        histogram.add(sample)
    return histogram


@given(samples=SECONDS, q=st.floats(0, 1))
def test_a_quantile_is_within_1_percent_of_the_sample_at_its_place(samples: list[float], q: float) -> None:
    exact = sorted(samples)[math.floor(q * (len(samples) - 1))]
    assert holding(*samples).quantile(q) == pytest.approx(exact, rel=0.0100001)


def test_of_a_hundred_samples_the_percentiles_are_those_counted_off_by_hand() -> None:
    histogram = holding(*range(1, 101))
    # Places ⌊0.5·99⌋ = 49, ⌊0.95·99⌋ = 94, ⌊0.99·99⌋ = 98, counted from 0.
    for q, seconds in ((0, 1), (0.5, 50), (0.95, 95), (0.99, 99), (1, 100)):
        assert histogram.quantile(q) == pytest.approx(seconds, rel=0.01)


@given(ours=SECONDS, theirs=SECONDS)
def test_merging_is_the_same_as_adding_every_sample_to_one(ours: list[float], theirs: list[float]) -> None:
    other = holding(*theirs)
    merged = holding(*ours).merge(other)
    assert merged == holding(*ours, *theirs) == holding(*theirs).merge(holding(*ours))
    assert merged.count == len(ours) + len(theirs)
    assert other == holding(*theirs)


def test_merging_with_itself_doubles_every_count() -> None:
    histogram = holding(1.0, 2.0)
    assert histogram.merge(histogram) == holding(1.0, 1.0, 2.0, 2.0)


@given(samples=SECONDS, more=SECONDS)
def test_a_copy_is_independent(samples: list[float], more: list[float]) -> None:
    original = holding(*samples)
    original.copy().merge(holding(*more))
    assert original == holding(*samples)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, -1e-300, -1.0])
def test_nan_infinite_and_negative_samples_are_refused_and_change_nothing(bad: float) -> None:
    histogram = holding(1.0)
    with pytest.raises(InputError, match="finite and not negative, got"):
        histogram.add(bad)
    assert histogram == holding(1.0)


def test_however_far_apart_samples_are_the_buckets_stay_bounded() -> None:
    histogram = holding(*(10.0 ** (exponent / 50) for exponent in range(-1000, 1001)), 0.0, 5e-324, 1.7e308)
    assert len(histogram._counts) <= 2074
    assert histogram.quantile(0) == pytest.approx(1e-9, rel=0.01)
    assert histogram.quantile(1) == pytest.approx(1e9, rel=0.01)


def test_without_samples_there_is_no_quantile() -> None:
    assert LogHistogram().quantile(0.5) is None
    assert LogHistogram().count == 0


@pytest.mark.parametrize("q", [-0.1, 1.1, 99, math.nan])
def test_a_quantile_outside_0_to_1_is_refused(q: float) -> None:
    with pytest.raises(InputError, match=r"the 99th percentile is 0\.99"):
        holding(1.0).quantile(q)
