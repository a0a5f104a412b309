import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from router.artifacts import load_artifact
from router.errors import ArtifactError
from training.datasets import DatasetError
from training.drift import (
    REFERENCE,
    Reference,
    Traffic,
    adjust,
    check_drift,
    compare_counts,
    compare_embeddings,
    find_novel_distance,
    from_arrays,
    load_reference,
    make_reference,
    measure_drift,
    nearest_distances,
    to_arrays,
    write_suspects,
)
from training.logs import LoggedPrompt

TASKS = ("coding", "math")


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def traffic(n: int, *, seed: int, math: float = 0.5, moved: float = 0.0, sure: float = 0.9) -> Traffic:
    """Prompts of two tasks, of which so many are mathematics, with embeddings moved along one direction."""
    rng = np.random.default_rng(seed)
    second = rng.random(n) < math
    embeddings = unit(rng.normal(size=(n, 8)) + moved * np.eye(8)[0])
    probabilities = np.where(second[:, None], (1 - sure, sure), (sure, 1 - sure))
    return Traffic(tasks=TASKS, threshold=0.6, embeddings=embeddings, probabilities=probabilities, continues=np.zeros(n))


def test_traffic_of_the_same_kind_is_called_drift_no_more_often_than_it_may() -> None:
    reference = make_reference(traffic(300, seed=1), seed=0)
    found = [measure_drift(traffic(150, seed=seed), reference, seed=seed, permutations=200) for seed in range(2, 42)]
    assert sum(drift.is_significant for drift in found) <= 5  # of 40 at 5 %: two are expected
    assert sum(drift.relabel for drift in found) <= 2


def test_prompts_of_another_kind_are_found() -> None:
    reference = make_reference(traffic(300, seed=1), seed=0)
    drift = measure_drift(traffic(150, seed=2, moved=2.0), reference)
    assert drift.is_significant
    assert drift.mmd > 0.05
    assert not drift.grown_tasks


def test_a_task_that_doubled_is_named_and_labels_are_asked_for() -> None:
    reference = make_reference(traffic(300, seed=1, math=0.2), seed=0)
    drift = measure_drift(traffic(300, seed=2, math=0.8, moved=1.0), reference)
    assert drift.grown_tasks == ["math"]
    assert drift.tasks_p_value < 0.01
    assert drift.relabel


def test_so_is_a_rise_of_what_the_classifier_is_unsure_of() -> None:
    reference = make_reference(traffic(300, seed=1), seed=0)
    drift = measure_drift(traffic(300, seed=2, moved=1.0, sure=0.55), reference)
    assert (drift.unsure.then, drift.unsure.now) == (0, 1)
    assert drift.unsure_rose
    assert drift.relabel


def test_a_drift_that_labels_would_not_mend_asks_for_none() -> None:
    reference = make_reference(traffic(300, seed=1), seed=0)
    drift = measure_drift(traffic(300, seed=2, moved=0.7), reference)
    assert (drift.is_significant, drift.relabel) == (True, False)


def test_the_discrepancy_of_samples_by_hand() -> None:
    # two points each, one pair equal: the statistic is that of the unbiased estimate, its p that of all being alike
    rng = np.random.default_rng(0)
    same = unit(np.array([[1.0, 0.0], [0.0, 1.0]]))
    mmd, p = compare_embeddings(same, same, rng=rng, permutations=99)
    assert mmd < 0.01  # below 0, since a sample is no farther from itself than from the other
    assert p > 0.3


def test_counts_by_hand() -> None:
    statistic, p = compare_counts(np.array([30, 10]), np.array([10, 30]), rng=np.random.default_rng(0), permutations=999)
    assert statistic == pytest.approx(20)  # four cells, each off by 10 of 20
    assert p < 0.005
    even, p = compare_counts(np.array([20, 20, 0]), np.array([20, 20, 0]), rng=np.random.default_rng(0), permutations=99)
    assert (even, p) == (0, 1)


def test_p_values_are_adjusted_for_their_number() -> None:
    # sorted 0.01, 0.02, 0.03, 0.5, times 4/1, 4/2, 4/3, 4/4, each no more than the next
    assert adjust([0.5, 0.01, 0.03, 0.02]) == pytest.approx([0.5, 0.04, 0.04, 0.04])


