"""The options of a decision as options of a command."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from router.options import RouteOptions
from router.strategies import FOCUS_AREAS

_Function = TypeVar("_Function", bound=Callable[..., Any])

# One per field of `RouteOptions`, in the order in which --help lists them; a test compares the names.
_OPTIONS = (
    click.option("--prefer", metavar="NAME", help="quality, balanced (default), cheap or fast."),
    click.option("--quality-floor", type=float, help="Cheapest model with this share of the best quality, 0 to 1."),
    click.option("--usd-per-point", type=float, help="USD that one more point of quality (0.01) is worth."),
    click.option("--max-loss", type=float, help="Quality that may be lost on average against the best single model: 0.02."),
    click.option("--risk-aversion", type=float, help="Standard errors that are taken off each quality; default 0.5."),
    click.option("--confidence", type=float, help="How sure the bound of --max-loss must be; default 0.95."),
    click.option("--max-cost-usd", type=float, help="Exclude models that are expected to cost more for this prompt."),
    click.option("--allowed", metavar="MODEL", multiple=True, help="A model that may be chosen. Repeat for more."),
    click.option("--needs", metavar="NAME", multiple=True, help="A capability that it needs, such as vision. Repeatable."),
    click.option("--focus", metavar="NAME", help=f"Only these tasks count: {', '.join(FOCUS_AREAS)}, or a task."),
    click.option("--key", default="", help="A user or a session, for strategies that keep a key on one model."),
    click.option("--tier", metavar="NAME", help="auto (default), first or full: the tier that reads the prompt."),
)


def route_options(command: _Function) -> _Function:
    """Give a command the options of a decision, which it receives as keywords for `make_options`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def make_options(keywords: dict[str, Any]) -> RouteOptions:
    """Return the options that a command received.

    Raises:
        InputError: If a value is out of range, or two dials are set.
    """
    return RouteOptions.of({**keywords, "allowed": keywords["allowed"] or None})
