"""A model folder and labelled prompts in, its evaluation beside baselines out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from router.classify.encoder import OnnxEncoder
from router.core import Router
from router.model_folder.load import load_model_folder
from router.types import TaskPrediction, TierChoice
from training.classifier.features import FeatureBlocks, featurize
from training.classifier.linear import fit_path, head_logits
from training.data.prompts import LabelledPrompt, PromptSet, with_task
from training.data.table import DatasetError
from training.evaluation.baselines import predict_majority, task_baselines
from training.evaluation.evaluate import Evaluation, evaluate
from training.progress import Progress


def evaluate_folder(
    model: Path,
    prompts: PromptSet,
    *,
    train_on: PromptSet | None,
    seed: int = 0,
    cache: Path | None = None,
    progress: Progress = iter,
) -> tuple[Evaluation, dict[str, list[str | None]]]:
    """Evaluate a model folder on labelled prompts, beside baselines.

    Args:
        model: The model folder.
        prompts: The prompts to predict. Each must have a task of its own, so `CONTINUES` is not allowed.
        train_on: Labelled prompts that the baselines learn from. None: no learned baselines.
        seed: Seed of the bootstrap.
        cache: Folder for cached embeddings. None: no cache.
        progress: Wraps the prompts while they are encoded.

    Returns:
        The evaluation, and the predicted tasks of the router and of each baseline, by name.

    Raises:
        DatasetError: If no prompt has a task of the model folder.
        ModelFolderError: If the folder is damaged.
    """
    folder, rows = load_model_folder(model, eager=True), prompts.rows
    _check_labels(rows, folder.manifest.labels, model)
    router = Router.from_model_folder(folder)
    texts = progress([row.prompt for row in rows])
    predictions = [_predict(router, row, text) for row, text in zip(rows, texts, strict=True)]
    baselines: dict[str, list[str | None]] = {}
    if any(row.earlier for row in rows):
        # Shows how much the earlier turns contribute.
        baselines["without context"] = [router.predict(row.prompt).task for row in rows]
    if folder.manifest.first is not None:
        # Shows how much accuracy the faster first tier costs.
        baselines["full tier alone"] = [_predict(router, row, row.prompt, tier="full").task for row in rows]
    if train_on is not None:
        featurize_cached = partial(featurize, encoder=OnnxEncoder.load(model / "encoder"), cache=cache, progress=progress)
        predict_by = {"embedding + LR": partial(_predict_by_embedding, featurize_cached)} | task_baselines(folder.rules)
        known = with_task(train_on.rows)
        baselines |= {name: list(predict(known, rows)) for name, predict in predict_by.items()}
    evaluation = evaluate(predictions, rows, baselines=baselines, seed=seed)
    return evaluation, {"router": [prediction.task for prediction in predictions]} | baselines


def _check_labels(rows: Sequence[LabelledPrompt], labels: Sequence[str], model: Path) -> None:
    """Raise an error if no prompt has a task of the model folder, because then no prediction can be right."""
    named = list(dict.fromkeys(row.task for row in rows))
    if not set(named) & set(labels):
        raise DatasetError(
            f"prompts must have tasks of the model folder {model} ({', '.join(labels)}), "
            f"got only {', '.join(named) or 'none'}; "
            "name the folder that was trained on these tasks"
        )


def _predict(router: Router, row: LabelledPrompt, text: str, *, tier: TierChoice | None = None) -> TaskPrediction:
    """Return the prediction for a text with the turns before it, as a caller passes them to the router."""
    if not row.earlier and row.message is None:
        return router.predict(text, tier=tier)
    last = {"role": "user", "content": text} if row.message is None else row.message
    return router.predict([*row.earlier, last], tools=row.tools, tier=tier)


def _predict_by_embedding(
    featurize_cached: Callable[[Sequence[str]], FeatureBlocks],
    train: Sequence[LabelledPrompt],
    rows: Sequence[LabelledPrompt],
) -> list[str]:
    """Predict by a logistic regression on the encoder's embeddings alone."""
    labels = sorted({row.task for row in train})
    if len(labels) < 2:  # noqa: PLR2004 - a regression needs two classes
        return predict_majority(train, rows)
    targets = np.array([labels.index(row.task) for row in train])
    known, asked = (featurize_cached([row.prompt for row in some]) for some in (train, rows))
    (heads,) = fit_path(known, targets, (1.0,), len(labels), "embedding")
    return [labels[i] for i in head_logits(heads, asked).argmax(axis=1)]
