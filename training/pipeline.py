"""Two CSV files in, a model folder out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from router.classify.encoder import OnnxEncoder
from router.classify.keywords import default_rules
from training.classifier.engine import Engine, LocalEngine
from training.classifier.features import featurize, find_known, move_descriptions
from training.classifier.first_tier import build_first_tier
from training.classifier.fit import fit_classifier
from training.classifier.known_vectors import KnownVectors, read_vectors
from training.classifier.outliers import make_outliers
from training.classifier.rules import fit_rules
from training.data.prompts import with_task
from training.encoder.folder import suited_to
from training.encoder.seen import was_seen
from training.evaluation.held_out import collect_metrics, describe_held_out, evaluate_held_out
from training.evaluation.metrics import score_by_task
from training.inputs import TrainingInputs, read_inputs
from training.manifest import make_manifest
from training.model_folder import check_replaceable, write_model_folder
from training.monitor.reference import make_held_out_reference
from training.progress import Show, Stages
from training.quality.fit import fit_scoring
from training.quality.prompt_table import FeatureClassifier, make_held_out_table
from training.quality.sample import draw_prompts
from training.result import TrainingResult

_HALVED = (
    "The encoder was tuned on other tasks, so the classifier reads the middle of its layers, which knows more about what a "
    "prompt is about."
)

# What a training does, in order.
_OUTLIERS, _PROMPTS = "encoding texts without a request", "encoding the prompts"
_CLASSIFIER, _FIRST_TIER = "fitting the classifier", "fitting the first tier"
_SCORING, _EVALUATION = "learning the models' quality", "evaluating"

# Milliseconds that encoding a text takes, and that the rest of each stage takes for each prompt. They are from one slow
# machine, and only their ratios matter.
_MS_ENCODING = 15.0
_MS_PER_PROMPT = {_OUTLIERS: 0.1, _PROMPTS: 1.0, _CLASSIFIER: 3.3, _FIRST_TIER: 1.3, _SCORING: 0.5, _EVALUATION: 1.4}


def train(
    prompts: Path | None,
    benchmark: Path,
    out: Path,
    *,
    encoder: Path,
    own_tasks: bool = False,
    described: Path | None = None,
    seed: int = 0,
    jobs: int = -1,
    engine: Engine | None = None,
    cache: Path | None = None,
    progress: Show | None = None,
) -> TrainingResult:
    """Learn a task classifier and model profiles, and write them as a model folder.

    The same inputs, seed and package versions give the same bytes. Only `created` in the manifest differs, unless
    `SOURCE_DATE_EPOCH` is set. The folder is written beside `out` and renamed at the end, so `out` is never incomplete.

    Args:
        prompts: CSV file of labelled prompts. None: the tasks are known by their descriptions only.
        benchmark: CSV file of benchmark results.
        out: The folder to write. An older model folder there is replaced.
        encoder: Folder of the encoder, as `llm-router-train encoder` writes it. If it lies in a model folder, the prompts
            of that folder's training are not encoded again.
        own_tasks: Whether the file of prompts defines the tasks. If not, they are the 14 of `TASKS`.
        described: File that describes the tasks, for tasks with few labels or none. Its tasks replace the 14 of `TASKS`.
        seed: Seed of every random choice.
        jobs: Number of processes for cross-validation. -1: one for each processor.
        engine: Encodes the texts and fits the classifier. None: this machine does.
        cache: Folder that keeps embeddings. None: no cache.
        progress: Is told what runs now, and the share of the work that is done, in [0, 1]. None: nobody is.

    Raises:
        DatasetError: If a CSV file breaks its rules, a task has too few prompts, or `out` holds other files than a model
            folder.
        EncoderError: If the encoder cannot be used.
    """
    check_replaceable(out)
    inputs = read_inputs(prompts, benchmark, own_tasks=own_tasks, described=described)
    known, engine = read_vectors(encoder.parent), engine or LocalEngine(jobs)
    with suited_to(encoder, inputs.texts, inputs.tasks) as suited:
        return _train(
            inputs,
            out,
            encoder=suited,
            known=known,
            seed=seed,
            jobs=jobs,
            engine=engine,
            cache=cache,
            progress=progress,
            notes=[] if suited == encoder else [_HALVED],
        )


def _train(
    inputs: TrainingInputs,
    out: Path,
    *,
    encoder: Path,
    known: KnownVectors | None,
    seed: int,
    jobs: int,
    engine: Engine,
    cache: Path | None,
    progress: Show | None,
    notes: Sequence[str],
) -> TrainingResult:
    runtime_encoder = OnnxEncoder.load(encoder)

    # 1. Features, computed as at runtime.
    outliers = make_outliers(len(inputs.texts), seed=seed)
    sample = draw_prompts(inputs.benchmark, seed=seed)
    unlabelled = inputs.prompts.waiting if inputs.described.any() else ()
    prompts = [*inputs.texts, *unlabelled]
    to_encode = {_OUTLIERS: outliers, _PROMPTS: prompts, _SCORING: sample.benchmark.results.prompts}
    unknown = {stage: int((~find_known(texts, runtime_encoder, known)[0]).sum()) for stage, texts in to_encode.items()}
    stages = Stages(_expect_work(inputs, unknown), progress)
    compute_features = partial(
        featurize, encoder=runtime_encoder, encode=engine.encode, cache=cache, known=known, progress=stages.watch_texts
    )
    stages.begin(_OUTLIERS)
    outlier_features = compute_features(outliers)
    stages.begin(_PROMPTS)
    encoded = compute_features(prompts)
    all_described = np.concatenate([inputs.described, np.zeros(len(unlabelled), np.bool_)])
    moved = move_descriptions(encoded, all_described, encoded.embedding[~all_described])
    features = moved.take(np.arange(len(inputs.texts)))

    # 2. The classifier of tasks, with its first tier and its keyword rules.
    stages.begin(_CLASSIFIER)
    # Nothing is measured on descriptions, because nobody types them.
    seen = was_seen(inputs.texts, runtime_encoder.record.tuning) | inputs.described
    fitted = fit_classifier(
        features,
        inputs.tasks,
        inputs.groups,
        seen=seen,
        outliers=outlier_features,
        seed=seed,
        engine=engine,
        watch=stages.watch,
    )
    stages.begin(_FIRST_TIER)
    first = build_first_tier(
        runtime_encoder.draft,
        [*inputs.texts, *outliers],
        inputs.tasks,
        features.concat(outlier_features),
        fitted,
        seen=was_seen(inputs.texts, runtime_encoder.record.draft),
    )
    rules = fit_rules(default_rules(), with_task(inputs.prompts.rows))

    # 3. The models' quality and cost, as far as the benchmark shows them.
    stages.begin(_SCORING)
    held_out = [inputs.prompts.rows[i] for i in fitted.held_out]
    held_out_table = make_held_out_table(fitted, features, [row.prompt for row in held_out])
    classifier = FeatureClassifier(labels=fitted.labels, heads=fitted.heads, temperature=fitted.temperature)
    scoring = fit_scoring(sample, held_out_table, classifier, compute_features, seed=seed, jobs=jobs)

    # 4. Scores on held-out prompts, and the model folder.
    stages.begin(_EVALUATION)
    qualities, predictions = evaluate_held_out(fitted, inputs.prompts.rows, rules, seed=seed)
    metrics = collect_metrics(fitted, held_out, qualities)
    training = TrainingResult(
        manifest=make_manifest(inputs, runtime_encoder, fitted, first, scoring, metrics=metrics, seed=seed),
        profiles=scoring.profiles,
        qualities=qualities,
        tasks=score_by_task(predictions, held_out, seed=seed),
        notes=(
            *notes,
            *inputs.prompts.notes,
            *sample.benchmark.notes,
            *describe_held_out(seen, fitted, predictions, held_out),
        ),
        reference=make_held_out_reference(fitted, features, seed=seed),
        heads=scoring.heads,
        first=first,
        vectors=KnownVectors.of(
            runtime_encoder.sha256,
            [*prompts, *outliers],
            np.concatenate([encoded.embedding, outlier_features.embedding]),
        ),
    )
    write_model_folder(out, training, fitted, rules, runtime_encoder, encoder)
    stages.end()
    return training


def _expect_work(inputs: TrainingInputs, unknown: Mapping[str, int]) -> dict[str, float]:
    """Return the milliseconds that each stage is expected to take.

    Args:
        inputs: The data of the training.
        unknown: Number of texts to encode in a stage.
    """
    n = len(inputs.texts)
    return {stage: rest * n + _MS_ENCODING * unknown.get(stage, 0) for stage, rest in _MS_PER_PROMPT.items()}
