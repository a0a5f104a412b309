"""Can this model serve the request? The runtime asks before it chooses, and again before it calls."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Protocol


class Servable(Protocol):
    """What decides whether a model can serve a request. `ModelProfile` and `CallTarget` have it."""

    @property
    def capabilities(self) -> frozenset[str]:
        """What the model can do besides text, such as `vision`."""
        ...

    @property
    def context_window(self) -> int | None:
        """Tokens that prompt and answer may have together. None if unknown."""
        ...


def find_unable(models: Mapping[str, Servable], *, needs: frozenset[str], tokens: int) -> dict[str, str]:
    """Return the models that cannot serve a request, each with the reason.

    The token count is an upper estimate. A long text alone must not exclude every model, so the largest context windows
    stay if none is large enough.

    Args:
        models: The models by name.
        needs: Capabilities that the request needs.
        tokens: Upper estimate of the size of prompt and answer.
    """
    unable = {
        name: f"lacks {', '.join(sorted(lacking))}"
        for name, model in models.items()
        if (lacking := needs - model.capabilities)
    }
    windows = {name: model.context_window or math.inf for name, model in models.items() if name not in unable}
    needed = min(tokens, max(windows.values(), default=0))
    return unable | {
        name: f"needs about {tokens} tokens, its context window has {window}"
        for name, window in windows.items()
        if window < needed
    }
