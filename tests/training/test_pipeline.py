import shutil
from pathlib import Path

import pytest

from router import Router
from router.classify.encoder import OnnxEncoder
from router.model_folder.load import load_model_folder
from router.model_folder.manifest import QUALITY, SIZE_CAPS
from tests.training.files import read_files
from training.classifier.folds import FOLDS
from training.data.prompts import read_prompts
from training.data.table import DatasetError, hash_file
from training.evaluation.baselines import predict_by_keywords, predict_majority
from training.evaluation.folder import evaluate_folder
from training.manifest import CANARIES

SMALL_TASKS = ["coding", "math", "translation"]
USER_PROMPTS = Path("../shared/data/prompts/user_dev.csv.gz")


def test_a_trained_folder_routes_each_task_to_the_model_that_is_best_at_it(trained, small) -> None:
    router = Router.load(trained[0])
    decisions = [(row["task"], router.route(row["prompt"], prefer="quality")) for row in small.prompts]
    right = [(task, decision) for task, decision in decisions if decision.prediction.task == task]
    assert len(right) >= 0.9 * len(decisions)
    best = {"coding": "coder", "math": "counter", "translation": "linguist"}
    sure = [(task, decision.model) for task, decision in right if decision.prediction.confidence > 0.5]
    assert {task for task, _ in sure} == set(SMALL_TASKS)
    assert [(task, model) for task, model in sure if model != best[task]] == []
    unseen = [router.route(row["prompt"]).prediction.task == row["task"] for row in small.others]
    assert sum(unseen) / len(unseen) > 0.5  # three tasks: chance is a third


def test_a_trained_folder_records_its_data_and_its_scores(trained, small, small_files) -> None:
    folder, training = trained
    manifest = load_model_folder(folder).manifest
    assert set(read_files(folder)) == set(SIZE_CAPS) - {QUALITY}  # no prompts in the benchmark, so no heads
    assert manifest.labels == SMALL_TASKS
    assert [(data.name, data.rows, data.sha256) for data in manifest.training_data] == [
        ("prompts.csv", 45, hash_file(small_files[0])),
        ("benchmark.csv", 9, hash_file(small_files[1])),
    ]
    names = ["classifier", "embedding alone", "words alone", "TF-IDF + LR", "keyword rules", "majority"]
    assert [quality.name for quality in training.qualities] == names
    assert manifest.metrics["classifier accuracy"] == pytest.approx(training.qualities[0].accuracy.value, abs=1e-6)
    assert manifest.metrics["majority accuracy"] <= 1 / 3
    assert manifest.metrics["classifier accuracy"] > 0.5
    assert {task.task: task.n for task in training.tasks} == dict.fromkeys(SMALL_TASKS, 15)
    assert [profile.name for profile in training.profiles] == ["coder", "counter", "linguist"]
    report = (folder / "report.md").read_text()
    assert f"n = 45, seed {manifest.seed}" in report
    assert str(training.qualities[0].accuracy) in report
    assert not any(row["prompt"] in report for row in small.prompts)


