"""Labelled prompts and descriptions of their tasks in, accuracy by the number of labels out.

    python benchmarks/few_labels.py --prompts data/label_sets/support.csv --tasks data/label_sets/support.toml
        [--labels 0 5 20 80] [--encoder FOLDER] [--whole] [--draws 3] [--seed 0]

For each number of labels per task, labels are drawn and the classifier learns from them and from the descriptions, once with
50 more prompts that have no label. The test is on 25 prompts of each task that no draw uses. Beside it: the same classifier
without the descriptions, and TF-IDF with a logistic regression. Figures are means over the draws, with 95 % intervals by a
bootstrap over prompts in the first draw. The script also prints the milliseconds that encoding a prompt takes.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from router.classify.classifier import softmax
from router.classify.encoder import OnnxEncoder
from router.model_folder.load import find_model_folder
from training.classifier.features import FeatureBlocks, featurize, move_descriptions
from training.classifier.fit import fit_classifier
from training.classifier.linear import head_logits
from training.classifier.outliers import PROMPTS_PER_OUTLIER, make_outliers
from training.data.prompts import LabelledPrompt, read_prompts
from training.data.task_file import describe_rows, read_task_file
from training.encoder.folder import knows_other_tasks, write_half
from training.evaluation.intervals import bootstrap

_FEWEST = 5
# Prompts of each task that are only tested.
_TESTED = 25
# Numbers of prompts without a label that show where the descriptions belong.
_UNLABELLED = (0, 50)


def main() -> None:
    """Measure the curve of accuracy by the number of labels, and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=Path, required=True)
    parser.add_argument("--tasks", type=Path, required=True)
    parser.add_argument("--labels", type=int, nargs="+", default=[0, 5, 20, 80])
    parser.add_argument("--encoder", type=Path, default=find_model_folder() / "encoder")
    parser.add_argument("--whole", action="store_true", help="never cut the encoder in half")
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    tasks = read_task_file(given.tasks)
    rows = [row for row in read_prompts(given.prompts, tasks=tuple(tasks)).rows if row.task in tasks]
    described = describe_rows(tasks)
    texts = [row.prompt for row in rows]
    half = not given.whole and knows_other_tasks(given.encoder, texts, list(tasks))
    encoder = _open_half(given.encoder) if half else OnnxEncoder.load(given.encoder)
    features, of_descriptions = featurize(texts, encoder), featurize([row.prompt for row in described], encoder)
    outliers = featurize(make_outliers(len(rows) + len(described), seed=given.seed), encoder)
    by_task = _shuffle(rows, seed=given.seed)
    test = np.array(sorted(i for found in by_task.values() for i in found[:_TESTED]))
    rest = {task: found[_TESTED:] for task, found in by_task.items()}
    pools = [{task: _draw(found, f"{draw} {task}") for task, found in rest.items()} for draw in range(given.draws)]
    print(f"{given.prompts.name}: {len(tasks)} tasks, tested on {len(test)} prompts, {given.draws} draws, seed {given.seed}")
    data = Data(rows, described, features, of_descriptions, outliers, test)
    for n in given.labels:
        found = defaultdict(list)
        for pool in pools:
            chosen = np.array([i for each in pool.values() for i in each[:n]], np.int64)
            for name, right in data.measure(chosen).items():
                found[name].append(right)
        for name, draws in found.items():
            interval = bootstrap(lambda sample, first=draws[0]: float(first[sample].mean()), len(test), seed=given.seed)
            mean = np.mean([right.mean() for right in draws])
            print(f"  {n:3} labels, {name:22} {mean:.3f} [{interval.low:.3f}, {interval.high:.3f}]")
    _time(texts, encoder)


def _open_half(folder: Path) -> OnnxEncoder:
    with tempfile.TemporaryDirectory() as scratch:
        write_half(folder, Path(scratch) / "half")
        return OnnxEncoder.load(Path(scratch) / "half")


