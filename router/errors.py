"""Every error that the package raises on purpose.

Each is a `RouterError`:

- `InputError`: An argument has the wrong type or value, or an option does not exist. It is a `ValueError`, too.
- `NoCandidateError`: Every model is excluded. It has the reason for each.
- `ModelFolderError`: A model folder is missing, damaged, changed or of another version.
- `EncoderError`: An encoder cannot be converted, or does not run on this machine.
- `ConfigError`: A configuration file breaks a rule. It has the line or the key.
- `DatasetError`: A data file breaks a rule. It has the rows. It is in `training.data.table`.
- `ServingError`: A call got no answer. Its kinds are:

  - `CallError`: One attempt failed. It has the class of the failure.
  - `NoModelAvailableError`: Every model that could answer cools down.
  - `AllAttemptsFailedError`: Every attempt failed. It has all of them.
  - `DeadlineExceededError`: Time ran out.
  - `StreamInterruptedError`: A stream broke after its first chunk. It has the text so far.
  - `BudgetExceededError`: A limit of requests, tokens or spending is reached.

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

    def __init__(self, excluded: Mapping[str, str], remedy: str = "relax a constraint or add a model") -> None:
        self.excluded, self._remedy = dict(excluded), remedy
        by_reason: dict[str, list[str]] = {}
        for model, reason in self.excluded.items():
            by_reason.setdefault(reason, []).append(model)
        reasons = [f"{_name_some(models)}: {reason}" for reason, models in by_reason.items()]
        listed = "; ".join(reasons) or "there are no models"
        super().__init__(f"no model can take this prompt ({listed}); {remedy}")

    def __reduce__(self) -> tuple[type[NoCandidateError], tuple[dict[str, str], str]]:
        return type(self), (self.excluded, self._remedy)


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

    The class decides what follows:

    - `transient` and `rate_limit` pass. The next model is asked, and the endpoint cools down by the health rules.
    - `auth` affects every request: a wrong key, no credit, an unknown model. The endpoint is put aside for minutes.
    - `unable` affects this request only: a parameter or content that this model does not take, a prompt that is too long
      for it, its content filter. The next model is asked at once, and nothing counts against the endpoint.
    - `request` is wrong for every model. The call ends.
    - `rejected`: `accept` returned False for the answer. The next model is asked, and nothing counts against the endpoint.
    - `cancelled`: the caller left, or time ran out.

    Attributes:
        kind: The class of the failure.
        status: The HTTP status. None if there was none.
        code: Code or type of the error in the server's words, such as `unsupported_parameter`. None if there was none.
        param: Name of the parameter that the server refused. None if it named none.
        detail: The server's own text. It may repeat the prompt, so it is in no message and no repr. None if there was none.
        retry_after_s: Seconds that the server asked to wait. None if it did not.
        too_long: Whether the request was too long for the model.
        context_limit: Tokens that the endpoint accepts, as it said itself. None if it did not.
    """

    def __init__(
        self,
        kind: FailureClass,
        message: str,
        *,
        status: int | None = None,
        code: str | None = None,
        param: str | None = None,
        detail: str | None = None,
        retry_after_s: float | None = None,
        too_long: bool = False,
        context_limit: int | None = None,
    ) -> None:
        self.kind, self.status, self.code, self.param, self.detail = kind, status, code, param, detail
        self.retry_after_s, self.too_long, self.context_limit = retry_after_s, too_long, context_limit
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
    """Every attempt that the call policy allows failed.

    Attributes:
        failure: The last failure, also as `__cause__`.

    >>> from router import CallError, FakeExecutor, Router, Serving
    >>> refusal = CallError("request", "400", status=400, param="messages", detail="messages must not be empty")
    >>> router = Router.load(serving=Serving(executor=FakeExecutor({"gpt-5.5": [refusal]})), allowed={"gpt-5.5"})
    >>> try:
    ...     router.complete("hello")
    ... except AllAttemptsFailedError as error:
    ...     print(error.status, error.param, error.detail)
    400 messages messages must not be empty
    """

    def __init__(self, message: str, attempts: Sequence[AttemptRecord] = (), *, failure: CallError | None = None) -> None:
        self.failure = failure
        super().__init__(message, attempts)

    @property
    def status(self) -> int | None:
        """The HTTP status of the last failure."""
        return self.failure.status if self.failure else None

    @property
    def code(self) -> str | None:
        """The server's code of the last failure."""
        return self.failure.code if self.failure else None

    @property
    def param(self) -> str | None:
        """The parameter that the server refused at last."""
        return self.failure.param if self.failure else None

    @property
    def detail(self) -> str | None:
        """The server's own text about the last failure. It may repeat the prompt."""
        return self.failure.detail if self.failure else None


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
