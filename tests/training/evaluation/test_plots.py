import itertools

import numpy as np
import pytest

from router import Router
from router.types import Estimate, ModelProfile, TaskPrediction
from tests.router.fakes import model
from training.data.prompts import LabelledPrompt
from training.evaluation.evaluate import Evaluation, evaluate
from training.evaluation.plots import (
    plot_calibration,
    plot_calls,
    plot_confusion,
    plot_decision,
    plot_evaluation,
    plot_profiles,
    plot_risk_coverage,
)


@pytest.fixture
def evaluation() -> Evaluation:
    rows = [LabelledPrompt(prompt=str(i), task=("math", "qa")[i % 2]) for i in range(10)]
    predictions = [
        TaskPrediction(task="qa", confidence=0.6, probabilities={"qa": 0.6, "math": 0.4}, source=source)
        for source in itertools.islice(itertools.cycle(("classifier", "default")), 10)
    ]
    return evaluate(predictions, rows, baselines={"majority": ["math"] * 10})


def test_a_decision_shows_its_first_models_in_order_with_their_prices() -> None:
    router = Router([model("a", 0.4, cost_usd=0.001), model("b", 0.9, cost_usd=0.02), model("c", 0.7)], prefer="quality")
    figure = plot_decision(router.route("prove that two is prime"), most=2)
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["b", "c"]
    offsets = np.asarray(figure.axes[0].collections[-1].get_offsets())
    assert offsets == pytest.approx(np.array([[0.9, 0.0], [0.7, 1.0]]))
    (prices,) = figure.axes[0].child_axes
    # The cost of c is unknown, so the median of the others takes its place.
    assert [label.get_text() for label in prices.get_yticklabels()] == ["20.00", "10.50"]


def test_the_confusion_matrix_numbers_its_nonzero_cells(evaluation: Evaluation) -> None:
    axes = plot_confusion(evaluation).axes[0]
    assert [text.get_text() for text in axes.texts] == ["5", "5"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["math (5)", "qa (5)"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["math", "qa", "none"]


def test_the_calibration_curve_goes_through_its_bins(evaluation: Evaluation) -> None:
    (axes,) = plot_calibration(evaluation).axes
    diagonal, curve = axes.lines
    assert diagonal.get_xydata().tolist() == [[0, 0], [1, 1]]
    assert curve.get_xydata().tolist() == [[pytest.approx(0.6), 0.5]]
    assert axes.get_title() == "Calibration: expected error 0.100 [0.000, 0.400]"


def test_the_risk_curve_ends_at_the_accuracy_of_all_beside_the_baselines(evaluation: Evaluation) -> None:
    (axes,) = plot_risk_coverage(evaluation).axes
    curve, baseline, unsure = axes.lines
    assert curve.get_xydata()[-1].tolist() == [1, 0.5]
    assert (baseline.get_label(), baseline.get_ydata()[0]) == ("majority, all prompts", 0.5)
    assert unsure.get_xdata()[0] == 0.5


def test_an_evaluation_has_all_three_plots(evaluation: Evaluation) -> None:
    titles = [axes.get_title() for axes in plot_evaluation(evaluation, "prompts.csv").axes]
    assert [title.split(",")[0].split(":")[0] for title in titles[:3]] == [
        "Confusion",
        "Calibration",
        "Risk and coverage",
    ]


def test_profiles_are_drawn_best_first_and_unknown_tasks_stay_empty() -> None:
    good, poor = Estimate(mean=0.9, stderr=0.01, n=9), Estimate(mean=0.4, stderr=0.3, n=1)
    profiles = [
        ModelProfile(name="poor", quality={"math": poor}),
        ModelProfile(name="good", quality={"math": good, "qa": good}),
    ]
    axes, _ = plot_profiles(profiles, ["math", "qa"]).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["good", "poor"]
    assert [text.get_text() for text in axes.texts] == ["0.90", "0.90", "0.40"]
    opacity = axes.images[0].get_alpha()
    assert opacity[0, 0] > 0.9
    assert opacity[1, 0] < 0.2


def test_calls_are_drawn_with_latency_failures_and_shares() -> None:
    at, endpoints = np.arange(60.0), ["a", "b"] * 20 + ["a"] * 20
    failed = np.zeros(60, np.bool_)
    failed[39] = True
    above, below = plot_calls(at, endpoints, np.full(60, 0.5), failed=failed).axes
    assert [len(line.get_xdata()) for line in above.lines] == [40, 0, 19, 1]
    shares = [line.get_ydata() for line in below.lines]
    assert sum(shares) == pytest.approx(np.ones(60))
    assert (shares[0][-1], shares[1][10]) == (1.0, 0.5)