def _shuffle(rows: Sequence[LabelledPrompt], *, seed: int) -> dict[str, list[int]]:
    pool = defaultdict(list)
    for i, row in enumerate(rows):
        pool[row.task].append(i)
    for task, found in pool.items():
        random.Random(f"{seed} {task}").shuffle(found)
    return dict(pool)


def _draw(found: Sequence[int], seed: str) -> list[int]:
    return random.Random(seed).sample(found, len(found))


@dataclass(frozen=True)
class Data:
    """The prompts, the rows of the descriptions, and the features of both."""

    rows: Sequence[LabelledPrompt]
    described: Sequence[LabelledPrompt]
    features: FeatureBlocks
    of_descriptions: FeatureBlocks
    outliers: FeatureBlocks
    test: NDArray[np.int64]

    def measure(self, chosen: NDArray[np.int64]) -> dict[str, NDArray[np.bool_]]:
        """Return for each way to learn from some labels which prompts of the test it gets right."""
        truth = np.array([self.rows[i].task for i in self.test.tolist()])
        names = [self.rows[i].task for i in chosen.tolist()]
        own = [str(i) for i in chosen.tolist()]
        asked, alone = self.features.take(self.test), self.features.take(chosen)
        tasks, groups = [*names, *(row.task for row in self.described)], [*own, *(row.group for row in self.described)]
        seen = np.arange(len(tasks)) >= len(names)
        found = {}
        for n in _UNLABELLED:
            both = alone.concat(self.of_descriptions)
            known = np.concatenate([alone.embedding, self.features.embedding[self._unlabelled(chosen)[:n]]])
            both = move_descriptions(both, seen, known)
            found[f"descriptions, {n} more"] = _predict(both, tasks, groups, seen, self.outliers, asked) == truth
        if len(chosen) >= _FEWEST * len(set(names)) > 0:
            found["labels alone"] = _predict(alone, names, own, np.zeros(len(own), np.bool_), self.outliers, asked) == truth
            words = _predict_words([self.rows[i].prompt for i in chosen.tolist()], names, self.rows, self.test)
            found["TF-IDF"] = words == truth
        return found

    def _unlabelled(self, chosen: NDArray[np.int64]) -> list[int]:
        """Return in random order the prompts that are neither learned with their labels nor tested."""
        taken = {*chosen.tolist(), *self.test.tolist()}
        rest = [i for i in range(len(self.rows)) if i not in taken]
        return random.Random("unlabelled").sample(rest, len(rest))


def _predict(
    features: FeatureBlocks,
    tasks: Sequence[str],
    groups: Sequence[str],
    seen: NDArray[np.bool_],
    outliers: FeatureBlocks,
    asked: FeatureBlocks,
) -> NDArray[np.str_]:
    few = outliers.take(np.arange(len(tasks) // PROMPTS_PER_OUTLIER))  # as many as training uses
    fitted = fit_classifier(features, tasks, groups, seen=seen, outliers=few, jobs=1)
    probabilities = softmax(head_logits(fitted.heads, asked) / fitted.temperature)
    return np.array(fitted.labels)[probabilities.argmax(axis=1)]


def _predict_words(
    texts: Sequence[str], tasks: Sequence[str], rows: Sequence[LabelledPrompt], test: NDArray[np.int64]
) -> NDArray[np.str_]:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    model = make_pipeline(TfidfVectorizer(ngram_range=(1, 2)), LogisticRegression(C=10, max_iter=1000))
    return np.asarray(model.fit(texts, tasks).predict([rows[i].prompt for i in test.tolist()]))


def _time(texts: Sequence[str], encoder: OnnxEncoder) -> None:
    began = time.perf_counter()
    for text in texts[:200]:
        encoder.encode([text])
    print(f"  encoding a prompt takes {(time.perf_counter() - began) * 1000 / len(texts[:200]):.1f} ms on this machine")


if __name__ == "__main__":
    main()
