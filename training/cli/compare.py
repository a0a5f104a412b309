"""`llm-router-train diff` and `drift`: what a new folder changes, and whether prompts still look like the training ones."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from router.artifacts import find_artifact
from training.cli.options import path_option, seed_option, show_progress

if TYPE_CHECKING:
    from router.options import RouteOptions
    from training.compare import Change, Difference, Outlook
    from training.drift import Drift, DriftCheck, Shift
    from training.evaluate import Interval

_SHOWN_CHANGES, _SHOWN_MOVES, _SHOWN_TASKS, _SHOWN_SUSPECTS = 20, 10, 14, 10
_log_help = "Log of prompts: .jsonl (prompt or messages), .txt (one a line), else CSV with a column prompt; may end in .gz."


@click.command("diff")
@click.argument("old", type=click.Path(path_type=Path))
@click.argument("new", type=click.Path(path_type=Path))
@path_option("--prompts", required=True, help=_log_help)
@click.option("--prefer", help="quality, balanced, cheap or fast, in both folders.")
@click.option("--quality-floor", type=float, help="Instead: share of the best's expected quality that is enough.")
@click.option("--cost-per-point", type=float, help="Instead: USD that a point of quality is worth.")
@click.option("--max-cost-usd", type=float, help="Most that a prompt may be expected to cost.")
@seed_option
@path_option("--out", help="CSV file to write every change to.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def diff(
    old: Path,
    new: Path,
    *,
    prompts: Path,
    prefer: str | None,
    quality_floor: float | None,
    cost_per_point: float | None,
    max_cost_usd: float | None,
    seed: int,
    out: Path | None,
    as_json: bool,
) -> None:
    """Say what the model folder NEW changes against OLD on a log of prompts."""
    from router.core import Router
    from training.compare import compare, rank_changes, summarize, write_changes
    from training.logs import read_log

    options: RouteOptions = {
        "prefer": prefer,
        "quality_floor": quality_floor,
        "cost_per_point": cost_per_point,
        "max_cost_usd": max_cost_usd,
    }
    comparison = compare(Router.load(old), Router.load(new), read_log(prompts), options=options, progress=show_progress)
    difference = summarize(comparison, seed=seed)
    if out:
        write_changes(out, comparison.changes)
    if as_json:
        click.echo(json.dumps(asdict(difference), indent=1, ensure_ascii=False))
        return
    told = [*_tell_difference(difference), *_tell_changes(rank_changes(comparison.changes))]
    click.echo("\n".join([*told, *([f"{out}: {len(comparison.changes)} prompts"] if out else [])]))


@click.command("drift")
@path_option("--model", help="Model folder; default: $LLM_ROUTER_MODEL, else the shipped one.")
@path_option("--prompts", required=True, help=_log_help)
@path_option("--reference", help="What to compare with instead of what the folder keeps of its training prompts.")
@seed_option
@path_option("--out", help="CSV file to write the prompts to that are worth a label.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def drift(*, model: Path | None, prompts: Path, reference: Path | None, seed: int, out: Path | None, as_json: bool) -> None:
    """Say whether the prompts of a log still look like those a model folder was trained on, and when to label new ones."""
    from router.artifacts import load_artifact
    from training.drift import check_drift, write_suspects
    from training.logs import read_log

    checked = check_drift(
        load_artifact(model or find_artifact()), read_log(prompts), reference=reference, seed=seed, progress=show_progress
    )
    if out:
        write_suspects(out, checked.suspects)
    if as_json:
        figures = asdict(checked.drift) | {"relabel": checked.drift.relabel, "notes": list(checked.notes)}
        click.echo(json.dumps(figures, indent=1, ensure_ascii=False))
        return
    told = list(_tell_drift(checked))
    click.echo("\n".join([*told, *([f"{out}: {len(checked.suspects)} prompts to label"] if out else [])]))


def _tell_difference(difference: Difference) -> Iterator[str]:
    refused = difference.refused_by_old, difference.refused_by_new
    yield (
        f"{difference.n:,} prompts ({difference.distinct:,} different), seed {difference.seed}; 95 % bootstrap intervals"
        + (
            f"; left out: {refused[0]} that the old folder refuses, {refused[1]} that the new one does"
            if any(refused)
            else ""
        )
    )
    for what, names in (("added", difference.added), ("removed", difference.removed)):
        if names:
            yield f"models {what}: {', '.join(names)}"
    yield f"another model for {_percent(difference.moved)}, another task for {_percent(difference.retasked)}"
    if difference.by_new:
        yield from _tell_outlook("by the new folder's scores", difference.by_new)
    if difference.gone or difference.barred:
        yield f"unknown to the new folder's scores: {difference.gone} prompts of removed models, {difference.barred} barred"
    if difference.by_new is None or difference.by_new.n < difference.n:
        yield from _tell_outlook("each by its own folder's scores", difference.by_own)
    if difference.moves:
        yield ""
        yield "from where to where"
        width = max(len(move.old) for move in difference.moves[:_SHOWN_MOVES])
        for move in difference.moves[:_SHOWN_MOVES]:
            yield f"{move.n:7,}  {move.old:{width}}  → {move.new}"


def _tell_outlook(how: str, outlook: Outlook) -> Iterator[str]:
    quality = f"{outlook.old_quality:.3f} → {outlook.new_quality:.3f} ({_signed(outlook.quality_gain, 1, 3)})"
    yield f"expected quality {quality}, {how}, n {outlook.n:,}"
    if outlook.old_cost_usd is not None and outlook.new_cost_usd is not None and outlook.extra_cost_usd is not None:
        yield (
            f"expected USD per 1,000 prompts {1000 * outlook.old_cost_usd:.3g} → {1000 * outlook.new_cost_usd:.3g} "
            f"({_signed(outlook.extra_cost_usd, 1000, 3)})"
        )


def _tell_changes(changes: Sequence[Change]) -> Iterator[str]:
    from training.logs import shorten

    if not changes:
        return
    yield ""
    yield f"the {min(_SHOWN_CHANGES, len(changes))} prompts that change most, by expected utility"
    for change in changes[:_SHOWN_CHANGES]:
        gain = "unknown" if change.gain is None else f"{change.gain:+.3f}"
        task = change.new_task or "unknown" if not change.retasked else f"{change.old_task or 'unknown'} → {change.new_task}"
        yield f"row {change.entry.row}, {gain}: {change.old.model} → {change.new.model} ({task})"
        yield f"    {shorten(change.entry.text)}"


def _tell_drift(checked: DriftCheck) -> Iterator[str]:
    from training.drift import ALPHA
    from training.logs import shorten

    found = checked.drift
    yield _advise(found)
    yield ""
    yield (
        f"{checked.logged:,} prompts logged, {checked.distinct:,} different, {checked.sampled:,} compared, "
        f"{checked.follow_ups:,} of which only go on with the turn before; against {found.n_reference:,} in training, "
        f"seed {found.seed}"
    )
    yield f"distance of embeddings (MMD², {found.permutations} permutations): {found.mmd:.4f}, p {_p(found.p_value)}"
    yield f"unsure: {_tell_shift(found.unsure)}"
    yield f"farther from every training prompt than 99 % of those are from another: {found.novel:.0%}"
    yield f"tasks together: chi-square {found.chi_square:.0f}, p {_p(found.tasks_p_value)}; each, p adjusted for number:"
    shown = [shift for shift in found.tasks if shift.p_value < ALPHA][:_SHOWN_TASKS] or found.tasks[:3]
    width = max(len(shift.name) for shift in shown)
    yield from (f"  {shift.name:{width}}  {_tell_shift(shift)}" for shift in shown)
    yield from (f"note: {note}" for note in checked.notes)
    if checked.suspects:
        yield ""
        yield f"worth a label ({len(checked.suspects)}), the first of them:"
        for suspect in checked.suspects[:_SHOWN_SUSPECTS]:
            why = "new" if suspect.novel else f"unsure, {suspect.confidence:.2f}"
            yield f"  row {suspect.entry.row}, {suspect.task}? ({why}): {shorten(suspect.entry.text)}"


def _advise(found: Drift) -> str:
    if not found.is_significant:
        return f"No drift: prompts look like those of the training (p {_p(found.p_value)})."
    if not found.relabel:
        return f"Drift, but nothing that labels would mend yet (p {_p(found.p_value)})."
    causes = [
        f"unsure of {found.unsure.now:.0%} instead of {found.unsure.then:.0%}" if found.unsure_rose else "",
        f"more of {', '.join(found.grown_tasks)}" if found.grown_tasks else "",
        f"{found.novel:.0%} unlike any training prompt" if found.is_novel else "",
    ]
    return f"Label some of today's prompts and train again: {'; '.join(filter(None, causes))} (p {_p(found.p_value)})."


def _tell_shift(shift: Shift) -> str:
    return f"{shift.then:.1%} → {shift.now:.1%}, p {_p(shift.p_value)}"


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"  # noqa: PLR2004 - shown so


def _percent(interval: Interval) -> str:
    return f"{interval.value:.1%} [{interval.low:.1%}, {interval.high:.1%}]"


def _signed(interval: Interval, factor: float, places: int) -> str:
    value, low, high = (f"{factor * figure:+.{places}f}" for figure in (interval.value, interval.low, interval.high))
    return f"{value} [{low}, {high}]"
