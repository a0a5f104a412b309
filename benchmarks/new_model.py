"""A complete benchmark table in, what a router knows of a new model by its number of graded prompts out.

    python benchmarks/new_model.py TABLE.csv ... [--seeds 10] [--rows 0 25 50 100]

Half of the prompts are held out. Each model in turn is new: of the other half only some random prompts have its score, and
all prompts have those of the other models. The columns are

- for the qualities of the new model, one for each task: the mean absolute error, the share inside the 80 % and the 95 %
  interval, and the mean standard error. The truth is the mean over the held-out prompts; the intervals include its error;
- the decision quality AIQ on the held-out prompts as in `benchmarks/plan.py`, with all models. In the line "not offered" the
  router does not have the new model.

The second error is that of plain means, which are not compared on the prompts that other models answered.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from plan import Simulation

from training.data.benchmark import BenchmarkSet, read_benchmark
from training.quality.posterior import Posterior


class Found(NamedTuple):
    """Figures of one new model with one number of rows.

    Attributes:
        errors: Error of each task's quality.
        plain: The same with plain means.
        deviations: Standard error of each.
        expected: Standard error of each, including that of the truth.
        aiq: Decision quality.
    """

    errors: list[float]
    plain: list[float]
    deviations: list[float]
    expected: list[float]
    aiq: float


def judge(simulation: Simulation, posterior: Posterior, new: int) -> tuple[list[float], list[float], list[float]]:
    """Return the error of each task's quality, its standard error, and that including the error of the truth."""
    mean, covariance = posterior.predict(simulation.models[new])
    benchmarks = np.array(simulation.held_out.benchmarks)
    errors, deviations, expected = [], [], []
    for t, task in enumerate(simulation.tasks):
        parts = [
            simulation.test[(simulation.test_task == t) & (benchmarks == name), new]
            for name in dict.fromkeys(b for name, b in posterior.cells.columns if name == task)
        ]
        parts = [part for part in parts if len(part) > 1]
        errors.append(float(np.mean([part.mean() for part in parts]) - np.clip(mean[t], 0, 1)))
        sampling = sum(part.var(ddof=1) / len(part) for part in parts) / len(parts) ** 2
        deviations.append(float(np.sqrt(covariance[t, t])))
        expected.append(float(np.sqrt(covariance[t, t] + sampling)))
    return errors, deviations, expected


def simulate(table: BenchmarkSet, seed: int, steps: list[int | None]) -> tuple[dict[int | None, list[Found]], list[float]]:
    """Return the figures of each model by number of rows, None for all; and AIQ without each model."""
    simulation, uncompared = Simulation(table, seed), Simulation(table, seed, compares=False)
    found: dict[int | None, list[Found]] = {step: [] for step in steps}
    without = []
    for new in range(len(simulation.models)):
        order = np.random.default_rng([seed, new]).permutation(len(simulation.score))
        scored = np.ones(simulation.score.shape, np.bool_)
        scored[:, new] = False
        without.append(simulation.find_aiq(simulation.learn(scored), without=new))
        for step in steps:
            scored[order[:step], new] = True
            posterior = simulation.learn(scored)
            errors, deviations, expected = judge(simulation, posterior, new)
            # With no or all prompts there is nothing to compare.
            plain = judge(simulation, uncompared.learn(scored), new)[0] if step else errors
            found[step].append(Found(errors, plain, deviations, expected, simulation.find_aiq(posterior)))
    return found, without


def main() -> None:
    """Print one line for each number of rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", nargs="+", type=Path)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--rows", type=int, nargs="+", default=[0, 25, 50, 100])
    given = parser.parse_args()
    for path in given.tables:
        table = read_benchmark(path, tasks=None)
        runs = [simulate(table, seed, [*sorted(given.rows), None]) for seed in range(given.seeds)]
        without = np.array([aiqs for _, aiqs in runs]).mean(axis=1)
        error = spread(without)
        print(f"{path.name}, {given.seeds} seeds\n{'rows':12}   n   error   plain   80 %   95 %  stderr  AIQ")
        print(f"{'not offered':12}{'':42}{without.mean():.4f} ± {error:.4f}")
        for step in runs[0][0]:
            models = [one for found, _ in runs for one in found[step]]
            errors, plain, deviations, expected = (
                np.concatenate([getattr(one, name) for one in models]) for name in Found._fields[:-1]
            )
            inside = [(abs(errors) < NormalDist().inv_cdf(0.5 + p / 2) * expected).mean() for p in (0.8, 0.95)]
            aiq = np.array([np.mean([one.aiq for one in found[step]]) for found, _ in runs])
            print(
                f"{'all' if step is None else step:<12}{len(errors):4}{abs(errors).mean():8.4f}{abs(plain).mean():8.4f}"
                f"{inside[0]:7.3f}{inside[1]:7.3f}{deviations.mean():8.4f}  {aiq.mean():.4f} ± {spread(aiq):.4f}",
                flush=True,
            )


def spread(values: np.ndarray) -> float:
    """Return the standard error of a mean over seeds."""
    return float(values.std(ddof=min(1, len(values) - 1)) / len(values) ** 0.5)


if __name__ == "__main__":
    main()
