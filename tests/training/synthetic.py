"""A benchmark that was made up: prompts that differ in difficulty within their task, and models that differ in strength."""

from dataclasses import dataclass

import numpy as np

from router.features import SURFACE
from training.classifier import FeatureBlocks, lexical_matrix
from training.datasets import BenchmarkSet, Result, Results
from training.outcomes import Outcomes, pivot
from training.served import PromptTable, Tabulate, make_tabulate

TASKS = ("coding", "math")


@dataclass(frozen=True, kw_only=True)
class Made:
    """A benchmark in every form that it takes."""

    benchmark: BenchmarkSet
    outcomes: Outcomes
    prompts: PromptTable
    tabulate: Tabulate


def make_benchmark(n: int = 400, *, difficulty: float = 2.0, verbosity: float = 0.0, seed: int = 0) -> Made:
    """Models weak, middle and strong at 0.001, 0.003 and 0.01 USD; the first dimension of an embedding is how hard it is.

    Args:
        n: Prompts.
        difficulty: How many logits a deviation of it takes away, in mathematics alone.
        verbosity: By which power of e a deviation of the second dimension makes a prompt dearer.
        seed: Of all draws.
    """
    rng = np.random.default_rng(seed)
    embedding = rng.normal(size=(n, 6)).astype(np.float32)
    task = np.array(TASKS)[np.arange(n) % 2]
    logits = np.array([-0.5, 0.5, 1.5]) - difficulty * embedding[:, :1] * (task == "math")[:, None]
    score = (rng.random((n, 3)) < 1 / (1 + np.exp(-logits))).astype(float)
    cost = np.array([0.001, 0.003, 0.01]) * np.exp(verbosity * embedding[:, 1:2] + rng.normal(0, 0.1, (n, 3)))
    texts = [f"{task[i]} question {i}" for i in range(n)]
    rows = [
        Result(model=model, task=str(task[i]), prompt=texts[i], score=float(score[i, j]), cost_usd=float(cost[i, j]))
        for i in range(n)
        for j, model in enumerate(("weak", "middle", "strong"))
    ]
    benchmark = BenchmarkSet(results=Results.of(rows), facts={}, sha256="0" * 64)
    outcomes = pivot(benchmark.results)
    prompts = PromptTable(
        features=FeatureBlocks(
            embedding=embedding / np.sqrt(6), lexical=lexical_matrix(texts), surface=np.zeros((n, len(SURFACE)), np.float32)
        ),
        probabilities=np.where((task == "coding")[:, None], (0.95, 0.05), (0.05, 0.95)),
        tasks=TASKS,
        tokens=np.full((n, 1), 20),
    )
    return Made(
        benchmark=benchmark, outcomes=outcomes, prompts=prompts, tabulate=make_tabulate(benchmark, outcomes, prompts)
    )
