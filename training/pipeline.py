"""From two CSV files to a model folder: read, encode, fit, calibrate, learn profiles, evaluate, write."""

from __future__ import annotations

import itertools
import os
import platform
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from router import __version__
from router.artifacts import (
    EncoderIdentity,
    Manifest,
    TrainingData,
    load_artifact,
)
from router.classifier import CONTINUES, softmax
from router.core import Router
from router.encoder import Distillation, OnnxEncoder
from router.errors import EncoderError
from router.keywords import KeywordRules, default_rules
from router.text import Prompt
from training.artifacts import CANARIES, Training, check_replaceable, write_artifact
from training.benchmark import learn_of_benchmark
from training.checks import Finding, can_be_judged, find_mislabelled, find_near_duplicates, find_repeats
from training.classifier import (
    FOLDS,
    PARTS,
    FeatureBlocks,
    FittedClassifier,
    featurize,
    fit_classifier,
    fit_path,
    head_logits,
    measure_precision,
)
from training.datasets import (
    TASKS,
    DatasetError,
    LabelledPrompt,
    PromptSet,
    read_benchmark,
    read_prompts,
    read_table,
    with_task,
)
from training.draft import DraftRecipe, distil, make_texts
from training.drift import Reference, Traffic, make_reference
from training.encoders import PARITY_PROMPTS, Conversion, Precision, convert_encoder, parity_prompts, write_draft
from training.evaluate import (
    Evaluation,
    Quality,
    by_task,
    calibration_error,
    cross_validated,
    evaluate,
    judge,
    predict_by_keywords,
    predict_by_tfidf,
    predict_majority,
    to_metrics,
)
from training.finetune import Recipe, Steps, Tuned, finetune, hold_out, record_seen, was_seen
from training.first import FittedFirst, fit_first
from training.outliers import texts_without_request
from training.routing.judge import Judgement, judge_folder
from training.served import PromptTable, Reading, count_tokens

if TYPE_CHECKING:
    from numpy.typing import NDArray

Progress = Callable[[Sequence[str]], Iterable[str]]

# How often texts without request are drawn for a draft, always others: a few hundred each time.
_STRAY_DRAWS = 8
# The seed of those that neither classifier nor draft has met.
_UNSEEN_STRAYS = 1_000_000
_PACKAGES = ("numpy", "onnxruntime", "tokenizers", "scikit-learn")


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
    check_replaceable(out)
    labelled = read_prompts(prompts, tasks=None if own_tasks else TASKS)
    labels = _check_tasks(prompts, labelled.rows)
    results = read_benchmark(benchmark, tasks=[label for label in labels if label != CONTINUES])
    served_by = OnnxEncoder.load(encoder)
    featurize_cached = partial(featurize, encoder=served_by, cache=cache, progress=progress)

    texts, tasks = [row.prompt for row in labelled.rows], [row.task for row in labelled.rows]
    groups = [row.group for row in labelled.rows]
    seen = was_seen(texts, served_by.record.tuning)
    strays = texts_without_request(len(texts), seed=seed)
    outliers = featurize_cached(strays)
    features = featurize_cached(texts)
    fitted = fit_classifier(features, tasks, groups, seen=seen, outliers=outliers, seed=seed, jobs=jobs)
    first = _fit_first(served_by, [*texts, *strays], features.beside(outliers), fitted, tasks)
    judged = [labelled.rows[i] for i in fitted.judged]
    rules = _judge_rules(default_rules(), with_task(labelled.rows))

    held_out = PromptTable(
        features=features.take(fitted.judged),
        probabilities=fitted.probabilities,
        tasks=fitted.tasks,
        tokens=count_tokens([row.prompt for row in judged]),
    )
    reading = Reading(labels=fitted.labels, heads=fitted.heads, temperature=fitted.temperature)
    learnt = learn_of_benchmark(results, held_out, reading, featurize_cached, seed=seed, jobs=jobs)
    qualities, guesses = _evaluate(fitted, labelled.rows, rules, seed=seed)
    training = Training(
        manifest=Manifest(
            format=1,
            created=_now(),
            versions=_versions(),
            seed=seed,
            labels=list(fitted.labels),
            temperature=round(fitted.temperature, 6),
            threshold=fitted.threshold,
            metrics=_collect_metrics(fitted, judged, qualities),
            training_data=[
                TrainingData(name=prompts.name, licence=labelled.licence, rows=len(labelled.rows), sha256=labelled.sha256),
                TrainingData(name=benchmark.name, licence="", rows=len(results.results), sha256=results.sha256),
            ],
            encoder=EncoderIdentity(
                name=served_by.name,
                dim=served_by.dim,
                sha256=served_by.sha256,
                draft_files=served_by.record.draft.files if served_by.record.draft else {},
            ),
            canaries=list(CANARIES),
            files=[],
            heads=learnt.record,
            usd_per_point=learnt.usd_per_point,
            risk=learnt.risk,
            first=first.record if first else None,
        ),
        profiles=learnt.profiles,
        qualities=qualities,
        tasks=by_task(guesses, judged, seed=seed),
        notes=(*labelled.notes, *_tell_seen(seen, fitted), *_tell_languages(guesses, judged), *_tell_follow_ups(fitted)),
        reference=_keep_reference(fitted, held_out, seed=seed),
        heads=learnt.heads,
        first=first,
    )
    write_artifact(out, training, fitted, rules, served_by, encoder)
    return training


