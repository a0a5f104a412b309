"""Two evaluations of a router: one with costs and names full of markup, one without costs."""

import math
from dataclasses import replace

import numpy as np
import pytest

from tests.training.tables import make_outcomes, two_trades
from training.quality.outcomes import Outcomes, split_groups
from training.verdict.baselines import by_task_table, cross_fit, cross_fit_baselines
from training.verdict.evaluate import evaluate_choices
from training.verdict.evaluation import RoutingEvaluation
from training.verdict.sweep import Sweep, sweep_prices

HOSTILE = ("<script>alert(1)</script>", "a|b`*_$x$", "<img src=x onerror=y>")


def evaluate_task_table(outcomes: Outcomes) -> RoutingEvaluation:
    """Evaluate a router that knows each prompt's task, with presets and two options."""
    folds = split_groups(outcomes, 5, seed=0)
    quality, cost = cross_fit(by_task_table, outcomes, folds)
    sweep = sweep_prices("router", quality, cost, prices=np.array([100.0, 10.0]))
    named = replace(sweep, labels=("", "cheap", "balanced", "quality"))
    floors = Sweep(name="quality_floor", choices=sweep.choices[1:3], labels=("0.8", "0.9"))
    return evaluate_choices(
        named,
        quality[:, 1] - quality[:, 0],
        cross_fit_baselines(outcomes, folds, seed=0),
        outcomes,
        name="ours.csv",
        seed=0,
        positions=[floors, replace(floors, name="usd_per_point")],
    )


@pytest.fixture(scope="package")
def hostile_names() -> tuple[str, ...]:
    return HOSTILE


@pytest.fixture(scope="package")
def evaluation() -> RoutingEvaluation:
    return evaluate_task_table(replace(two_trades(200), models=HOSTILE))


@pytest.fixture(scope="package")
def unpriced() -> RoutingEvaluation:
    outcomes = two_trades(200)
    return evaluate_task_table(make_outcomes(outcomes.score, [math.nan] * 3, tasks=outcomes.tasks))
