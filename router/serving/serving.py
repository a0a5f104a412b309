"""How models are called, as one value: executor, endpoints, fallbacks, limits and health."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from router.calls import AsyncExecutor, Executor
from router.cascade import Cascade
from router.errors import InputError
from router.execution.limits import RateLimit, SpendCap
from router.execution.policy import CallPolicy
from router.health.policy import HealthPolicy
from router.state.settings import RedisState
from router.types import ModelProfile, WireProtocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """How models are called.

    Attributes:
        executor: Makes the calls. It is an `Executor`, an `AsyncExecutor`, or any function that takes a `CallRequest` and
            returns a text. None: the router only decides. If the executor knows its endpoints, models without one are no
            candidates.
        endpoints: For each model, its endpoints and the capacity of each, > 0. A model that is missing has one endpoint
            with the model's name and its profile's weight. Several models can share an endpoint.
        fallbacks: For each model, the models to ask in this order if it fails, instead of the rest of the ranking.
        calls: Deadline, attempts and backoff.
        health: When an endpoint counts as slow, failing or recovered.
        limits: Requests and tokens per minute of each model. A model that is missing has no limit.
        spend: Most USD that may be spent in a period. None: no limit.
        state: Where several processes keep what they know together: load, failures, limits, sessions and feedback. None:
            each process for itself.
        cascade: How the strategy `cascade` checks answers. None: it asks one model.

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
    state: RedisState | None = None
    cascade: Cascade | None = None

    def __post_init__(self) -> None:
        kinds = {"calls": CallPolicy, "health": HealthPolicy, "spend": SpendCap, "state": RedisState, "cascade": Cascade}
        for name, kind in kinds.items():
            value = getattr(self, name)
            if value is not None or name in ("calls", "health"):
                _check_type(name, value, kind)
        for name in ("endpoints", "fallbacks", "limits"):
            if not isinstance(getattr(self, name), Mapping):
                raise InputError(f"{name} must map models to values, got {type(getattr(self, name)).__name__}")
        for model, limit in self.limits.items():
            _check_type(f"limits[{model!r}]", limit, RateLimit)
        for model, chain in self.fallbacks.items():
            check_fallbacks(f"fallbacks[{model!r}]", chain)
        for model, weights in self.endpoints.items():
            if not isinstance(weights, Mapping) or not weights or not all(map(_is_capacity, weights.values())):
                raise InputError(
                    f"endpoints[{model!r}] must map endpoints to capacities above 0, such as {{'a': 1.0}}, got {weights!r}"
                )
        if isinstance(self.executor, type) or not (self.executor is None or _can_call(self.executor)):
            raise InputError(
                f"executor must be a function, or have call() or acall(), got {_name_of(self.executor)}; "
                "pass an object such as OpenAIExecutor({...})"
            )


def check_fallbacks(name: str, chain: object) -> None:
    """Raise an `InputError` if a chain of fallbacks is not a sequence of names.

    Args:
        name: Name of the argument, for the message.
        chain: The value.
    """
    # A single string is a sequence of its letters, which nobody means.
    if isinstance(chain, str) or not isinstance(chain, Sequence) or not all(isinstance(model, str) for model in chain):
        raise InputError(f"{name} must be a sequence of models, such as ['a', 'b'], got {chain!r}")


def find_known_endpoints(executor: object) -> frozenset[str] | None:
    """Return the endpoints that an executor knows. None if it does not say."""
    known = getattr(executor, "endpoints", None)
    return frozenset(map(str, known)) if isinstance(known, Collection) and not isinstance(known, str) else None


def find_protocols(executor: object) -> dict[str, frozenset[WireProtocol]]:
    """Return what each endpoint of an executor speaks, by name. An endpoint that does not say it is missing."""
    return {name: frozenset(protocols) for name, protocols in _read_endpoints(executor, "protocols").items()}


def find_servers(executor: object) -> dict[str, str]:
    """Return the server of each endpoint of an executor, by name. An endpoint that does not say it is missing."""
    return {name: str(server) for name, server in _read_endpoints(executor, "server").items()}


def _read_endpoints(executor: object, attribute: str) -> dict[str, Any]:
    """Return an attribute of each endpoint of an executor that has it."""
    known = getattr(executor, "endpoints", None)
    values = known.items() if isinstance(known, Mapping) else ()
    return {name: getattr(endpoint, attribute) for name, endpoint in values if hasattr(endpoint, attribute)}


def make_executor(executor: object) -> object:
    """Return an executor as it is, and a plain function as an executor."""
    # An executor may be callable itself. Its method shows that it is one already.
    if not callable(executor) or hasattr(executor, "acall"):
        return executor
    # Imported here, so that importing the router stays fast.
    from router.execution.executors import as_executor

    made: object = as_executor(executor)
    return made


def _can_call(executor: object) -> bool:
    return callable(executor) or hasattr(executor, "call") or hasattr(executor, "acall")


def _is_capacity(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf


def _check_type(name: str, value: object, kind: type) -> None:
    if not isinstance(value, kind):
        raise InputError(f"{name} must be a {kind.__name__}, got {_name_of(value)}; write {kind.__name__}(...)")


def _name_of(value: object) -> str:
    return f"the class {value.__name__}" if isinstance(value, type) else type(value).__name__


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
