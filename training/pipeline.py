"""From two CSV files to a model folder: read, encode, fit, calibrate, learn profiles, evaluate, write."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from safetensors.numpy import save

from router import __version__
from router.artifacts import (
    CLASSIFIER,
    ENCODER_FILES,
    KEYWORDS,
    MANIFEST,
    PROFILES,
    REPORT,
    SIZE_CAPS,
    EncoderIdentity,
    FileEntry,
    Manifest,
    TrainingData,
    describe_arrays,
    load_artifact,
)
from router.classifier import TaskOracle, softmax
from router.encoder import OnnxEncoder
from router.keywords import KeywordRules, default_rules
from router.types import ModelProfile
from training.classifier import (
    FOLDS,
    FittedClassifier,
    featurize,
    fit_classifier,
    head_logits,
    measure_precision,
)
from training.datasets import TASKS, DatasetError, LabelledPrompt, PromptSet, read_benchmark, read_prompts
from training.evaluate import (
    Quality,
    by_task,
    calibration_error,
    cross_validated,
    judge,
    predict_by_keywords,
    predict_by_tfidf,
    predict_majority,
    to_metrics,
)
from training.profiles import learn_profiles

if TYPE_CHECKING:
    from numpy.typing import NDArray

Progress = Callable[[Sequence[str]], Iterable[str]]

# Encoded again whenever a folder is loaded; short, for that costs time.
_CANARIES = (
    "Translate 'good morning' into Japanese.",
    "def mean(xs): return sum(xs) / len(xs)  # fails on []",
    "¿qué tiempo hará mañana en Lisboa?",
)
_PACKAGES = ("numpy", "onnxruntime", "tokenizers", "scikit-learn")


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """What a training run learnt and how it scored.

    Attributes:
        manifest: The manifest of the folder.
        profiles: The models.
        qualities: The classifier's, held out, and the baselines' on the same folds.
        tasks: n, precision and recall by task, held out.
        notes: What a reader should know of the data.
    """

    manifest: Manifest
    profiles: Sequence[ModelProfile]
    qualities: Sequence[Quality]
    tasks: Mapping[str, tuple[int, float, float]]
    notes: Sequence[str]


def train(
    prompts: Path,
    benchmark: Path,
    out: Path,
    *,
    encoder: Path,
    own_tasks: bool = False,
    seed: int = 0,
    jobs: int = -1,
    cache: Path | None = None,
    progress: Progress = iter,
) -> Training:
    """Learn a classifier and model profiles, and write them as a model folder.

    The same inputs, seed and package versions give the same bytes, but for `created` in the manifest, which follows
    `SOURCE_DATE_EPOCH` where that is set. The folder is written beside `out` and renamed: nothing half-written is left.

    Args:
        prompts: CSV of labelled prompts.
        benchmark: CSV of benchmark results.
        out: The folder to write; an older model folder there is replaced.
        encoder: Folder of the encoder, as `llm-router-train encoder` writes it.
        own_tasks: Whether the tasks are those of the file instead of the 14 of `TASKS`.
        seed: Of every random choice.
        jobs: Processes for cross-validation; -1: all processors.
        cache: Folder in which embeddings are kept; None: nowhere.
        progress: Wraps the texts while they are encoded.

    Raises:
        DatasetError: If a CSV file breaks its rules, a task has too few prompts, or `out` is no model folder.
        EncoderError: If the encoder cannot be used.
    """
    _check_replaceable(out)
    if any(p.exists() and not p.is_dir() for p in out.parents):
        raise DatasetError(f"--out {out} lies below a file; name a folder")
    labelled = read_prompts(prompts, tasks=None if own_tasks else TASKS)
    labels = _check_tasks(prompts, labelled.rows)
    results = read_benchmark(benchmark, tasks=labels)
    served_by = OnnxEncoder.load(encoder)
    rules = _keep_rules(default_rules(), labels)
    featurize_cached = partial(featurize, encoder=served_by, cache=cache, progress=progress)

    texts, tasks = [row.prompt for row in labelled.rows], [row.task for row in labelled.rows]
    fitted = fit_classifier(
        featurize_cached(texts),
        tasks,
        [row.group for row in labelled.rows],
        seed=seed,
        jobs=jobs,
    )
    # Whoever wrote the rules may have had these very prompts in view: the lower of the two figures is the honest one.
    precision = min(rules.precision, round(measure_precision(texts, tasks, rules), 4))
    rules = msgspec.structs.replace(rules, precision=precision)

    def task_probabilities(unlabelled: Sequence[str]) -> NDArray[np.float64]:
        return softmax(head_logits(fitted.heads, featurize_cached(unlabelled)) / fitted.temperature)

    profiles = learn_profiles(results.results, results.facts, fitted.labels, task_probabilities=task_probabilities)
    qualities, guesses = _evaluate(fitted, labelled.rows, rules, seed=seed)
    manifest = Manifest(
        format=1,
        created=_now(),
        versions={"contextual-llm-router": __version__, "python": platform.python_version()}
        | {name: version(name) for name in _PACKAGES},
        seed=seed,
        labels=list(fitted.labels),
        temperature=round(fitted.temperature, 6),
        threshold=fitted.threshold,
        metrics=_collect_metrics(fitted, labelled.rows, qualities),
        training_data=[
            TrainingData(name=prompts.name, licence=labelled.licence, rows=len(labelled.rows), sha256=labelled.sha256),
            TrainingData(name=benchmark.name, licence="", rows=len(results.results), sha256=results.sha256),
        ],
        encoder=EncoderIdentity(name=served_by.name, dim=served_by.dim, sha256=served_by.sha256),
        canaries=list(_CANARIES),
        files=[],
    )
    training = Training(
        manifest=manifest,
        profiles=profiles,
        qualities=qualities,
        tasks=by_task(guesses, labelled.rows),
        notes=labelled.notes,
    )
    _write(out, training, fitted, rules, served_by, encoder)
    return training


def evaluate_folder(
    model: Path, prompts: PromptSet, *, train_on: PromptSet | None, seed: int = 0
) -> tuple[list[Quality], dict[str, list[str | None]]]:
    """Judge a model folder on labelled prompts, beside baselines; return the judgements and all predictions by name.

    Args:
        model: The folder.
        prompts: The prompts to predict.
        train_on: What the baselines learn from; None: keyword rules are the only baseline.
        seed: Of the bootstrap.
    """
    artifact = load_artifact(model)
    oracle = TaskOracle(labels=tuple(artifact.manifest.labels), classifier=artifact.classifier, rules=artifact.rules)
    predictions: dict[str, list[str | None]] = {"router": [oracle.predict(row.prompt).task for row in prompts.rows]}
    if train_on is not None:
        predictions |= {
            name: list(predict(train_on.rows, prompts.rows)) for name, predict in _baselines(artifact.rules).items()
        }
    return [judge(name, guesses, prompts.rows, seed=seed) for name, guesses in predictions.items()], predictions


Predict = Callable[[Sequence[LabelledPrompt], Sequence[LabelledPrompt]], Sequence[str]]


def _baselines(rules: KeywordRules) -> dict[str, Predict]:
    return {
        "TF-IDF + LR": predict_by_tfidf,
        "keyword rules": partial(predict_by_keywords, rules),
        "majority": predict_majority,
    }


def _evaluate(
    fitted: FittedClassifier, rows: Sequence[LabelledPrompt], rules: KeywordRules, *, seed: int
) -> tuple[list[Quality], list[str]]:
    """Judge held-out predictions, the classifier's first, then each baseline's on the same folds."""
    guesses = [fitted.labels[i] for i in fitted.probabilities.argmax(axis=1)]
    qualities = [judge("classifier", guesses, rows, seed=seed)]
    for name, predict in _baselines(rules).items():
        qualities.append(judge(name, cross_validated(predict, rows, fitted.folds), rows, seed=seed))
    return qualities, guesses


def _collect_metrics(
    fitted: FittedClassifier, rows: Sequence[LabelledPrompt], qualities: Sequence[Quality]
) -> dict[str, float]:
    confidence = fitted.probabilities.max(axis=1)
    right = np.array([fitted.labels[i] for i in fitted.probabilities.argmax(axis=1)]) == [row.task for row in rows]
    metrics: dict[str, float] = {"n": float(len(rows)), "folds": float(FOLDS), "C": fitted.c}
    for quality in qualities:
        metrics |= to_metrics(quality.name, quality)
    metrics["calibration error"] = calibration_error(confidence, right)
    metrics["share unsure"] = float((confidence < fitted.threshold).mean())
    return {name: round(value, 6) for name, value in metrics.items()}


def _check_tasks(path: Path, rows: Sequence[LabelledPrompt]) -> tuple[str, ...]:
    counts = Counter(row.task for row in rows)
    thin = {task: n for task, n in counts.items() if n < FOLDS}
    if thin:
        raise DatasetError(
            f"{path}: a task needs at least {FOLDS} different prompts, too few: {thin}; add prompts or drop the task"
        )
    if len(counts) < 2:  # noqa: PLR2004
        raise DatasetError(f"{path}: there must be two tasks or more to tell apart, found {list(counts)}; add another")
    groups = len({row.group for row in rows})
    if groups < FOLDS:
        raise DatasetError(f"{path}: there must be at least {FOLDS} groups, found {groups}; name finer ones")
    return tuple(sorted(counts))


def _keep_rules(rules: KeywordRules, labels: Sequence[str]) -> KeywordRules:
    return msgspec.structs.replace(rules, phrases={task: list(p) for task, p in rules.phrases.items() if task in labels})


def _now() -> str:
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    moment = datetime.fromtimestamp(int(epoch), UTC) if epoch else datetime.now(UTC)
    return moment.isoformat(timespec="seconds")


def _check_replaceable(out: Path) -> None:
    """Refuse to replace what is not a model folder."""
    if not out.exists():
        return
    foreign = [
        str(path.relative_to(out))
        for path in out.rglob("*")
        if path.is_file() and str(path.relative_to(out)) not in SIZE_CAPS
    ]
    if not out.is_dir() or foreign or (any(out.iterdir()) and not (out / MANIFEST).is_file()):
        raise DatasetError(f"--out {out} is not a model folder (it holds {foreign[:3] or 'a file'}); name a new folder")


def _write(
    out: Path, training: Training, fitted: FittedClassifier, rules: KeywordRules, encoder: OnnxEncoder, source: Path
) -> None:
    """Write the folder beside `out`, load it as a user would, and put it in place."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as scratch:
        folder = Path(scratch) / "new"
        (folder / "encoder").mkdir(parents=True)
        for path in ENCODER_FILES:
            shutil.copyfile(source / Path(path).name, folder / path)
        arrays = _to_arrays(fitted, encoder)
        (folder / CLASSIFIER).write_bytes(save(arrays))
        (folder / PROFILES).write_bytes(_to_json(training.profiles))
        (folder / KEYWORDS).write_bytes(_to_json(rules))
        (folder / REPORT).write_text(write_report(training), encoding="utf-8")
        entries = [_describe_file(folder, path, arrays) for path in sorted(SIZE_CAPS) if path != MANIFEST]
        (folder / MANIFEST).write_bytes(_to_json(msgspec.structs.replace(training.manifest, files=entries)))
        load_artifact(folder)
        if out.exists():
            out.rename(Path(scratch) / "old")
        try:
            folder.rename(out)
        except OSError:
            if (old := Path(scratch) / "old").exists():
                old.rename(out)
            raise


