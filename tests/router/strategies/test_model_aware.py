import math
from collections.abc import Mapping
from dataclasses import replace

import pytest

from router import InputError, RoutingContext
from router.strategies import ModelAware
from tests.router.fakes import context, score

QUALITY = {
    "coder": {"coding": 0.9, "math": 0.6, "writing": 0.3},  # mean 0.6
    "writer": {"coding": 0.2, "math": 0.3, "writing": 0.9},  # 0.4667
    "rounder": {"coding": 0.6, "math": 0.7, "writing": 0.8},  # 0.7
}


def known(quality: Mapping[str, Mapping[str, float]]) -> RoutingContext:
    return context(*(score(name, 0.5, quality_by_task=by_task) for name, by_task in quality.items()))


@pytest.mark.parametrize(
    ("focus", "ranking"),
    [
        (None, ["rounder", "coder", "writer"]),
        ("writing", ["writer", "rounder", "coder"]),
        ("technical", ["coder", "rounder", "writer"]),  # coding and math: 0.75, 0.65, 0.25; reasoning is not known
        ("creative", ["writer", "rounder", "coder"]),
        ({"coding": 3, "writing": 1}, ["coder", "rounder", "writer"]),  # 0.75, 0.65, 0.375
        ({"coding": 1, "writing": 3, "math": 0}, ["rounder", "writer", "coder"]),  # 0.75, 0.725, 0.45
    ],
)
def test_it_ranks_by_mean_quality_over_the_focus(focus: str | dict[str, float] | None, ranking: list[str]) -> None:
    assert ModelAware(focus)(known(QUALITY)) == ranking


def test_a_caller_can_name_other_areas() -> None:
    assert ModelAware("numbers", areas={"numbers": ["math"]})(known(QUALITY)) == ["rounder", "coder", "writer"]


def test_the_prompt_does_not_matter() -> None:
    asked = known(QUALITY)
    other = replace(asked, prompt="another", key="", prediction=replace(asked.prediction, probabilities={"writing": 1.0}))
    assert ModelAware("coding")(other) == ModelAware("coding")(asked)


def test_an_unknown_task_does_not_count_and_a_model_without_any_known_task_comes_last() -> None:
    asked = known({"none": {"writing": 1.0}, "half": {"coding": 0.7}, "both": {"coding": 0.8, "math": 0.4}, "empty": {}})
    assert ModelAware("technical")(asked) == ["half", "both", "none", "empty"]
    assert ModelAware()(asked) == ["none", "half", "both", "empty"]


def test_ties_keep_the_order_of_the_model_folder() -> None:
    assert ModelAware()(known({name: {"math": 0.5} for name in "cab"})) == ["c", "a", "b"]


def test_a_focus_without_a_known_task_is_refused_and_the_known_tasks_are_listed() -> None:
    with pytest.raises(InputError, match=r"one of the tasks \['coding', 'math', 'writing'\], got \['cooking'\]"):
        ModelAware("cooking")(known(QUALITY))


@pytest.mark.parametrize("weights", [{}, {"math": 0.0}, {"math": -1.0}, {"math": math.nan}, {"math": math.inf}])
def test_invalid_weights_are_refused(weights: dict[str, float]) -> None:
    with pytest.raises(InputError, match="weights of a focus must be finite, 0 or more and not all 0"):
        ModelAware(weights)
