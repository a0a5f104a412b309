"""Labelled prompts in, accuracy by the number of training prompts out, for the quick and the thorough path.

    python benchmarks/learning_curve.py [--prompts data/prompts.csv] [--test user_dev.csv.gz] [--beside external.csv.gz]
        [--sizes 200 1000 4000] [--finetune BASE] [--own-tasks] [--encoder FOLDER] [--seed 0]

Quick: The encoder as it is. It looks too good on prompts that it was tuned on.
Thorough: An encoder tuned on the training prompts themselves. `--finetune` names a sentence-transformers model.

Keyword rules are off. Without `--test` a fifth of each file is held out by group, at most 3,000 prompts.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from router.classify.classifier import softmax
from router.classify.encoder import OnnxEncoder
from router.model_folder.load import find_model_folder
from training.classifier.calibrate import spread_continues
from training.classifier.features import default_cache, featurize
from training.classifier.fit import fit_classifier
from training.classifier.folds import split_folds
from training.classifier.linear import head_logits
from training.classifier.outliers import make_outliers
from training.data.prompts import LabelledPrompt, PromptSet, read_prompts, with_task
from training.encoder.recipe import FinetuneRecipe
from training.encoder.seen import was_seen
from training.encoder.tune import tune_encoder
from training.evaluation.metrics import PredictionQuality, score_predictions

ROOT = Path(__file__).parent.parent
_MOST_TESTED = 3000


def main() -> None:
    """Fit and evaluate for every file and size, and print one line each."""
    arguments = _read_arguments()
    print(f"seed {arguments.seed}, 95 % bootstrap intervals")
    print(f"{'trained on':24} {'rows':>6} {'path':9} {'tested':>6}  {'strict accuracy':22} {'lenient accuracy':22} seconds")
    for path in [arguments.prompts, *arguments.beside]:
        pool, test = _split(path, arguments)
        for size in arguments.sizes:
            rows = _sample(pool, size, arguments.seed)
            for name in ["quick", *(["thorough"] if arguments.finetune else [])]:
                start = time.perf_counter()
                quality = _evaluate(name, rows, test, arguments)
                lenient = quality.lenient or ""
                print(
                    f"{path.name:24} {len(rows):6} {name:9} {len(test):6}  {quality.accuracy!s:22} {lenient!s:22} "
                    f"{time.perf_counter() - start:.0f}",
                    flush=True,
                )


def _evaluate(
    name: str, rows: Sequence[LabelledPrompt], test: Sequence[LabelledPrompt], arguments: argparse.Namespace
) -> PredictionQuality:
    seed = arguments.seed
    texts, tasks = [row.prompt for row in rows], [row.task for row in rows]
    with tempfile.TemporaryDirectory() as folder:
        encoder = OnnxEncoder.load(
            _tune(rows, Path(folder), arguments)
            if name == "thorough"
            else arguments.encoder or find_model_folder() / "encoder"
        )
        features = featurize(texts, encoder, cache=default_cache())
        outliers = featurize(make_outliers(len(texts), seed=seed), encoder, cache=default_cache())
        seen = was_seen(texts, encoder.record.tuning)
        fitted = fit_classifier(features, tasks, [row.group for row in rows], seen=seen, outliers=outliers, seed=seed)
        logits = head_logits(fitted.heads, featurize([row.prompt for row in test], encoder, cache=default_cache()))
    best = spread_continues(fitted.labels, softmax(logits)).argmax(axis=1)
    return score_predictions(name, [fitted.tasks[i] for i in best], test, seed=seed)


def _tune(rows: Sequence[LabelledPrompt], folder: Path, arguments: argparse.Namespace) -> Path:
    """Tune an encoder on prompts and return its folder."""
    file, out = folder / "prompts.csv", folder / "encoder"
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["prompt", "task", "group"])
        writer.writerows((row.prompt, row.task, row.group) for row in rows)
    tune_encoder(arguments.finetune, file, out, recipe=FinetuneRecipe(seed=arguments.seed), own_tasks=True)
    return out


def _split(path: Path, arguments: argparse.Namespace) -> tuple[list[LabelledPrompt], Sequence[LabelledPrompt]]:
    """Return the prompts to train on and the prompts to test on."""
    pool = list(_read(path, arguments).rows)
    if arguments.test is not None:
        return pool, with_task(_read(arguments.test, arguments).rows)
    tasks = sorted({row.task for row in pool})
    targets = np.array([tasks.index(row.task) for row in pool])
    folds = split_folds(targets, [row.group for row in pool], seed=arguments.seed)
    test = with_task([row for row, fold in zip(pool, folds, strict=True) if fold == 0])
    return [row for row, fold in zip(pool, folds, strict=True) if fold], _sample(test, _MOST_TESTED, arguments.seed)


def _read(path: Path, arguments: argparse.Namespace) -> PromptSet:
    return read_prompts(path, tasks=None) if arguments.own_tasks else read_prompts(path)


def _sample(pool: Sequence[LabelledPrompt], size: int, seed: int) -> list[LabelledPrompt]:
    """Draw prompts at random, and add more until each task has five, the fewest that training accepts."""
    order = np.random.default_rng(seed).permutation(len(pool)).tolist()
    drawn = [pool[i] for i in order[:size]]
    for task in sorted({row.task for row in pool}):
        lacking = 5 - sum(row.task == task for row in drawn)
        drawn += [pool[i] for i in order[size:] if pool[i].task == task][: max(0, lacking)]
    return drawn


def _read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=Path, default=ROOT / "data" / "prompts.csv")
    parser.add_argument("--test", type=Path)
    parser.add_argument("--beside", type=Path, nargs="*", default=[])
    parser.add_argument("--sizes", type=int, nargs="+", default=[200, 1000, 4000])
    parser.add_argument("--finetune", metavar="BASE")
    parser.add_argument("--own-tasks", action="store_true")
    parser.add_argument("--encoder", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
