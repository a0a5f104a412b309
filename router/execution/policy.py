"""Time limits and numbers of attempts of a call, as one value."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from router.errors import InputError


@dataclass(frozen=True, slots=True, kw_only=True)
class CallPolicy:
    """How long a call may take, and how many attempts it may make.

    Attributes:
        deadline_s: Seconds for the whole call: attempts, pauses, and a stream to its last chunk.
        connect_s: Seconds to establish a connection.
        first_token_s: Seconds until the first chunk of a stream.
        chunk_s: Seconds between two chunks of a stream.
        answer_s: Seconds for a whole answer, not a stream, while another endpoint could still be asked. Such an attempt also
            takes at most three quarters of the time that is left. So a model that hangs leaves time for the next one.
        max_attempts: Largest number of attempts, over retries and fallbacks, ≥ 1. Refusals that do no work do not count:
            a wrong key, an unknown model, a parameter or prompt that the model does not take. Each endpoint refuses once. At
            most ten refusals are free.
        extra_attempts: Largest number of retries in flight, over all calls, ≥ 0. A retry asks an endpoint again that has
            failed in the same call. The first request to another endpoint is none.
        extra_attempts_share: The same limit as a share of the calls in flight, ≥ 0. The larger limit applies.
        backoff_s: Longest pause before the first retry of the same endpoint. The pause is random, and its upper bound
            doubles with each further retry.
        backoff_max_s: Largest value of that upper bound.
        cooling_s: Longest wait for endpoints that all cool down. None: up to the deadline.

    >>> from router import Serving
    >>> Serving(calls=CallPolicy(deadline_s=30, max_attempts=2)).calls.max_attempts
    2
    """

    deadline_s: float = 120.0
    connect_s: float = 5.0
    first_token_s: float = 30.0
    chunk_s: float = 20.0
    answer_s: float = 90.0
    max_attempts: int = 3
    extra_attempts: int = 3
    extra_attempts_share: float = 0.2
    backoff_s: float = 0.5
    backoff_max_s: float = 8.0
    cooling_s: float | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            name, value = field.name, getattr(self, field.name)
            if value is None and field.default is None:
                continue
            # The default shows which numbers count something and must therefore be whole.
            kind, least = (int if isinstance(field.default, int) else (int, float)), 0 if name.startswith("extra_") else None
            if not (isinstance(value, kind) and math.isfinite(value) and (value > 0 or value == least)):
                rule = "a whole number" if kind is int else "a finite number"
                sign = "not negative" if least == 0 else "positive"
                raise InputError(f"{name} must be {rule}, {sign}, got {value!r}")