def _to_arrays(fitted: FittedClassifier, encoder: OnnxEncoder) -> dict[str, NDArray[np.float32]]:
    heads = fitted.heads
    arrays = {"embedding": heads.embedding, "lexical": heads.lexical, "surface": heads.surface, "bias": heads.bias}
    return {name: np.ascontiguousarray(array) for name, array in arrays.items()} | {"canaries": encoder.encode(_CANARIES)}


def _describe_file(folder: Path, path: str, arrays: Mapping[str, NDArray[np.float32]]) -> FileEntry:
    content = (folder / path).read_bytes()
    return FileEntry(
        path=path,
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        tensors=describe_arrays(arrays) if path == CLASSIFIER else {},
    )


def _to_json(value: Any) -> bytes:
    """Return pretty JSON whose bytes depend on nothing but the value: floats to six places, sets in order."""
    plain = _round(msgspec.to_builtins(value, order="deterministic"))
    return msgspec.json.format(msgspec.json.encode(plain), indent=1) + b"\n"


def _round(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, dict):
        return {key: _round(item) for key, item in value.items()}
    return [_round(item) for item in value] if isinstance(value, list) else value


def write_report(training: Training) -> str:
    """Return the model card: data, figures beside baselines, limits."""
    manifest = training.manifest
    lines = [
        "# Model card",
        "",
        f"Created {manifest.created} by contextual-llm-router {__version__}, seed {manifest.seed}; generated, do not edit.",
        "",
        "## Learnt from",
        "",
        *(
            f"- {data.name}: {data.rows} rows, licence {data.licence or 'not named'}, sha256 `{data.sha256}`"
            for data in manifest.training_data
        ),
        f"- encoder {manifest.encoder.name}, {manifest.encoder.dim} dimensions, sha256 `{manifest.encoder.sha256}`",
        "",
        "## Held out",
        "",
        f"{FOLDS}-fold cross-validation by group, n = {training.qualities[0].n}, seed {manifest.seed}, "
        "95 % bootstrap intervals:",
        "",
        "| | accuracy | macro-F1 |",
        "|---|---|---|",
        *(f"| {q.name} | {q.accuracy} | {q.macro_f1} |" for q in training.qualities),
        "",
        f"Expected calibration error {manifest.metrics['calibration error']:.3f}; unsure below a confidence of "
        f"{manifest.threshold:.2f} ({manifest.metrics['share unsure']:.0%} of the prompts).",
        "",
        "| task | n | precision | recall |",
        "|---|---|---|---|",
        *(f"| {task} | {n} | {precision:.2f} | {recall:.2f} |" for task, (n, precision, recall) in training.tasks.items()),
        "",
        f"## Models ({len(training.profiles)})",
        "",
        "Expected quality per task with standard error and the number of scored prompts behind it (0: inferred from the",
        "model's level and the task's) stands in `profiles.json`.",
        "",
        "## Limits",
        "",
        "- Prompts of another kind than the training ones are classified worse than the table says: measure on your own.",
        "- Qualities are as good as the benchmark: they order models on its prompts, not on yours.",
        *(f"- {note}" for note in training.notes),
        "",
    ]
    return "\n".join(lines)