def _fit_first(
    encoder: OnnxEncoder, texts: Sequence[str], features: FeatureBlocks, fitted: FittedClassifier, tasks: Sequence[str]
) -> FittedFirst | None:
    """Fit a first tier where the encoder has a draft, judged on prompts that this has not seen."""
    if encoder.draft is None:
        return None
    seen = was_seen([texts[i] for i in fitted.judged], encoder.record.draft)
    targets = np.array([fitted.tasks.index(tasks[i]) for i in fitted.judged])
    strays = texts_without_request(len(tasks), seed=_UNSEEN_STRAYS)
    return fit_first(
        encoder.draft.encode(texts), features, fitted, np.where(seen, -1, targets), encoder.draft.encode(strays)
    )


def _keep_reference(fitted: FittedClassifier, held_out: PromptTable, *, seed: int) -> Reference:
    traffic = Traffic(
        tasks=fitted.tasks,
        threshold=fitted.threshold,
        embeddings=held_out.features.embedding,
        probabilities=fitted.probabilities,
        continues=np.zeros(len(fitted.judged)),
    )
    return make_reference(traffic, seed=seed)


def tune_encoder(
    base: str,
    prompts: Path,
    out: Path,
    *,
    recipe: Recipe,
    name: str | None = None,
    precision: Precision = "int8",
    own_tasks: bool = False,
    progress: Steps = iter,
) -> tuple[Tuned, Conversion]:
    """Tune a sentence-transformers model on labelled prompts, and write it in the runtime's form.

    An interrupted run goes on where it was: its state lies beside `out` until that is written.

    Args:
        base: A hub name or a local folder.
        prompts: CSV of labelled prompts.
        out: The encoder folder to write; must not exist.
        recipe: How to tune.
        name: What to call it in the record; "`base`, tuned" where None.
        precision: Of the runtime's form.
        own_tasks: Whether the tasks are those of the file instead of the 14 of `TASKS`.
        progress: Wraps the numbers of the steps.

    Raises:
        DatasetError: If the file breaks its rules or a task has too few prompts.
        EncoderError: If the model cannot be tuned or converted, or `out` exists.
    """
    if out.exists():
        raise EncoderError(f"{out} exists already; name a new folder or remove it")
    labelled = read_prompts(prompts, tasks=None if own_tasks else TASKS)
    _check_tasks(prompts, labelled.rows)
    scratch = out.with_name(f".{out.name}-tuning")
    tuned = finetune(base, labelled, scratch, recipe=recipe, progress=progress)
    conversion = convert_encoder(
        str(tuned.folder),
        out,
        prompts=parity_prompts(prompts, PARITY_PROMPTS),
        name=name or f"{base}, tuned",
        precision=precision,
        max_tokens=recipe.max_tokens,
        tuning=tuned.record,
    )
    shutil.rmtree(scratch, ignore_errors=True)
    return tuned, conversion


