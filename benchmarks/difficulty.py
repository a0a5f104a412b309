"""Two benchmarks with prompts in, how much it helps to know how hard a prompt is out.

    python benchmarks/difficulty.py zeroeval_train.csv.gz routerbench_train.csv.gz [--seeds 3]

On each table the router learns from 80 % of the prompts and decides for the rest. The shift of quality by a prompt's text,
in logits, is one of these:

- `table`: none. Only the task counts.
- `heads`: today's. Each model has its own weights, around shared ones.
- `difficulty`: the shared weights alone. A prompt has one difficulty, as in the model of Rasch (1960).
- `2PL`: difficulty times a slope of each model (Birnbaum, 1968, in Lord and Novick, Statistical Theories of Mental Test
  Scores).
- `other table`: the difficulty that was learned from the other table.

The script prints the area under the curve of cost and quality (AIQ) minus that of `table` and of `heads`. The intervals are
95 %, by a bootstrap over prompts as in `benchmarks/routing.py`.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from routing import load
from scipy.optimize import minimize_scalar

from router.score.scoring import Expectation
from training.classifier.linear import head_logits
from training.data.benchmark import BenchmarkSet
from training.quality.cross_fit import FoldedRegression, choose_precisions, predict_held_out
from training.quality.design import make_design, make_widening
from training.quality.dial import find_knee
from training.quality.expectations import TableBuilder, expect, make_table_builder
from training.quality.multitask import Regression, fit_weights
from training.quality.outcomes import Outcomes, split_groups
from training.quality.prompt_heads import FOLDS
from training.quality.prompt_table import PromptTable
from training.verdict.bootstrap import interval_of, resample
from training.verdict.cross_fit import fit_and_expect
from training.verdict.curves import curve_figures
from training.verdict.score_table import complete_prompts, tabulate
from training.verdict.sweep import sweep_router

_SLOPE_PRIOR = 20.0
# Qualities are kept this far from 0 and 1, and shifts below this number of logits, as in the router.
_LOWEST, _MOST = 1e-3, 4.0


class Table:
    """One benchmark, with everything that is needed to learn from a part of it."""

    def __init__(self, path: Path) -> None:
        self.name = path.name
        benchmark, self.outcomes, self.prompts = load(path)
        self.build: TableBuilder = make_table_builder(benchmark, self.outcomes, self.prompts)
        self.benchmark: BenchmarkSet = benchmark


class Difficulty:
    """What a table teaches about the difficulty of prompts."""

    def __init__(self, table: Table, train: NDArray[np.bool_], seed: int) -> None:
        rows = np.flatnonzero(train)
        outcomes, prompts = table.outcomes.take(rows), table.prompts.take(rows)
        design = make_design(prompts.features, seed=seed)
        widening = make_widening(design.rows, outcomes.tasks)
        folds = split_groups(outcomes, FOLDS, seed=seed)
        problems = [self._make_problem(table, rows, folds != fold, outcomes, prompts) for fold in range(FOLDS)]
        folded = FoldedRegression(rows=[design.rows @ widening] * FOLDS, problems=problems, folds=folds)
        shared, _ = choose_precisions(folded, seed=seed, jobs=-1)
        whole = self._make_problem(table, rows, np.ones(len(rows), np.bool_), outcomes, prompts)
        weights = fit_weights(design.rows @ widening, whole, shared, np.inf)
        self.head = design.unfold(widening @ weights[:1].T)
        held_out = predict_held_out(folded, (shared, np.inf), jobs=-1)[:, 0]
        self.slopes = np.array([self._fit_slope(folded, held_out, m) for m in range(len(outcomes.models))])

    @staticmethod
    def _make_problem(
        table: Table, rows: NDArray[np.int64], mask: NDArray[np.bool_], outcomes: Outcomes, prompts: PromptTable
    ) -> Regression:
        kept = np.zeros(len(table.outcomes.prompts), np.bool_)
        kept[rows[mask]] = True
        quality = np.clip(expect(table.build(kept), prompts).quality, _LOWEST, 1 - _LOWEST)
        return Regression(target=outcomes.score, offset=np.log(quality / (1 - quality)), loss="logistic")

    @staticmethod
    def _fit_slope(folded: FoldedRegression, held_out: NDArray[np.float64], model: int) -> float:
        """Return the slope of a model with the lowest held-out loss, drawn towards 1."""

        def loss(slope: float) -> float:
            total = _SLOPE_PRIOR * (slope - 1) ** 2
            for fold, problem in enumerate(folded.problems):
                inside = folded.folds == fold
                shift = np.zeros_like(problem.offset[inside])
                shift[:, model] = slope * held_out[inside]
                total += float(np.nansum(problem.take(inside).losses(shift)[:, model]))
            return total

        return float(minimize_scalar(loss, bounds=(-1, 4), method="bounded").x)

    def of(self, prompts: PromptTable) -> NDArray[np.float64]:
        """Return the shift of each prompt, shape (n, 1)."""
        return np.asarray(head_logits(self.head, prompts.features), np.float64)


def main() -> None:
    """Run the study and print its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", type=Path, nargs=2)
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    tables = [Table(path) for path in given.tables]
    for table, other in ((tables[0], tables[1]), (tables[1], tables[0])):
        foreign = Difficulty(other, np.ones(len(other.outcomes.prompts), np.bool_), 0)
        drawn: dict[str, list[NDArray[np.float64]]] = {}
        for seed in range(given.seeds):
            for name, figures in _measure(table, foreign, seed).items():
                drawn.setdefault(name, []).append(figures)
        mean = {name: np.mean(figures, axis=0)[:, 0] for name, figures in drawn.items()}
        print(f"{table.name}: AIQ on the other 20 %, means over {given.seeds} seeds", flush=True)
        for name, aiq in mean.items():
            leads = [interval_of(aiq - mean[base]) for base in ("table", "heads")]
            shown = "  ".join(f"{lead.value:+.4f} [{lead.low:+.4f}, {lead.high:+.4f}]" for lead in leads)
            print(f"  {name:12} {aiq[0]:.4f}  minus table, minus heads: {shown}", flush=True)


