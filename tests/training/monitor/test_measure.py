from tests.training.monitor.samples import traffic
from training.monitor.measure import measure_drift
from training.monitor.reference import make_reference


def test_similar_traffic_is_seldom_called_drift() -> None:
    reference = make_reference(traffic(300, seed=1), seed=0)
    found = [measure_drift(traffic(150, seed=seed), reference, seed=seed, permutations=200) for seed in range(2, 42)]
    assert sum(drift.is_significant for drift in found) <= 5  # 40 tests at 5 %: two are expected
    assert sum(drift.relabel for drift in found) <= 2


def test_prompts_of_another_kind_are_drift() -> None:
    reference = make_reference(traffic(300, seed=1), seed=0)
    drift = measure_drift(traffic(150, seed=2, moved=2.0), reference)
    assert drift.is_significant
    assert drift.mmd > 0.05
    assert not drift.grown_tasks


def test_a_task_that_doubled_is_named_and_calls_for_labels() -> None:
    reference = make_reference(traffic(300, seed=1, math=0.2), seed=0)
    drift = measure_drift(traffic(300, seed=2, math=0.8, moved=1.0), reference)
    assert drift.grown_tasks == ["math"]
    assert drift.tasks_p_value < 0.01
    assert drift.relabel


def test_a_rise_of_unsure_prompts_calls_for_labels() -> None:
    reference = make_reference(traffic(300, seed=1), seed=0)
    drift = measure_drift(traffic(300, seed=2, moved=1.0, sure=0.55), reference)
    assert (drift.unsure.then, drift.unsure.now) == (0, 1)
    assert drift.unsure_rose
    assert drift.relabel


def test_drift_below_all_thresholds_calls_for_no_labels() -> None:
    reference = make_reference(traffic(300, seed=1), seed=0)
    drift = measure_drift(traffic(300, seed=2, moved=0.7), reference)
    assert (drift.is_significant, drift.relabel) == (True, False)
