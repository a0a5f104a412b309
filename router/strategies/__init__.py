"""Ways to rank the candidates, by name."""

from collections.abc import Mapping

from router.strategies.contextual import contextual
from router.types import Strategy

STRATEGIES: Mapping[str, Strategy] = {"contextual": contextual}

__all__ = ["STRATEGIES", "contextual"]