def _measure(table: Table, foreign: Difficulty, seed: int) -> Mapping[str, NDArray[np.float64]]:
    test = split_groups(table.outcomes, 5, seed=seed) == 0
    train, prompts, tested = ~test, table.prompts.take(test), table.outcomes.take(test)
    own, profiles = Difficulty(table, train, seed), table.build(train)
    d, transferred = own.of(prompts), foreign.of(prompts)
    today = fit_and_expect(table.build, table.outcomes, table.prompts, train, test, seed=seed, jobs=-1)
    plain = expect(profiles, prompts)
    expected: dict[str, Expectation] = {
        "table": plain,
        "heads": today,
        # The cost stays that of the table, so that only the quality differs.
        "difficulty": _shift(plain, np.broadcast_to(d, plain.quality.shape)),
        "2PL": _shift(plain, d * own.slopes),
        "other table": _shift(plain, np.broadcast_to(transferred, plain.quality.shape)),
    }
    whole = complete_prompts(tested)
    scores = tabulate(tested.take(whole), seed)
    choices = {name: sweep_router(each, find_knee(each)).choices[:, whole] for name, each in expected.items()}
    return {name: resample(partial(curve_figures, scores, each), scores) for name, each in choices.items()}


def _shift(expected: Expectation, shift: NDArray[np.float64]) -> Expectation:
    """Return an expectation whose quality is shifted in logits, as `ProfileTable.expect` does with heads."""
    bounded = np.clip(expected.quality, _LOWEST, 1 - _LOWEST)
    quality = 1 / (1 + (1 / bounded - 1) * np.exp(-np.clip(shift, -_MOST, _MOST)))
    return replace(expected, quality=quality, shift=np.array(shift))


if __name__ == "__main__":
    main()
