"""`llm-router-train diff`: report which decisions a new model folder changes on a log of prompts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from router.cli.options import make_options, route_options
from training.cli.options import json_option, log_option, path_option, seed_option, show_progress

if TYPE_CHECKING:
    from training.evaluation.intervals import Interval
    from training.monitor.compare import Change
    from training.monitor.difference import Difference, Outlook

_SHOWN_CHANGES, _SHOWN_MOVES = 20, 10


@click.command("diff")
@click.argument("old", type=click.Path(path_type=Path))
@click.argument("new", type=click.Path(path_type=Path))
@log_option
@route_options
@seed_option
@path_option("--out", help="CSV file to write all changes to.")
@json_option
def diff_command(
    old: Path, new: Path, *, prompts: Path, seed: int, out: Path | None, as_json: bool, **keywords: Any
) -> None:
    """Compare the decisions of two model folders.

    Both folders, OLD and NEW, route the prompts of a log with the same options.
    """
    from router.core import Router
    from training.data.logs import read_log
    from training.monitor.compare import compare, rank_changes, write_changes
    from training.monitor.difference import summarize

    options = make_options(keywords)
    comparison = compare(Router.load(old), Router.load(new), read_log(prompts), options=options, progress=show_progress)
    difference = summarize(comparison, seed=seed)
    if out:
        write_changes(out, comparison.changes)
    # With --json nothing else may be printed, or the output could not be parsed.
    if as_json:
        click.echo(json.dumps(asdict(difference), indent=1, ensure_ascii=False))
        return
    lines = [*_describe_difference(difference), *_list_changes(rank_changes(comparison.changes))]
    click.echo("\n".join([*lines, *([f"{out}: {len(comparison.changes)} prompts"] if out else [])]))


def _describe_difference(difference: Difference) -> Iterator[str]:
    # Prompts that one folder refuses have no pair of choices to compare. Say how many, or n would mislead.
    refused = difference.refused_by_old, difference.refused_by_new
    yield (
        f"{difference.n:,} prompts ({difference.distinct:,} different), seed {difference.seed}; 95 % bootstrap intervals"
        + (
            f"; left out: {refused[0]} without a model in the old folder, {refused[1]} in the new one"
            if any(refused)
            else ""
        )
    )
    for change, names in (("added", difference.added), ("removed", difference.removed)):
        if names:
            yield f"models {change}: {', '.join(names)}"
    yield f"the model changes for {_percent(difference.moved)}, the task for {_percent(difference.retasked)}"
    if difference.by_new:
        yield from _describe_outlook("by the scores of the new folder", difference.by_new)
    if difference.gone or difference.barred:
        yield (
            f"not scored by the new folder: {difference.gone} prompts whose old model was removed, "
            f"{difference.barred} whose old model is excluded"
        )
    # The new folder did not score every old choice. Only the folders' own scores then cover all prompts.
    if difference.by_new is None or difference.by_new.n < difference.n:
        yield from _describe_outlook("each choice by the scores of its own folder", difference.by_own)
    if difference.moves:
        yield ""
        yield "changes of model, most frequent first"
        width = max(len(move.old) for move in difference.moves[:_SHOWN_MOVES])
        for move in difference.moves[:_SHOWN_MOVES]:
            yield f"{move.n:7,}  {move.old:{width}}  -> {move.new}"


def _describe_outlook(scores: str, outlook: Outlook) -> Iterator[str]:
    quality = f"{outlook.old_quality:.3f} -> {outlook.new_quality:.3f} ({_signed(outlook.quality_gain, 1, 3)})"
    yield f"expected quality {quality}, {scores}, n {outlook.n:,}"
    if outlook.old_cost_usd is not None and outlook.new_cost_usd is not None and outlook.extra_cost_usd is not None:
        yield (
            f"expected USD per 1,000 prompts {1000 * outlook.old_cost_usd:.3g} -> {1000 * outlook.new_cost_usd:.3g} "
            f"({_signed(outlook.extra_cost_usd, 1000, 3)})"
        )


def _list_changes(changes: Sequence[Change]) -> Iterator[str]:
    from training.data.logs import shorten

    if not changes:
        return
    yield ""
    yield f"the {min(_SHOWN_CHANGES, len(changes))} prompts with the largest change in expected utility"
    for change in changes[:_SHOWN_CHANGES]:
        gain = "unknown" if change.gain is None else f"{change.gain:+.3f}"
        new_task = change.new_task or "unknown"
        task = f"{change.old_task or 'unknown'} -> {new_task}" if change.retasked else new_task
        yield f"row {change.entry.row}, {gain}: {change.old.model} -> {change.new.model} ({task})"
        # Prompts come from users. `shorten` removes control characters that a terminal would obey.
        yield f"    {shorten(change.entry.text)}"


def _percent(interval: Interval) -> str:
    return f"{interval.value:.1%} [{interval.low:.1%}, {interval.high:.1%}]"


def _signed(interval: Interval, factor: float, places: int) -> str:
    value, low, high = (f"{factor * figure:+.{places}f}" for figure in (interval.value, interval.low, interval.high))
    return f"{value} [{low}, {high}]"
