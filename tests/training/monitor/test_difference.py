import pytest

from router.options import RouteOptions
from tests.training.monitor.routers import LOG, NEW, OLD
from tests.training.monitor.samples import log
from training.monitor.compare import compare
from training.monitor.difference import Move, summarize


def test_repeated_prompts_count_each_time() -> None:
    difference = summarize(compare(OLD, NEW, LOG, options=RouteOptions()))
    assert (difference.n, difference.distinct, difference.added, difference.removed) == (5, 3, ["c"], [])
    assert difference.moved.value == pytest.approx(4 / 5)
    assert difference.moves == [Move(old="b", new="a", n=3), Move(old="b", new="c", n=1)]
    assert difference.retasked.value == 0
    assert difference.by_new is not None
    # By the new scores: b had 0.6 four times. Now a has 0.8 three times and c has 0.7 once. Coding stays with a.
    assert difference.by_new.old_quality == pytest.approx((0.9 + 4 * 0.6) / 5)
    assert difference.by_new.new_quality == pytest.approx((0.9 + 3 * 0.8 + 0.7) / 5)
    assert difference.by_new.old_cost_usd == pytest.approx((0.01 + 4 * 0.002) / 5)
    assert difference.by_new.new_cost_usd == pytest.approx((0.01 + 3 * 0.01 + 0.004) / 5)
    assert (difference.gone, difference.barred) == (0, 0)


def test_the_same_folder_changes_nothing() -> None:
    difference = summarize(compare(OLD, OLD, LOG, options=RouteOptions()))
    assert (difference.moved.value, difference.moves) == (0, [])
    assert difference.by_new is not None
    assert (difference.by_new.quality_gain.low, difference.by_new.quality_gain.high) == (0, 0)


def test_a_model_that_is_gone_has_no_new_score() -> None:
    difference = summarize(compare(NEW, OLD, log("a poem", "fix it"), options=RouteOptions()))
    assert (difference.removed, difference.gone) == (["c"], 1)
    assert difference.by_new is not None
    assert difference.by_new.n == 1
    assert difference.by_own.n == 2