def test_the_same_inputs_give_the_same_bytes(tmp_path: Path, train_small, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    train_small(tmp_path / "a", cache=tmp_path / "cache")
    train_small(tmp_path / "b")
    made = read_files(tmp_path / "a")
    assert made == read_files(tmp_path / "b")
    # From the folder that was made, no prompt is encoded again, and the bytes are still the same.
    encoded: list[str] = []
    encode = OnnxEncoder.encode
    monkeypatch.setattr(OnnxEncoder, "encode", lambda self, texts: encoded.extend(texts) or encode(self, texts))
    train_small(tmp_path / "c", encoder=tmp_path / "a" / "encoder")
    assert set(encoded) == set(CANARIES)
    assert made == read_files(tmp_path / "c")
    assert b'"created": "2023-11-14T22:13:20+00:00"' in made["manifest.json"]


def test_one_progress_goes_through_all_stages(tmp_path: Path, encoder_folder: Path, train_small) -> None:
    told: list[tuple[str, float]] = []
    # Away from its model folder, the encoder has no vectors of these prompts.
    encoder = shutil.copytree(encoder_folder, tmp_path / "encoder")
    train_small(tmp_path / "a", encoder=encoder, progress=lambda stage, share: told.append((stage, share)))
    shares = [share for _, share in told]
    assert shares == sorted(shares)
    assert shares[0] == 0.0
    assert shares[-1] == 1.0
    stages = list(dict.fromkeys(stage for stage, _ in told))
    assert stages[1:3] == ["encoding the prompts", "fitting the classifier"]
    assert stages[-2:] == ["evaluating", "done"]
    # Encoding and fitting tell how far they are.
    assert [sum(stage == each for stage, _ in told) for each in stages[1:3]] == [1 + 45, 1 + 2 * FOLDS]


def rows_of(**counts: int) -> list[dict[str, object]]:
    return [{"prompt": f"{task} {i}", "task": task} for task, n in counts.items() for i in range(n)]


BAD_DATA = {
    "an unknown task": ("prompts", rows_of(cooding=1), "row 2: task 'cooding' is unknown"),
    "too few of a task": ("prompts", rows_of(qa=5, math=4), "at least 5 different prompts, got {'math': 4}; add"),
    "one task": ("prompts", rows_of(qa=9), "there must be at least 2 tasks"),
    "fewer groups than folds": (
        "prompts", [row | {"group": row["task"]} for row in rows_of(coding=9, math=9, translation=9)],
        "at least 5 groups, got 3",
    ),
    "a task without prompts": ("benchmark", [{"model": "a", "task": "ethics", "score": 1}], "task 'ethics' is unknown"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_DATA)
def test_a_training_that_fails_on_its_data_keeps_the_old_folder(
    tmp_path: Path, trained, train_small, write_csv, case
) -> None:
    kind, rows, message = BAD_DATA[case]
    given, out = write_csv(tmp_path / "given.csv", rows), Path(shutil.copytree(trained[0], tmp_path / "model"))
    with pytest.raises(DatasetError) as caught:
        train_small(out, **{kind: given})
    assert message in str(caught.value)
    assert str(given) in str(caught.value)
    assert read_files(out) == read_files(trained[0])
    assert sorted(tmp_path.iterdir()) == [given, out]


def test_a_new_model_in_the_benchmark_is_chosen_if_it_is_best(
    tmp_path: Path, trained, small, train_small, write_csv
) -> None:
    more = [{"model": "newcomer", "task": task, "score": 0.99, "benchmark": "made up", "n": 1000} for task in SMALL_TASKS]
    train_small(tmp_path / "model", benchmark=write_csv(tmp_path / "b.csv", [*small.benchmark, *more]))
    router, before = Router.load(tmp_path / "model"), Router.load(trained[0])
    chosen = {router.route(row["prompt"], prefer="quality").model for row in small.others}
    assert chosen == {"newcomer"}
    assert "newcomer" not in {before.route(row["prompt"], prefer="quality").model for row in small.others}


def test_three_new_prompts_change_the_decision_for_similar_prompts(
    tmp_path: Path, trained, small, train_small, write_csv
) -> None:
    more = ["zorble the quux of seven", "zorble a quux by nine", "please zorble this quux"]
    question = "can you zorble the quux of twelve"
    rows = [*small.prompts, *({"prompt": text, "task": "translation"} for text in more)]
    train_small(tmp_path / "model", prompts=write_csv(tmp_path / "p.csv", rows))
    before, after = (Router.load(folder).route(question, prefer="quality") for folder in (trained[0], tmp_path / "model"))
    assert before.prediction.task != "translation"
    assert after.prediction.task == "translation"
    assert (before.model == "linguist", after.model) == (False, "linguist")


def test_own_tasks_are_learned_and_routed(tmp_path: Path, small, train_small, write_csv) -> None:
    files = {
        kind: write_csv(tmp_path / f"{kind}.csv", [row | {"task": f"my {row['task']}"} for row in rows])
        for kind, rows in (("prompts", small.prompts), ("benchmark", small.benchmark))
    }
    with pytest.raises(DatasetError, match="--own-tasks"):
        train_small(tmp_path / "model", **files)
    train_small(tmp_path / "model", own_tasks=True, **files)
    decision = Router.load(tmp_path / "model").route(small.prompts[0]["prompt"])
    assert set(decision.prediction.probabilities) == {f"my {task}" for task in SMALL_TASKS}


def test_the_classifier_finds_the_tasks_of_a_benchmark_without_tasks(tmp_path: Path, small, train_small, write_csv) -> None:
    rows = [
        {"model": model, "prompt": row["prompt"], "score": int((row["task"] == "math") == (model == "counter"))}
        for row in small.prompts
        for model in ("counter", "other")
    ]
    training = train_small(tmp_path / "model", benchmark=write_csv(tmp_path / "b.csv", rows))
    quality = {profile.name: profile.quality for profile in training.profiles}
    assert quality["counter"]["math"].mean > quality["other"]["math"].mean + 0.2
    assert quality["other"]["coding"].mean > quality["counter"]["coding"].mean + 0.2
    assert sum(estimate.n for estimate in quality["other"].values()) == pytest.approx(45, abs=1e-6)


def test_the_shipped_folder_was_trained_on_the_repositorys_data(model_folder: Path, root: Path) -> None:
    recorded = {data.name: data.sha256 for data in load_model_folder(model_folder).manifest.training_data}
    assert recorded == {name: hash_file(root / "data" / name) for name in ("prompts.csv", "benchmark.csv")}
    # Enough prompts that the encoder was not tuned on are left for folds.
    assert load_model_folder(model_folder).manifest.metrics["folds"] == 5


def test_the_shipped_folder_classifies_real_prompts_better_than_rules_and_majority(model_folder: Path, root: Path) -> None:
    path = root / USER_PROMPTS
    if not path.is_file():
        pytest.skip(f"{USER_PROMPTS}, real users' prompts, is not part of the repository")
    given, train_on = read_prompts(path), read_prompts(root / "data" / "prompts.csv").rows
    evaluation, _ = evaluate_folder(model_folder, given, train_on=None)
    router = evaluation.qualities[0]
    rules = load_model_folder(model_folder).rules
    for predicted in (predict_by_keywords(rules, train_on, given.rows), predict_majority(train_on, given.rows)):
        right = sum(task == row.task for task, row in zip(predicted, given.rows, strict=True))
        assert router.accuracy.low > right / len(given.rows)
