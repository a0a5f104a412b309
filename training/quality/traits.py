"""Facts of models in, what makes models alike out: price, size and date of release, their maker, and their family."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from router.score.profile_arrays import DEFAULT_OUTPUT_TOKENS
from training.data.facts import ModelFacts, find_model_of

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Traits:
    """What is known about models besides their scores.

    Attributes:
        models: Names of the models, sorted.
        numbers: Logarithm of the price, logarithm of the size and date of release, shape (models, 3). Each column has mean 0
            and standard deviation 1 over the models for which it is known. It is 0 where it is unknown.
        makers: 1 if a model is by a maker, shape (models, makers). A maker of one family is left out.
        family: Family of each model, shape (models,). A model and its variants, such as `gpt-5.5@high`, are one family.
    """

    models: tuple[str, ...]
    numbers: NDArray[np.float64]
    makers: NDArray[np.float64]
    family: NDArray[np.int64]


def describe_models(models: Sequence[str], facts: Mapping[str, ModelFacts], cost_usd: Mapping[str, float]) -> Traits:
    """Return the traits of models.

    Args:
        models: Names of the models.
        facts: Prices, size, date of release and maker, by model.
        cost_usd: Measured mean cost of a prompt by model, in USD. It takes the place of unknown list prices.
    """
    names = tuple(sorted(models))
    known = [facts.get(name, ModelFacts()) for name in names]
    families = [find_model_of(name, fact.request) or name for name, fact in zip(names, known, strict=True)]
    numbers = [
        (_log(_usual_cost(fact, cost_usd.get(name))), _log(fact.parameters_b), _read_years(fact.released))
        for name, fact in zip(names, known, strict=True)
    ]
    return Traits(
        models=names,
        numbers=_standardise(np.array(numbers, np.float64).reshape(len(names), 3)),
        makers=_mark_makers([fact.provider for fact in known], families),
        family=np.unique(families, return_inverse=True)[1].astype(np.int64),
    )


def _usual_cost(fact: ModelFacts, measured: float | None) -> float | None:
    """Return the USD of a prompt and an answer of usual length at list prices, or else as measured."""
    if fact.input_usd_per_mtok is None or fact.output_usd_per_mtok is None:
        return measured
    return (fact.input_usd_per_mtok + fact.output_usd_per_mtok) * DEFAULT_OUTPUT_TOKENS / 1e6


def _log(value: float | None) -> float:
    return math.log(value) if value else math.nan


def _read_years(date: str) -> float:
    """Return a date of the form YYYY-MM or YYYY-MM-DD in years, to the month. NaN if there is none."""
    found = re.match(r"(\d{4})-(\d\d)", date)
    return int(found[1]) + int(found[2]) / 12 if found else math.nan


def _standardise(values: NDArray[np.float64]) -> NDArray[np.float64]:
    known = ~np.isnan(values)
    count = np.maximum(known.sum(axis=0), 1)
    centred = np.where(known, values - np.where(known, values, 0).sum(axis=0) / count, 0)
    deviation = np.sqrt((centred**2).sum(axis=0) / count)
    return np.asarray(centred / np.where(deviation > 0, deviation, 1))


def _mark_makers(providers: Sequence[str], families: Sequence[str]) -> NDArray[np.float64]:
    makers = sorted({maker for maker in providers if maker})
    of = {maker: {family for family, name in zip(families, providers, strict=True) if name == maker} for maker in makers}
    shared = [maker for maker in makers if len(of[maker]) > 1]
    return np.array([[name == maker for maker in shared] for name in providers], np.float64).reshape(
        len(providers), len(shared)
    )
