"""`route()`: decide with a router that is loaded at the first call and kept."""

from __future__ import annotations

import threading
from functools import lru_cache
from typing import TYPE_CHECKING, Unpack

from router.core import Router
from router.options import RouteKeywords, takes_options

if TYPE_CHECKING:
    from router.classify.text import Prompt
    from router.decision import RoutingDecision

_loading = threading.Lock()


@takes_options
def route(prompt: Prompt, **options: Unpack[RouteKeywords]) -> RoutingDecision:
    """Decide which model should handle a prompt, with the shipped model folder or that in `$LLM_ROUTER_MODEL`.

    The folder is loaded at the first call and kept.

    Args:
        prompt: Any text, or chat messages in the OpenAI form. The last user turn decides.
        **options: See `RouteOptions`. `help(RouteOptions)` explains each.

    Returns:
        The decision. `model` is the model to call. `fallbacks` are the models to call if it fails. `task` is the task.
        `scores` holds every model's expected quality, cost and latency. `explain()` puts all of it in words.

    Raises:
        InputError: If an argument has the wrong type or an option is unknown. Never because of a text.
        NoCandidateError: If every model is excluded. The error holds the reasons.
        ModelFolderError: If the model folder is missing or damaged.

    >>> decision = route("prove that sqrt(2) is irrational")
    >>> decision.task, decision.model in decision.scores, len(decision.fallbacks) > 0
    ('math', True, True)
    >>> route("write a haiku about rain", prefer="cheap", allowed={"gpt-5.5", "gpt-4.1-mini"}).model
    'gpt-4.1-mini'
    """
    return default_router().route(prompt, **options)


def default_router() -> Router:
    """Return the router that `route` uses. It is loaded once."""
    with _loading:  # without the lock, lru_cache lets threads that come at the same time load one each
        return _load_default()


@lru_cache(maxsize=1)
def _load_default() -> Router:
    return Router.load()