def distil_draft(
    model: Path,
    prompts: Path,
    out: Path,
    *,
    texts: Sequence[Path] = (),
    recipe: DraftRecipe | None = None,
    own_tasks: bool = False,
    jobs: int = -1,
    cache: Path | None = None,
    progress: Progress = iter,
    steps: Steps = iter,
) -> Distillation:
    """Distil a draft encoder from a model folder, and write that folder's encoder with the draft beside it.

    Prompts that the encoder was not tuned on stay unseen, so that training can tell what the draft is worth; where it was
    not tuned, a tenth. Besides its texts the draft learns from as many that are put together of their parts.

    Args:
        model: The folder whose classifier is the teacher.
        prompts: CSV of the labelled prompts that the folder was trained on; the labels are not used.
        out: The encoder folder to write; must not exist.
        texts: CSV files with a column `prompt`: more to learn from. The more like real prompts, the better.
        recipe: How to distil; the default one where None.
        own_tasks: Whether the tasks are those of the file instead of the 14 of `TASKS`.
        jobs: Threads that encode; -1: all processors.
        cache: See `train`, as is
        progress: this.
        steps: Wraps the numbers of the steps.

    Raises:
        DatasetError: If a file breaks its rules.
        ArtifactError: If the folder is damaged.
        EncoderError: If torch is missing or `out` exists.
    """
    if out.exists():
        raise EncoderError(f"{out} exists already; name a new folder or remove it")
    recipe = recipe or DraftRecipe()
    teacher, encoder = load_artifact(model), OnnxEncoder.load(model / "encoder")
    if teacher.classifier is None:
        raise EncoderError(f"{model} has no classifier that works here: {'; '.join(teacher.problems)}")
    labelled = read_prompts(prompts, tasks=None if own_tasks else TASKS)
    taught = [row.prompt for row in labelled.rows]
    tuning = encoder.record.tuning
    unseen = ~was_seen(taught, tuning) if tuning else hold_out(labelled, seed=recipe.seed)
    more = {path.name: _read_texts(path) for path in (prompts, *texts)}
    others = (list(more[path.name]) for path in texts)
    given = list(dict.fromkeys([*itertools.compress(taught, ~unseen), *itertools.chain(*others)]))
    hidden = frozenset(itertools.compress(taught, unseen))
    given = [text for text in given if text not in hidden]
    made = make_texts(given, len(given), seed=recipe.seed)
    for n in range(_STRAY_DRAWS):  # the teacher is unsure of them: so is to be the draft
        made += texts_without_request(len(given), seed=recipe.seed + n)
    features = featurize([*given, *made], encoder, jobs=jobs, cache=cache, progress=progress)
    told = softmax(head_logits(teacher.classifier.heads, features) / teacher.classifier.temperature)
    arrays, _ = distil([*given, *made], told, encoder, recipe=recipe, progress=steps)
    record = Distillation(
        teacher_sha256=teacher.sha256,
        texts=len(given) + len(made),
        made=len(made),
        files={name: dict(sorted(filter(all, set(found.values())))) for name, found in more.items()},
        epochs=recipe.epochs,
        seed=recipe.seed,
        seen=record_seen(given),
    )
    write_draft(model / "encoder", out, arrays, record)
    return record


def _read_texts(path: Path) -> dict[str, tuple[str, str]]:
    """Return the texts of a file, in order, each with its source or benchmark, and its licence, where they are named."""
    return {
        text: (record.get("source") or record.get("benchmark", ""), record.get("licence") or "not named")
        for _, record in read_table(path, required=("prompt",))
        if (text := record["prompt"].strip())
    }


def evaluate_folder(
    model: Path,
    prompts: PromptSet,
    *,
    train_on: PromptSet | None,
    seed: int = 0,
    cache: Path | None = None,
    progress: Progress = iter,
) -> tuple[Evaluation, dict[str, list[str | None]]]:
    """Judge a model folder on labelled prompts, beside baselines; return the judgement and all guesses by name.

    Args:
        model: The folder.
        prompts: The prompts to predict, each with a task of its own.
        train_on: What the baselines learn from; None: there are none.
        seed: Of the bootstrap.
        cache: See `train`.
        progress: Wraps the prompts while they are encoded.
    """
    artifact, rows = load_artifact(model, eager=True), prompts.rows
    router = Router.from_artifact(artifact)
    texts = progress([row.prompt for row in rows])
    predictions = [router.predict(_in_context(row, text)) for row, text in zip(rows, texts, strict=True)]
    baselines: dict[str, list[str | None]] = {}
    if any(row.earlier for row in rows):
        baselines["without context"] = [router.predict(row.prompt).task for row in rows]
    if artifact.manifest.first is not None:
        asked = [_in_context(row, row.prompt) for row in rows]
        baselines["full tier alone"] = [router.predict(prompt, tier="full").task for prompt in asked]
    if train_on is not None:
        served_by = OnnxEncoder.load(model / "encoder")
        alone = partial(_predict_by_embedding, partial(featurize, encoder=served_by, cache=cache, progress=progress))
        predict_by = {"embedding + LR": alone} | _baselines(artifact.rules)
        known = with_task(train_on.rows)
        baselines |= {name: list(predict(known, rows)) for name, predict in predict_by.items()}
    evaluation = evaluate(predictions, rows, baselines=baselines, seed=seed)
    return evaluation, {"router": [prediction.task for prediction in predictions]} | baselines