def test_what_is_farther_than_the_reference_from_itself_is_novel() -> None:
    reference = unit(np.array([[1.0, 0.1], [1.0, -0.1], [1.0, 0.0]]))
    far = find_novel_distance(reference)
    distances = nearest_distances(unit(np.array([[1.0, 0.05], [0.0, 1.0]])), reference)
    assert (distances > far).tolist() == [False, True]


def test_a_reference_comes_back_from_its_arrays_and_holds_no_more_than_256_prompts() -> None:
    reference = make_reference(traffic(400, seed=1), seed=0)
    again = from_arrays(to_arrays(reference), TASKS)
    assert len(again.embeddings) == 256
    assert (again.counts == reference.counts).all()
    assert (again.n_unsure, again.n_judged) == (reference.n_unsure, 400)
    assert again.embeddings == pytest.approx(reference.embeddings, abs=1e-3)


@pytest.mark.parametrize("change", [{"counts": np.zeros(3, np.int64)}, {"more": np.zeros(1)}, {"unsure": np.zeros(2)}])
def test_arrays_that_are_no_reference_are_refused(change: dict[str, np.ndarray]) -> None:
    with pytest.raises(ArtifactError, match="train the folder again"):
        from_arrays(to_arrays(make_reference(traffic(40, seed=1), seed=0)) | change, TASKS)


def test_follow_ups_do_not_count() -> None:
    going_on = replace(traffic(100, seed=1), continues=np.where(np.arange(100) < 30, 0.9, 0.1))
    assert make_reference(going_on, seed=0).n_judged == 70


def log(*texts: str) -> list[LoggedPrompt]:
    return [LoggedPrompt(prompt=text, text=text, row=row) for row, text in enumerate(texts, 2)]


def test_the_shipped_folder_keeps_a_reference_and_prompts_of_one_kind_are_drift(model_folder: Path) -> None:
    artifact = load_artifact(model_folder)
    reference = load_reference(artifact)
    assert reference.n_judged == artifact.manifest.metrics["n"]
    sums = check_drift(
        artifact, log(*(f"what is {i} times {i + 3}, and why?" for i in range(40)), "", "what is 1 times 4, and why?")
    )
    assert (sums.logged, sums.distinct) == (42, 40)
    assert sums.drift.relabel
    assert len(sums.drift.grown_tasks) == 1


def test_a_log_may_be_the_reference(model_folder: Path, tmp_path: Path) -> None:
    texts = [f"translate word number {i} into Greek" for i in range(60)]
    (tmp_path / "then.txt").write_text("\n".join(texts[:30]))
    told = check_drift(load_artifact(model_folder), log(*texts[30:]), reference=tmp_path / "then.txt")
    assert told.drift.n_embeddings == 30
    assert not told.drift.relabel


def test_too_few_prompts_are_refused(model_folder: Path) -> None:
    with pytest.raises(DatasetError, match="at least 20 different prompts with a task of their own, has 1; collect more"):
        check_drift(load_artifact(model_folder), log(*["prove that two is prime"] * 30))


def test_a_folder_without_a_reference_says_what_to_name(model_folder: Path) -> None:
    artifact = load_artifact(model_folder)
    files = [entry for entry in artifact.manifest.files if entry.path != REFERENCE]
    import msgspec

    bare = replace(artifact, manifest=msgspec.structs.replace(artifact.manifest, files=files))
    with pytest.raises(DatasetError, match="name the training prompts with --reference"):
        check_drift(bare, log("any"))


def test_suspects_are_written_in_the_layout_of_labelled_prompts(model_folder: Path, tmp_path: Path) -> None:
    told = check_drift(
        load_artifact(model_folder), log("=cmd|' /C calc'!A0", *(f"zxqv {i} wvut {i * 7}" for i in range(40)))
    )
    write_suspects(tmp_path / "label.csv", told.suspects)
    with (tmp_path / "label.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == len(told.suspects) > 0
    assert set(rows[0]) == {"prompt", "task"}
    assert not any(row["prompt"].startswith("=") for row in rows)


def test_the_reference_holds_its_share_of_unsure_prompts() -> None:
    mixed = replace(traffic(10, seed=1), probabilities=np.array([[0.55, 0.45]] * 3 + [[0.9, 0.1]] * 7))
    told: Reference = make_reference(mixed, seed=0)
    assert (told.n_unsure, told.n_judged, told.counts.tolist()) == (3, 10, [10, 0])
