"""Read a model folder and a benchmark file, and assess the routing of the folder."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from router.classify.classifier import CONTINUES
from router.classify.encoder import OnnxEncoder
from router.model_folder.load import load_model_folder
from training.classifier.features import featurize
from training.data.benchmark import read_benchmark
from training.progress import Progress
from training.verdict.assess import RoutingAssessment, assess_folder


def assess_routing(
    model: Path,
    benchmark: Path,
    *,
    train_on: Path | None = None,
    seed: int = 0,
    jobs: int = -1,
    cache: Path | None = None,
    progress: Progress = iter,
) -> RoutingAssessment:
    """Assess whether routing with a model folder pays on a benchmark; see `training.verdict.assess`.

    Args:
        model: The model folder.
        benchmark: CSV of benchmark results with prompts.
        train_on: CSV of other results that the baselines learn from. None: `benchmark`, with each fifth held out in turn.
        seed: Seed of folds and bootstrap.
        jobs: See `training.pipeline.train`.
        cache: See `training.pipeline.train`.
        progress: See `training.pipeline.train`.

    Raises:
        DatasetError: If a file breaks its rules, or too few prompts have a score of every model.
        ModelFolderError: If the folder is damaged.
    """
    model_folder = load_model_folder(model)
    tasks = [label for label in model_folder.manifest.labels if label != CONTINUES]
    return assess_folder(
        model_folder,
        read_benchmark(benchmark, tasks=tasks),
        partial(featurize, encoder=OnnxEncoder.load(model / "encoder"), cache=cache, progress=progress),
        name=benchmark.name,
        train_on=read_benchmark(train_on, tasks=tasks) if train_on else None,
        seed=seed,
        jobs=jobs,
    )
