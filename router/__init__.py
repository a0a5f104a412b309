"""Which model should handle this prompt, and why; and, where wanted, the call itself.

>>> from router import route
>>> route("translate 'good morning' into Japanese").prediction.task
'translation'
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from router.allocation import Batch
from router.budgets import RateLimit, SpendCap
from router.core import Router, route
from router.decision import RoutingDecision
from router.errors import (
    AllAttemptsFailedError,
    ArtifactError,
    BudgetExceededError,
    CallError,
    ConfigError,
    DeadlineExceededError,
    EncoderError,
    InputError,
    NoCandidateError,
    NoModelAvailableError,
    RouterError,
    ServingError,
    StreamInterruptedError,
)
from router.execution.limits import CallPolicy
from router.health import HealthPolicy
from router.scoring import Calibration
from router.serving import Serving
from router.strategies import FOCUS_AREAS, STRATEGIES, register
from router.types import (
    Encoder,
    Estimate,
    ModelProfile,
    ModelScore,
    Preference,
    RoutingContext,
    Strategy,
    TaskPrediction,
)

if TYPE_CHECKING:
    from router.execution import Endpoint, FakeExecutor, OpenAIExecutor

__version__ = "0.1.0.dev0"

__all__ = [
    "FOCUS_AREAS",
    "STRATEGIES",
    "AllAttemptsFailedError",
    "ArtifactError",
    "Batch",
    "BudgetExceededError",
    "Calibration",
    "CallError",
    "CallPolicy",
    "ConfigError",
    "DeadlineExceededError",
    "Encoder",
    "EncoderError",
    "Endpoint",
    "Estimate",
    "FakeExecutor",
    "HealthPolicy",
    "InputError",
    "ModelProfile",
    "ModelScore",
    "NoCandidateError",
    "NoModelAvailableError",
    "OpenAIExecutor",
    "Preference",
    "RateLimit",
    "Router",
    "RouterError",
    "RoutingContext",
    "RoutingDecision",
    "Serving",
    "ServingError",
    "SpendCap",
    "Strategy",
    "StreamInterruptedError",
    "TaskPrediction",
    "register",
    "route",
]


def __getattr__(name: str) -> object:
    """Import what makes calls when it is asked for."""
    if name not in ("Endpoint", "FakeExecutor", "OpenAIExecutor"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from router import execution

    found: object = getattr(execution, name)
    return found
