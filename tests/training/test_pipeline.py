import shutil
from pathlib import Path

import pytest

from router import Router
from router.artifacts import QUALITY, SIZE_CAPS, load_artifact
from training import artifacts
from training.classifier import FOLDS
from training.datasets import DatasetError, hash_file, read_prompts
from training.evaluate import predict_by_keywords, predict_majority
from training.pipeline import evaluate_folder

SMALL_TASKS = ["coding", "math", "translation"]
USER_PROMPTS = Path("../shared/data/prompts/user_dev.csv.gz")


def contents(folder: Path) -> dict[str, bytes]:
    """Return the bytes of every file below a folder, by path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


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


def test_a_trained_folder_says_what_it_was_made_of_and_how_good_it_is(trained, small, small_files) -> None:
    folder, training = trained
    manifest = load_artifact(folder).manifest
    assert set(contents(folder)) == set(SIZE_CAPS) - {QUALITY}  # no prompts in the benchmark, nothing learnt of them
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
    made = contents(tmp_path / "a")
    assert made == contents(tmp_path / "b")
    assert b'"created": "2023-11-14T22:13:20+00:00"' in made["manifest.json"]


def test_an_older_model_folder_is_replaced(tmp_path: Path, trained, train_small) -> None:
    out = Path(shutil.copytree(trained[0], tmp_path / "model"))
    train_small(out, encoder=out / "encoder", seed=1)  # its own encoder, too
    assert load_artifact(out).manifest.seed == 1
    assert load_artifact(trained[0]).manifest.seed == 0
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize("kind", ["a file", "a folder with another file", "a folder that only looks alike", "a nested file"])
def test_what_is_no_model_folder_is_refused_and_untouched(tmp_path: Path, train_small, kind: str) -> None:
    out = tmp_path / "out"
    precious = {
        "a file": out,
        "a folder with another file": out / "thesis.tex",
        "a folder that only looks alike": out / "report.md",
        "a nested file": out / "encoder" / "notes" / "a.txt",
    }[kind]
    precious.parent.mkdir(parents=True, exist_ok=True)
    precious.write_text("precious")
    with pytest.raises(DatasetError, match=r"is not a model folder .*; name a new folder"):
        train_small(out)
    assert precious.read_text() == "precious"
    assert list(tmp_path.iterdir()) == [out]


def rows_of(**counts: int) -> list[dict[str, object]]:
    return [{"prompt": f"{task} {i}", "task": task} for task, n in counts.items() for i in range(n)]


BAD_DATA = {
    "an unknown task": ("prompts", rows_of(cooding=1), "row 2: task 'cooding' is unknown"),
    "too few of a task": ("prompts", rows_of(qa=5, math=4), "at least 5 different prompts, too few: {'math': 4}; add"),
    "one task": ("prompts", rows_of(qa=9), "there must be two tasks or more"),
    "fewer groups than folds": (
        "prompts", [row | {"group": row["task"]} for row in rows_of(coding=9, math=9, translation=9)], "group",
    ),
    "a task without prompts": ("benchmark", [{"model": "a", "task": "ethics", "score": 1}], "task 'ethics' is unknown"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_DATA)
def test_a_training_that_fails_on_its_data_leaves_the_old_folder(
    tmp_path: Path, trained, train_small, write_csv, case
) -> None:
    kind, rows, told = BAD_DATA[case]
    given, out = write_csv(tmp_path / "given.csv", rows), Path(shutil.copytree(trained[0], tmp_path / "model"))
    with pytest.raises(DatasetError) as caught:
        train_small(out, **{kind: given})
    assert told in str(caught.value)
    assert str(given) in str(caught.value)
    assert contents(out) == contents(trained[0])
    assert sorted(tmp_path.iterdir()) == [given, out]


@pytest.mark.parametrize("step", ["load", "rename"])
def test_a_failure_while_the_folder_is_written_leaves_the_old_one(
    tmp_path: Path, trained, train_small, monkeypatch, step
) -> None:
    out = Path(shutil.copytree(trained[0], tmp_path / "model"))
    rename = Path.rename

    def fail(*_: object, **__: object) -> None:
        raise OSError("disk full")

    def fail_on_new(path: Path, target: Path) -> Path:
        return fail() if path.name == "new" else rename(path, target)

    if step == "load":
        monkeypatch.setattr(artifacts, "load_artifact", fail)
    else:
        monkeypatch.setattr(Path, "rename", fail_on_new)
    with pytest.raises(OSError, match="disk full"):
        train_small(out)
    assert list(tmp_path.iterdir()) == [out]
    assert contents(out) == contents(trained[0])


def test_one_more_model_in_the_benchmark_is_chosen_where_it_is_best(
    tmp_path: Path, trained, small, train_small, write_csv
) -> None:
    more = [{"model": "newcomer", "task": task, "score": 0.99, "benchmark": "made up", "n": 1000} for task in SMALL_TASKS]
    train_small(tmp_path / "model", benchmark=write_csv(tmp_path / "b.csv", [*small.benchmark, *more]))
    router, before = Router.load(tmp_path / "model"), Router.load(trained[0])
    chosen = {router.route(row["prompt"], prefer="quality").model for row in small.others}
    assert chosen == {"newcomer"}
    assert "newcomer" not in {before.route(row["prompt"], prefer="quality").model for row in small.others}


def test_three_more_prompts_change_the_decision_on_others_like_them(
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


def test_own_tasks_are_learnt_and_routed(tmp_path: Path, small, train_small, write_csv) -> None:
    files = {
        kind: write_csv(tmp_path / f"{kind}.csv", [row | {"task": f"my {row['task']}"} for row in rows])
        for kind, rows in (("prompts", small.prompts), ("benchmark", small.benchmark))
    }
    with pytest.raises(DatasetError, match="--own-tasks"):
        train_small(tmp_path / "model", **files)
    train_small(tmp_path / "model", own_tasks=True, **files)
    decision = Router.load(tmp_path / "model").route(small.prompts[0]["prompt"])
    assert set(decision.prediction.probabilities) == {f"my {task}" for task in SMALL_TASKS}


def test_a_benchmark_of_prompts_without_tasks_is_read_by_the_classifier(
    tmp_path: Path, small, train_small, write_csv
) -> None:
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
    recorded = {data.name: data.sha256 for data in load_artifact(model_folder).manifest.training_data}
    assert recorded == {name: hash_file(root / "data" / name) for name in ("prompts.csv", "benchmark.csv")}
    assert load_artifact(model_folder).manifest.metrics["folds"] == FOLDS


def test_the_shipped_folder_tells_real_users_tasks_better_than_rules_and_majority(model_folder: Path, root: Path) -> None:
    path = root / USER_PROMPTS
    if not path.is_file():
        pytest.skip(f"{USER_PROMPTS}, real users' prompts, is not part of the repository")
    given, train_on = read_prompts(path), read_prompts(root / "data" / "prompts.csv").rows
    evaluation, _ = evaluate_folder(model_folder, given, train_on=None)
    router = evaluation.qualities[0]
    rules = load_artifact(model_folder).rules
    for predicted in (predict_by_keywords(rules, train_on, given.rows), predict_majority(train_on, given.rows)):
        right = sum(guess == row.task for guess, row in zip(predicted, given.rows, strict=True))
        assert router.accuracy.low > right / len(given.rows)