def evaluate_routing(
    model: Path,
    benchmark: Path,
    *,
    train_on: Path | None = None,
    seed: int = 0,
    jobs: int = -1,
    cache: Path | None = None,
    progress: Progress = iter,
) -> Judgement:
    """Say whether routing by a model folder pays on a benchmark; see `training.routing.judge`.

    Args:
        model: The folder.
        benchmark: CSV of benchmark results with prompts.
        train_on: Another, which baselines learn of; None: of this one, each fifth held out in turn.
        seed: Of folds and bootstrap.
        jobs: See `train`.
        cache: See `train`.
        progress: See `train`.

    Raises:
        DatasetError: If a file breaks its rules, or too few prompts have a score of every model.
        ArtifactError: If the folder is damaged.
    """
    artifact = load_artifact(model)
    tasks = [label for label in artifact.manifest.labels if label != CONTINUES]
    return judge_folder(
        artifact,
        read_benchmark(benchmark, tasks=tasks),
        partial(featurize, encoder=OnnxEncoder.load(model / "encoder"), cache=cache, progress=progress),
        name=benchmark.name,
        train_on=read_benchmark(train_on, tasks=tasks) if train_on else None,
        seed=seed,
        jobs=jobs,
    )


def _in_context(row: LabelledPrompt, text: str) -> Prompt:
    """Return a labelled text as the router is given it: with the turns before it, where there are any."""
    if not row.earlier:
        return text
    return [{"role": role, "content": content} for role, content in (*row.earlier, ("user", text))]


def check_prompts(
    path: Path,
    *,
    encoder: Path,
    own_tasks: bool = False,
    seed: int = 0,
    jobs: int = -1,
    cache: Path | None = None,
    progress: Progress = iter,
) -> tuple[PromptSet, list[Finding]]:
    """Look for what is wrong with labelled prompts; return them and the rows to look at, the surest first.

    Likely wrong labels need something to hold out: too few prompts or groups, and none are looked for. Prompts that the
    encoder was tuned on are not judged, for it knows their labels: name an untuned one to have them judged.

    Args:
        path: CSV of labelled prompts; repeats are kept.
        encoder: See `train`, as are the others.
        own_tasks: See `train`.
        seed: See `train`.
        jobs: See `train`.
        cache: See `train`.
        progress: See `train`.

    Raises:
        DatasetError: If the file breaks its rules.
        EncoderError: If the encoder cannot be used.
    """
    given = read_prompts(path, tasks=None if own_tasks else TASKS, keep_repeated=True)
    served_by = OnnxEncoder.load(encoder)
    features = featurize([row.prompt for row in given.rows], served_by, cache=cache, progress=progress)
    found = [*find_repeats(given.rows), *find_near_duplicates(given.rows, features.lexical)]
    seen = was_seen([row.prompt for row in given.rows], served_by.record.tuning)
    if can_be_judged([row for row, known in zip(given.rows, seen, strict=True) if not known]):
        tasks, groups = [row.task for row in given.rows], [row.group for row in given.rows]
        fitted = fit_classifier(features, tasks, groups, seen=seen, seed=seed, jobs=jobs)
        found += find_mislabelled(given.rows, fitted)
    return given, found


Predict = Callable[[Sequence[LabelledPrompt], Sequence[LabelledPrompt]], Sequence[str]]


