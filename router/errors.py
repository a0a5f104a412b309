"""Everything the router raises on purpose.

RouterError
├── InputError          an argument of the wrong type, or an option that does not exist (also a TypeError/ValueError's job)
├── NoCandidateError    every model was excluded; says by what
├── ArtifactError       a model folder is missing, damaged, altered or of another version; says the remedy
├── EncoderError        an encoder cannot be represented, or does not run on this machine
├── ConfigError         a configuration file breaks its rules; names line or key
└── ServingError        a call got no answer
    ├── CallError               one attempt failed; tells the class of its failure
    ├── NoModelAvailableError   every model that could serve is cooling down; tells when to come back
    ├── AllAttemptsFailedError  every attempt failed; tells each
    ├── DeadlineExceededError   time ran out
    ├── StreamInterruptedError  a stream broke after its first chunk; holds the text so far
    └── BudgetExceededError     a limit of requests, tokens or spending is reached

Messages tell the rule, the value that broke it and the remedy; they never contain a prompt.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from router.calls import AttemptRecord
    from router.types import FailureClass

# How many models of one reason are named before they are counted.
_NAMED = 3


class RouterError(Exception):
    """Base of every error this project raises on purpose."""


class InputError(RouterError, ValueError):
    """An argument of the wrong type, or an option that does not exist."""


class NoCandidateError(RouterError):
    """No model is left to choose from.

    Attributes:
        excluded: What excluded each model, by name.

    >>> from router import route
    >>> try:
    ...     route("hello", allowed={"gpt-5.5"}, max_cost_usd=0)
    ... except NoCandidateError as error:
    ...     print(error.excluded["gpt-5.5"])
    expected cost ... USD is over 0
    """

    def __init__(self, excluded: Mapping[str, str]) -> None:
        self.excluded = dict(excluded)
        by_reason: dict[str, list[str]] = {}
        for model, reason in self.excluded.items():
            by_reason.setdefault(reason, []).append(model)
        told = "; ".join(f"{_tell_names(models)}: {reason}" for reason, models in by_reason.items()) or "there are no models"
        super().__init__(f"no model can take this prompt ({told}); relax a constraint or add a model")

    def __reduce__(self) -> tuple[type[NoCandidateError], tuple[dict[str, str]]]:
        """Pickle by what excluded each model, not by the message made of it."""
        return type(self), (self.excluded,)


def _tell_names(models: list[str]) -> str:
    return ", ".join(models) if len(models) <= _NAMED else f"{', '.join(models[:_NAMED])} and {len(models) - _NAMED} more"


class ArtifactError(RouterError):
    """A model folder is missing, damaged, altered or of another version."""


class EncoderError(RouterError):
    """An encoder cannot be represented in the runtime's form, or does not run here."""


class ConfigError(RouterError):
    """A configuration file breaks its rules; the message names the file and the line or key."""


class ServingError(RouterError):
    """A call got no answer.

    Attributes:
        attempts: What was tried, in order.
    """

    def __init__(self, message: str, attempts: Sequence[AttemptRecord] = ()) -> None:
        self.attempts = tuple(attempts)
        super().__init__(message)

    def __reduce__(self) -> tuple[Callable[..., ServingError], tuple[object, ...]]:
        """Pickle by what it holds, not by the arguments it was made of."""
        return _restore, (type(self), self.args, self.__dict__)


def _restore(kind: type[ServingError], args: tuple[object, ...], held: Mapping[str, object]) -> ServingError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(held)
    return error


class CallError(ServingError):
    """One attempt failed.

    Attributes:
        kind: The class of the failure.
        status: The HTTP status, where there was one.
        retry_after_s: Seconds that the server asked to wait.
        too_long: Whether the request was refused for its length, so that a model with more room may take it.
    """

    def __init__(
        self,
        kind: FailureClass,
        message: str,
        *,
        status: int | None = None,
        retry_after_s: float | None = None,
        too_long: bool = False,
    ) -> None:
        self.kind, self.status, self.retry_after_s, self.too_long = kind, status, retry_after_s, too_long
        super().__init__(message)


class NoModelAvailableError(ServingError):
    """Every model that could serve is cooling down.

    Attributes:
        retry_at: When the first may be asked again, by the router's clock; None where that is not known.
    """

    def __init__(self, message: str, *, retry_at: float | None, attempts: Sequence[AttemptRecord] = ()) -> None:
        self.retry_at = retry_at
        super().__init__(message, attempts)


class AllAttemptsFailedError(ServingError):
    """Every attempt that the policy allows failed; `__cause__` is the last failure."""


class DeadlineExceededError(ServingError):
    """The deadline over all attempts passed."""


class StreamInterruptedError(ServingError):
    """A stream broke after its first chunk was handed over, when no other model can take its place any more.

    Attributes:
        partial_text: What had arrived.
    """

    def __init__(self, message: str, *, partial_text: str, attempts: Sequence[AttemptRecord] = ()) -> None:
        self.partial_text = partial_text
        super().__init__(message, attempts)


class BudgetExceededError(ServingError):
    """A limit of requests, tokens or spending is reached."""
