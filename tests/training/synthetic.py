"""A synthetic benchmark: prompts that differ in difficulty within their task, and models that differ in strength."""

from dataclasses import dataclass

import numpy as np

from router.classify.features import SURFACE
from training.classifier.features import FeatureBlocks, lexical_matrix
from training.data.benchmark import BenchmarkSet
from training.data.facts import ModelFacts
from training.data.results import Result, Results
from training.quality.expectations import TableBuilder, make_table_builder
from training.quality.outcomes import Outcomes, pivot
from training.quality.prompt_table import PromptTable

TASKS = ("coding", "math")


@dataclass(frozen=True, kw_only=True)
class Made:
    """A synthetic benchmark in every form that the pipeline uses."""

    benchmark: BenchmarkSet
    outcomes: Outcomes
    prompts: PromptTable
    build_table: TableBuilder


def make_benchmark(n: int = 400, *, difficulty: float = 2.0, verbosity: float = 0.0, seed: int = 0) -> Made:
    """Return a benchmark of three models: weak, middle and strong, which cost 0.001, 0.003 and 0.01 USD for a prompt.

    The first dimension of a prompt's embedding is its difficulty, and the second is its length.

    Args:
        n: Number of prompts.
        difficulty: Logits that a standard deviation of difficulty takes away. It counts only in mathematics.
        verbosity: Logarithm of the factor on the cost for a standard deviation of length.
        seed: Seed of all draws.
    """
    rng = np.random.default_rng(seed)
    embedding = rng.normal(size=(n, 6)).astype(np.float32)
    task = np.array(TASKS)[np.arange(n) % 2]
    logits = np.array([-0.5, 0.5, 1.5]) - difficulty * embedding[:, :1] * (task == "math")[:, None]
    score = (rng.random((n, 3)) < 1 / (1 + np.exp(-logits))).astype(float)
    cost = np.array([0.001, 0.003, 0.01]) * np.exp(verbosity * embedding[:, 1:2] + rng.normal(0, 0.1, (n, 3)))
    texts = [f"{task[i]} question {i}" for i in range(n)]
    facts = {model: ModelFacts() for model in ("weak", "middle", "strong")}
    rows = [
        Result(model=model, task=str(task[i]), prompt=texts[i], score=float(score[i, j]), cost_usd=float(cost[i, j]))
        for i in range(n)
        for j, model in enumerate(facts)
    ]
    benchmark = BenchmarkSet(results=Results.of(rows), facts=facts, sha256="0" * 64)
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
        benchmark=benchmark, outcomes=outcomes, prompts=prompts, build_table=make_table_builder(benchmark, outcomes, prompts)
    )
