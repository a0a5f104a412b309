"""Encoders and a benchmark in, how well their vectors predict model scores and find similar prompts out.

    python benchmarks/encoders.py BENCHMARK.csv --encoders FOLDER FOLDER … [--prompts 3000] [--seed 0]

The script prints three figures per encoder, with 95 % bootstrap intervals over prompts:

- the explained variance of the models' scores beyond each model's mean, by ridge regression
- the same by the 30 nearest prompts
- the share of prompts whose nearest other prompt comes from the same benchmark

The first two are measured on held-out prompts in five folds.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import KFold
from sklearn.neighbors import KNeighborsRegressor

from router.classify.encoder import OnnxEncoder
from training.classifier.features import default_cache, featurize
from training.data.benchmark import read_benchmark
from training.evaluation.intervals import bootstrap

if TYPE_CHECKING:
    from numpy.typing import NDArray

_NEIGHBOURS = 30


def main() -> None:
    """Compare encoders on one benchmark file and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("benchmark", type=Path)
    parser.add_argument("--encoders", type=Path, nargs="+", required=True)
    parser.add_argument("--prompts", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    texts, sources, scores = _read(arguments.benchmark, arguments.prompts, arguments.seed)
    print(f"{arguments.benchmark.name}: {len(texts)} prompts, {scores.shape[1]} models, seed {arguments.seed}")
    print(f"{'encoder':28} {'explained by ridge':24} {'by neighbours':24} nearest of same benchmark")
    for folder in arguments.encoders:
        encoder = OnnxEncoder.load(folder)
        vectors = featurize(texts, encoder, cache=default_cache()).embedding
        ridge = _explained(vectors, scores, RidgeCV(alphas=np.logspace(-2, 3, 11)), arguments.seed)
        near = _explained(vectors, scores, KNeighborsRegressor(_NEIGHBOURS), arguments.seed)
        alike = vectors @ vectors.T
        np.fill_diagonal(alike, -1)  # a prompt is not its own neighbour
        same = sources[alike.argmax(axis=1)] == sources
        share = bootstrap(lambda sample, same=same: float(same[sample].mean()), len(texts), seed=arguments.seed)
        print(f"{encoder.name:28} {ridge:24} {near:24} {share}")


def _read(path: Path, most: int, seed: int) -> tuple[list[str], NDArray[np.str_], NDArray[np.float64]]:
    """Return up to `most` prompts that every model answered, their benchmarks, and scores of shape (prompts, models)."""
    by_prompt: dict[str, dict[str, float]] = {}
    sources: dict[str, str] = {}
    results = read_benchmark(path, tasks=None).results
    for result in results:
        by_prompt.setdefault(result.prompt, {})[result.model] = result.score
        sources[result.prompt] = result.benchmark
    models = sorted({result.model for result in results})
    complete = [prompt for prompt, given in by_prompt.items() if len(given) == len(models)]
    drawn = np.random.default_rng(seed).permutation(len(complete))[:most].tolist()
    texts = [complete[i] for i in drawn]
    scores = np.array([[by_prompt[text][model] for model in models] for text in texts])
    return texts, np.array([sources[text] for text in texts]), scores


def _explained(vectors: NDArray[np.float32], scores: NDArray[np.float64], model: object, seed: int) -> str:
    """Return the explained variance beyond each model's mean, with its interval, as text."""
    predicted, mean = np.empty_like(scores), np.empty_like(scores)
    for kept, held_out in KFold(5, shuffle=True, random_state=seed).split(vectors):
        predicted[held_out] = model.fit(vectors[kept], scores[kept]).predict(vectors[held_out])
        mean[held_out] = scores[kept].mean(axis=0)
    wrong, missed = ((scores - estimate) ** 2 for estimate in (predicted, mean))
    rows_wrong, rows_missed = wrong.sum(axis=1), missed.sum(axis=1)
    return str(
        bootstrap(lambda sample: float(1 - rows_wrong[sample].sum() / rows_missed[sample].sum()), len(scores), seed=seed)
    )


if __name__ == "__main__":
    main()
