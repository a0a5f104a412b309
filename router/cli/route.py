"""`llm-router route`: a prompt in, the chosen model out."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from router.cli.folder import model_option
from router.cli.options import make_options, route_options
from router.core import Router
from router.strategies import STRATEGIES

if TYPE_CHECKING:
    from router.decision import RoutingDecision

_SHOWN = 5


@click.command()
@click.argument("prompt")
@model_option
@click.option(
    "--strategy", default="contextual", show_default=True, help=f"{', '.join(STRATEGIES)}, or several joined by >."
)
@route_options
@click.option("--json", "as_json", is_flag=True, help="Print the whole decision as JSON.")
@click.option("--explain", is_flag=True, help="Print every term, and the changes that would change the choice.")
def route(prompt: str, *, model: Path | None, strategy: str, as_json: bool, explain: bool, **keywords: Any) -> None:
    """Choose the model that should handle PROMPT; - reads it from standard input."""
    options = make_options(keywords)
    decision = Router.load(model, strategy=strategy).route(_read_stdin() if prompt == "-" else prompt, **options.given())
    if as_json:
        click.echo(json.dumps(decision.to_dict(), indent=2, ensure_ascii=False))
    else:
        click.echo(decision.explain() if explain else _summarize(decision))


def _read_stdin() -> str:
    """Read a prompt, whatever its bytes are."""
    return sys.stdin.buffer.read().decode("utf-8", "replace")


def _summarize(decision: RoutingDecision) -> str:
    prediction = decision.prediction
    lines = [
        f"{decision.model}   (task: {prediction.task or 'unknown'} {prediction.confidence:.2f}, by {prediction.source})",
        "",
    ]
    width = max(len(name) for name in decision.ranking[:_SHOWN])
    lines.append(f"{'':2} {'model':{width}}  expected quality    USD per 1,000 prompts")
    for place, name in enumerate(decision.ranking[:_SHOWN], start=1):
        score = decision.scores[name]
        cost = "unknown" if score.cost_usd is None else f"{score.cost_usd * 1000:.2f}"
        lines.append(f"{place:2} {name:{width}}  {score.quality:.3f} +/- {score.stderr:.3f}  {cost:>22}")
    return "\n".join([*lines, *(f"note: {reason}" for reason in decision.reasons)])