def _predict_by_embedding(
    featurize_cached: Callable[[Sequence[str]], FeatureBlocks],
    train: Sequence[LabelledPrompt],
    rows: Sequence[LabelledPrompt],
) -> list[str]:
    """Predict by a logistic regression on the encoder's embeddings alone."""
    labels = sorted({row.task for row in train})
    if len(labels) < 2:  # noqa: PLR2004 - nothing to tell apart
        return predict_majority(train, rows)
    targets = np.array([labels.index(row.task) for row in train])
    known, asked = (featurize_cached([row.prompt for row in some]) for some in (train, rows))
    (heads,) = fit_path(known, targets, (1.0,), len(labels), "embedding")
    return [labels[i] for i in head_logits(heads, asked).argmax(axis=1)]


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
    guesses = [fitted.tasks[i] for i in fitted.probabilities.argmax(axis=1)]
    judged = [rows[i] for i in fitted.judged]
    qualities = [judge("classifier", guesses, judged, seed=seed)]
    for part, logits in fitted.parts.items():
        alone = [fitted.tasks[i] for i in logits.argmax(axis=1)]
        qualities.append(judge(f"{part} alone", alone, judged, seed=seed))
    folds = fitted.folds[np.array([row.task != CONTINUES for row in rows])]
    for name, predict in _baselines(rules).items():
        qualities.append(judge(name, cross_validated(predict, with_task(rows), folds), judged, seed=seed))
    return qualities, guesses


def _collect_metrics(
    fitted: FittedClassifier, rows: Sequence[LabelledPrompt], qualities: Sequence[Quality]
) -> dict[str, float]:
    confidence = fitted.probabilities.max(axis=1)
    right = np.array([fitted.tasks[i] for i in fitted.probabilities.argmax(axis=1)]) == [row.task for row in rows]
    metrics: dict[str, float] = {"n": float(len(rows)), "folds": float(FOLDS)}
    for part in PARTS:
        metrics |= {f"C of {part}": fitted.cs[part], f"weight of {part}": fitted.mixture[part]}
    for quality in qualities:
        metrics |= to_metrics(quality.name, quality)
    metrics["calibration error"] = calibration_error(confidence, right)
    metrics["share unsure"] = float((confidence < fitted.threshold).mean())
    return {name: round(value, 6) for name, value in metrics.items()}


def _tell_seen(seen: NDArray[np.bool_], fitted: FittedClassifier) -> list[str]:
    if not seen.any():
        return []
    if seen[fitted.judged].any():
        return ["the encoder was tuned on nearly all of these prompts: the figures held out flatter; measure on others"]
    return [f"held out were the {len(fitted.judged)} prompts that the encoder was not tuned on"]


def _tell_languages(guesses: Sequence[str], judged: Sequence[LabelledPrompt]) -> list[str]:
    """Say how English is told beside other languages, where the data name them."""
    pairs = list(zip(guesses, judged, strict=True))
    english = [guess == row.task for guess, row in pairs if row.language == "en"]
    others = [guess == row.task for guess, row in pairs if row.language not in ("", "en")]
    if not english or not others:
        return []
    return [
        f"held out, told right: {np.mean(english):.3f} of {len(english)} English prompts, "
        f"{np.mean(others):.3f} of {len(others)} in other languages"
    ]


def _tell_follow_ups(fitted: FittedClassifier) -> list[str]:
    """Say how well turns that go on with the task before are told from those that have their own."""
    going_on, own = fitted.follow_ups
    if not len(going_on):
        return []
    return [
        f"held out, taken to go on with the turn before: {np.mean(going_on > 1 / 2):.3f} of {len(going_on)} turns that do, "
        f"{np.mean(own > 1 / 2):.3f} of {len(own)} that have a task of their own"
    ]


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


def _judge_rules(rules: KeywordRules, rows: Sequence[LabelledPrompt]) -> KeywordRules:
    """Keep the rules of the tasks that occur, with their precision on these prompts if that is lower than they claim.

    Whoever wrote the rules may have had these very prompts in view: the lower of the two figures is the honest one.
    """
    texts, tasks = [row.prompt for row in rows], [row.task for row in rows]
    kept = {task: list(phrases) for task, phrases in rules.phrases.items() if task in set(tasks)}
    rules = msgspec.structs.replace(rules, phrases=kept)
    return msgspec.structs.replace(rules, precision=min(rules.precision, round(measure_precision(texts, tasks, rules), 4)))


def _versions() -> dict[str, str]:
    packages = {name: version(name) for name in _PACKAGES}
    return {"contextual-llm-router": __version__, "python": platform.python_version()} | packages


def _now() -> str:
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    moment = datetime.fromtimestamp(int(epoch), UTC) if epoch else datetime.now(UTC)
    return moment.isoformat(timespec="seconds")
