"""Prompt texts in, the classifier's view of them out: embeddings and task probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from router.classify.classifier import TaskClassifier, split_continues
from training.classifier.calibrate import spread_continues
from training.data.logs import LoggedPrompt, count_distinct
from training.data.table import DatasetError
from training.progress import Progress

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Time and memory of the embedding test grow with the square of the number of prompts.
MOST_COMPARED = 2000
# With fewer prompts, the tests can find only very large differences.
FEWEST_PROMPTS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """The classifier's view of n prompts. Each prompt is classified without the turns before it.

    Attributes:
        tasks: The tasks.
        threshold: Confidence below which the classifier counts as unsure.
        embeddings: Embeddings, shape (n, dim), each of length one.
        probabilities: Calibrated task probabilities, shape (n, tasks). Each row sums to one.
        continues: Probability that a prompt only continues the turn before it, shape (n,).
    """

    tasks: tuple[str, ...]
    threshold: float
    embeddings: NDArray[np.float32]
    probabilities: NDArray[np.float64]
    continues: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.probabilities)

    def take(self, rows: NDArray[np.int64]) -> Traffic:
        """Return some of the prompts, in the order of the index `rows`."""
        return replace(
            self,
            embeddings=self.embeddings[rows],
            probabilities=self.probabilities[rows],
            continues=self.continues[rows],
        )

    def rows_with_task(self) -> NDArray[np.int64]:
        """Return the index of the prompts with a task of their own: they continue a turn with at most probability 1/2."""
        return np.flatnonzero(self.continues <= 1 / 2)

    def confidence(self) -> NDArray[np.float64]:
        """Return the probability of the most likely task, shape (n,)."""
        return np.asarray(self.probabilities.max(axis=1))

    def unsure(self) -> NDArray[np.bool_]:
        """Return whether the classifier is unsure, shape (n,). Keyword rules are not applied."""
        return self.confidence() < self.threshold

    def count_tasks(self) -> NDArray[np.int64]:
        """Return the number of prompts of each most likely task, shape (tasks,)."""
        return np.bincount(self.probabilities.argmax(axis=1), minlength=len(self.tasks))


def classify_texts(texts: Sequence[str], classifier: TaskClassifier, *, progress: Progress = iter) -> Traffic:
    """Classify texts one by one, as the router does when it serves them.

    Args:
        texts: n texts.
        classifier: The classifier.
        progress: Wraps the texts to show progress.
    """
    features = [classifier.featurize(text) for text in progress(texts)]
    labels = [classifier.probabilities(one) for one in features]
    # reshape keeps two dimensions if there is no text.
    probabilities = np.array(labels, np.float64).reshape(-1, len(classifier.labels))
    return Traffic(
        tasks=classifier.tasks,
        threshold=classifier.threshold,
        embeddings=np.array([one.vector for one in features], np.float32).reshape(-1, classifier.encoder.dim),
        probabilities=spread_continues(classifier.labels, probabilities),
        continues=split_continues(classifier.labels, probabilities)[1],
    )


def find_distinct(log: Sequence[LoggedPrompt]) -> list[LoggedPrompt]:
    """Return the first entry of each different text. Entries without text are left out, such as an image alone."""
    return [entry for entry, _ in count_distinct(log, lambda entry: entry.text) if entry.text.strip()]


def draw_rows(n: int, most: int, *, seed: int) -> NDArray[np.int64]:
    """Return row numbers drawn at random without replacement, in ascending order.

    Args:
        n: Number of rows to draw from.
        most: Number of rows to draw. If there are no more than that, all rows are returned.
        seed: Seed of the random choice.
    """
    if n <= most:
        return np.arange(n)
    return np.sort(np.random.default_rng(seed).choice(n, most, replace=False))


def check_enough(n: int, name: str) -> None:
    """Check that there are enough prompts for a comparison.

    Args:
        n: Number of different prompts with a task of their own.
        name: Name of the file, for the message.

    Raises:
        DatasetError: If there are fewer than 20.
    """
    if n < FEWEST_PROMPTS:
        raise DatasetError(
            f"{name} must have at least {FEWEST_PROMPTS} different prompts with a task of their own, got {n}; collect more"
        )
