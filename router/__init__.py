"""Which model should handle this prompt, and why; and, where wanted, the call itself.

>>> from router import route
>>> route("translate 'good morning' into Japanese").prediction.task
'translation'
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
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
    from router.execution import Endpoint, FakeExecutor, OpenAIExecutor
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

__version__ = "0.1.0"

# What is imported when it is asked for: all of it takes longer than many a script that wants one name.
_HOMES = {
    "AllAttemptsFailedError": "errors",
    "ArtifactError": "errors",
    "Batch": "allocation",
    "BudgetExceededError": "errors",
    "Calibration": "scoring",
    "CallError": "errors",
    "CallPolicy": "execution.limits",
    "ConfigError": "errors",
    "DeadlineExceededError": "errors",
    "Encoder": "types",
    "EncoderError": "errors",
    "Endpoint": "execution",
    "Estimate": "types",
    "FOCUS_AREAS": "strategies",
    "FakeExecutor": "execution",
    "HealthPolicy": "health",
    "InputError": "errors",
    "ModelProfile": "types",
    "ModelScore": "types",
    "NoCandidateError": "errors",
    "NoModelAvailableError": "errors",
    "OpenAIExecutor": "execution",
    "Preference": "types",
    "RateLimit": "budgets",
    "Router": "core",
    "RouterError": "errors",
    "RoutingContext": "types",
    "RoutingDecision": "decision",
    "STRATEGIES": "strategies",
    "Serving": "serving",
    "ServingError": "errors",
    "SpendCap": "budgets",
    "Strategy": "types",
    "StreamInterruptedError": "errors",
    "TaskPrediction": "types",
    "register": "strategies",
    "route": "core",
}

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
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found: object = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    return found


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
