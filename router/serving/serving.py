"""How models are called, as one value: executor, endpoints, fallbacks, limits and health."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from router.calls import AsyncExecutor, Executor
from router.errors import InputError
from router.execution.limits import RateLimit, SpendCap
from router.execution.policy import CallPolicy
from router.health.policy import HealthPolicy
from router.types import ModelProfile


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """How models are called.

    Attributes:
        executor: Makes the calls. It is an `Executor`, an `AsyncExecutor`, or any function that takes a `CallRequest` and
            returns a text. None: the router only decides.
        endpoints: For each model, its endpoints and the capacity of each, > 0. A model that is missing has one endpoint
            with the model's name and its profile's weight.
        fallbacks: For each model, the models to ask in this order if it fails, instead of the rest of the ranking.
        calls: Deadline, attempts and backoff.
        health: When an endpoint counts as slow, failing or recovered.
        limits: Requests and tokens per minute of each model. A model that is missing has no limit.
        spend: Most USD that may be spent in a period. None: no limit.

    >>> from router import Router
    >>> router = Router.load(serving=Serving(executor=lambda request: f"{request.model} says hello"))
    >>> router.complete("hello", allowed={"gpt-5.5"}).text
    'gpt-5.5 says hello'
    """

    executor: Executor | AsyncExecutor | Callable[..., Any] | None = None
    endpoints: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    fallbacks: Mapping[str, Sequence[str]] = field(default_factory=dict)
    calls: CallPolicy = CallPolicy()  # noqa: RUF009 - a frozen value
    health: HealthPolicy = HealthPolicy()  # noqa: RUF009 - a frozen value
    limits: Mapping[str, RateLimit] = field(default_factory=dict)
    spend: SpendCap | None = None


def make_executor(executor: object) -> object:
    """Return an executor as it is, and a plain function as an executor."""
    # An executor may be callable itself. Its method shows that it is one already.
    if not callable(executor) or hasattr(executor, "acall"):
        return executor
    # Imported here, so that importing the router stays fast.
    from router.execution.executors import as_executor

    made: object = as_executor(executor)
    return made


def check_models(serving: Serving, known: Mapping[str, ModelProfile]) -> None:
    """Raise an `InputError` if `serving` names a model that does not exist.

    Args:
        serving: The value to check.
        known: Profiles of the models by name.
    """
    for name in ("endpoints", "fallbacks", "limits"):
        unknown = [model for model in getattr(serving, name) if model not in known]
        if unknown:
            raise InputError(f"{name} must name models that exist, got {unknown}; known: {list(known)}")
    chained = sorted({model for chain in serving.fallbacks.values() for model in chain} - set(known))
    if chained:
        raise InputError(f"fallbacks must name models that exist, got {chained}; known: {list(known)}")
