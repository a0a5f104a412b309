"""Calls that survive failure: deadlines, retries, fallback, streaming."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from router.execution.drivers import AsyncCompletionStream, CompletionStream, acomplete, astream, complete, stream
    from router.execution.executors import AsyncFunctionExecutor, FakeExecutor, FunctionExecutor, as_executor
    from router.execution.limits import CallPolicy, RetryBudget
    from router.execution.openai import Endpoint, OpenAIExecutor
    from router.execution.policy import Gate, plan_call
    from router.execution.steps import Ask, Command, More, Outcome, Pause, Plan

# What is imported when it is asked for: asyncio alone takes as long to import as ten decisions to make.
_HOMES = {
    "Ask": "steps",
    "AsyncCompletionStream": "drivers",
    "AsyncFunctionExecutor": "executors",
    "CallPolicy": "limits",
    "Command": "steps",
    "CompletionStream": "drivers",
    "Endpoint": "openai",
    "FakeExecutor": "executors",
    "FunctionExecutor": "executors",
    "Gate": "policy",
    "More": "steps",
    "OpenAIExecutor": "openai",
    "Outcome": "steps",
    "Pause": "steps",
    "Plan": "steps",
    "RetryBudget": "limits",
    "acomplete": "drivers",
    "as_executor": "executors",
    "astream": "drivers",
    "complete": "drivers",
    "plan_call": "policy",
    "stream": "drivers",
}

__all__ = [
    "Ask",
    "AsyncCompletionStream",
    "AsyncFunctionExecutor",
    "CallPolicy",
    "Command",
    "CompletionStream",
    "Endpoint",
    "FakeExecutor",
    "FunctionExecutor",
    "Gate",
    "More",
    "OpenAIExecutor",
    "Outcome",
    "Pause",
    "Plan",
    "RetryBudget",
    "acomplete",
    "as_executor",
    "astream",
    "complete",
    "plan_call",
    "stream",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found: object = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    return found
