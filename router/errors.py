"""Every error that the package raises on purpose.

RouterError
├── InputError            an argument has the wrong type or value, or an option does not exist (also a ValueError)
├── NoCandidateError      every model was excluded, with the reason for each
├── ModelFolderError      a model folder is missing, damaged, changed or of another version
├── EncoderError          an encoder cannot be converted, or does not run on this machine
├── ConfigError           a configuration file breaks a rule, with the line or the key
├── DatasetError          a data file breaks a rule, with the rows (`training.data.table`)
└── ServingError          a call got no answer
    ├── CallError               one attempt failed, with the class of the failure
    ├── NoModelAvailableError   every model that could answer cools down
    ├── AllAttemptsFailedError  every attempt failed, with all of them
    ├── DeadlineExceededError   time ran out
    ├── StreamInterruptedError  a stream broke after its first chunk, with the text so far
    └── BudgetExceededError     a limit of requests, tokens or spending is reached

Messages give the rule, the value and the remedy. They never contain a prompt.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from router.calls import AttemptRecord
    from router.types import FailureClass

# Number of models that a message names for one reason; it counts the others.
_MOST_NAMED = 3


class RouterError(Exception):
    """Base of every error that this package raises on purpose."""


class InputError(RouterError, ValueError):
    """An argument has the wrong type or value, or an option does not exist."""


class NoCandidateError(RouterError):
    """No model is left to choose from.

    Attributes:
        excluded: The reason why each model is excluded, by name.

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
        reasons = [f"{_name_some(models)}: {reason}" for reason, models in by_reason.items()]
        listed = "; ".join(reasons) or "there are no models"
        super().__init__(f"no model can take this prompt ({listed}); relax a constraint or add a model")

    def __reduce__(self) -> tuple[type[NoCandidateError], tuple[dict[str, str]]]:
        return type(self), (self.excluded,)


def _name_some(models: list[str]) -> str:
    named = ", ".join(models[:_MOST_NAMED])
    return named if len(models) <= _MOST_NAMED else f"{named} and {len(models) - _MOST_NAMED} more"


class ModelFolderError(RouterError):
    """A model folder is missing, damaged, changed or of another version."""


class EncoderError(RouterError):
    """An encoder cannot be converted to the runtime's form, or does not run on this machine."""


class ConfigError(RouterError):
    """A configuration file breaks a rule. The message names the file and the line or key."""


class ServingError(RouterError):
    """A call got no answer.

    Attributes:
        attempts: All attempts, in order.
    """

    def __init__(self, message: str, attempts: Sequence[AttemptRecord] = ()) -> None:
        self.attempts = tuple(attempts)
        super().__init__(message)

    def __reduce__(self) -> tuple[Callable[..., ServingError], tuple[object, ...]]:
        # Subclasses have keyword arguments, which the default way of pickling an exception loses.
        return _restore, (type(self), self.args, self.__dict__)


def _restore(kind: type[ServingError], args: tuple[object, ...], attributes: Mapping[str, object]) -> ServingError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(attributes)
    return error


class CallError(ServingError):
    """One attempt failed.

    Attributes:
        kind: The class of the failure.
        status: The HTTP status. None if there was none.
        retry_after_s: Seconds that the server asked to wait. None if it did not.
        too_long: Whether the request was too long for the model, so that one with a larger context window may take it.
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
    """Every model that could answer cools down.

    Attributes:
        retry_at: Time by the router's clock when the first model can be called again. None if unknown.
    """

    def __init__(self, message: str, *, retry_at: float | None, attempts: Sequence[AttemptRecord] = ()) -> None:
        self.retry_at = retry_at
        super().__init__(message, attempts)


class AllAttemptsFailedError(ServingError):
    """Every attempt that the call policy allows failed. `__cause__` is the last failure."""


class DeadlineExceededError(ServingError):
    """The deadline over all attempts passed."""


class StreamInterruptedError(ServingError):
    """A stream broke after its first chunk, too late for another model to take over.

    Attributes:
        partial_text: The text that had arrived.
    """

    def __init__(self, message: str, *, partial_text: str, attempts: Sequence[AttemptRecord] = ()) -> None:
        self.partial_text = partial_text
        super().__init__(message, attempts)


class BudgetExceededError(ServingError):
    """A limit of requests, tokens or spending is reached."""
