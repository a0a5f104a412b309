from matplotlib.figure import Figure
from matplotlib.text import Annotation

from training.verdict.evaluation import RoutingEvaluation
from training.verdict.plots import draw_all, plot_curve

PICTURES = {"curve", "differences", "regret", "dials"}


def test_without_costs_quality_is_drawn_alone(evaluation: RoutingEvaluation, unpriced: RoutingEvaluation) -> None:
    assert set(draw_all(evaluation)) == PICTURES
    figures = draw_all(unpriced)
    assert set(figures) == PICTURES - {"dials"}
    assert "no costs are known" in figures["curve"].axes[0].get_xlabel()


def test_the_curve_shows_every_model_preset_and_router(
    evaluation: RoutingEvaluation, hostile_names: tuple[str, ...]
) -> None:
    figure = plot_curve(evaluation)
    assert isinstance(figure, Figure)
    axes = figure.axes[0]
    names = [text.get_text() for text in axes.texts if isinstance(text, Annotation)]
    assert set(names) == {*hostile_names, "cheap", "balanced", "quality"}
    labels = axes.get_legend_handles_labels()[1]
    assert {"router", "zero router", "task table", "kNN-40", "ridge", "best single model"} <= set(labels)
    assert "oracle (out of reach)" in labels


def test_names_on_the_curve_do_not_overlap(evaluation: RoutingEvaluation) -> None:
    figure = plot_curve(evaluation)
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    for i, one in enumerate(boxes):
        assert not any(one.overlaps(other) for other in boxes[i + 1 :])


def test_dollar_signs_in_names_are_not_formulas(evaluation: RoutingEvaluation) -> None:
    for figure in draw_all(evaluation).values():
        figure.draw_without_rendering()
        assert not any(text.get_parse_math() for text in figure.axes[0].texts)
