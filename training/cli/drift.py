"""`llm-router-train drift`: report whether prompts still look like those of the training."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from router.model_folder.load import find_model_folder
from training.cli.options import json_option, log_option, model_option, path_option, seed_option, show_progress

if TYPE_CHECKING:
    from training.monitor.drift import DriftCheck
    from training.monitor.measure import Drift, ShareChange

_SHOWN_TASKS, _SHOWN_TO_LABEL = 14, 10
# Tasks to show if none of them changed significantly.
_SHOWN_UNCHANGED = 3


@click.command("drift")
@model_option
@log_option
@path_option("--reference", help="Log or CSV of prompts to compare with, instead of the reference in the model folder.")
@seed_option
@path_option("--out", help="CSV file to write the prompts to that should be labelled.")
@json_option
def drift_command(
    *, model: Path | None, prompts: Path, reference: Path | None, seed: int, out: Path | None, as_json: bool
) -> None:
    """Compare prompts with those of the training.

    Reports whether a log of prompts still looks like the training prompts of a model folder, and lists prompts to label.
    """
    from router.model_folder.load import load_model_folder
    from training.data.logs import read_log
    from training.monitor.drift import check_drift
    from training.monitor.to_label import write_prompts_to_label

    checked = check_drift(
        load_model_folder(model or find_model_folder()),
        read_log(prompts),
        reference=reference,
        seed=seed,
        progress=show_progress,
    )
    if out:
        write_prompts_to_label(out, checked.to_label)
    if as_json:
        figures = asdict(checked.drift) | {"relabel": checked.drift.relabel, "notes": list(checked.notes)}
        click.echo(json.dumps(figures, indent=1, ensure_ascii=False))
        return
    written = [f"{out}: {len(checked.to_label)} prompts to label"] if out else []
    click.echo("\n".join([_advise(checked.drift), "", *_describe_drift(checked), *_list_to_label(checked), *written]))


def _advise(found: Drift) -> str:
    """Return the result in one sentence: no drift, drift that needs no labels, or the reasons to label."""
    if not found.is_significant:
        return f"No drift: the prompts look like those of the training (p {_p(found.p_value)})."
    # Drift alone is no reason to label: with many prompts even a harmless change is significant.
    if not found.relabel:
        return f"Drift, but new labels would not help yet (p {_p(found.p_value)})."
    # Each cause is one of the conditions of `Drift.relabel`, in the same order.
    causes = [
        f"unsure of {found.unsure.now:.0%} instead of {found.unsure.then:.0%}" if found.unsure_rose else "",
        f"more of {', '.join(found.grown_tasks)}" if found.grown_tasks else "",
        f"{found.novel:.0%} unlike any training prompt" if found.is_novel else "",
    ]
    return f"Label some of today's prompts and train again: {'; '.join(filter(None, causes))} (p {_p(found.p_value)})."


def _describe_drift(checked: DriftCheck) -> Iterator[str]:
    from training.monitor.measure import ALPHA

    found = checked.drift
    yield (
        f"{checked.logged:,} prompts in the log, {checked.distinct:,} different, {checked.sampled:,} drawn, "
        f"{checked.follow_ups:,} of these left out because they only continue the turn before; "
        f"compared with {found.n_reference:,} in training, seed {found.seed}"
    )
    yield f"distance of embeddings (squared MMD, {found.permutations} permutations): {found.mmd:.4f}, p {_p(found.p_value)}"
    yield f"unsure: {_format_change(found.unsure)}"
    yield f"farther from the training prompts than 99 % of those are from each other: {found.novel:.0%}"
    yield f"all tasks: chi-square {found.chi_square:.0f}, p {_p(found.tasks_p_value)}; single tasks, with adjusted p:"
    changed = [change for change in found.tasks if change.p_value < ALPHA]
    # Without a significant task show the three nearest to it, so that the list is never empty.
    shown = changed[:_SHOWN_TASKS] or found.tasks[:_SHOWN_UNCHANGED]
    width = max(len(change.name) for change in shown)
    yield from (f"  {change.name:{width}}  {_format_change(change)}" for change in shown)
    yield from (f"note: {note}" for note in checked.notes)


def _list_to_label(checked: DriftCheck) -> Iterator[str]:
    from training.data.logs import shorten

    if not checked.to_label:
        return
    yield ""
    yield f"prompts to label ({len(checked.to_label)}), the first of them:"
    for prompt in checked.to_label[:_SHOWN_TO_LABEL]:
        why = "novel" if prompt.novel else f"unsure, {prompt.confidence:.2f}"
        yield f"  row {prompt.entry.row}, {prompt.task}? ({why}): {shorten(prompt.entry.text)}"


def _format_change(change: ShareChange) -> str:
    return f"{change.then:.1%} -> {change.now:.1%}, p {_p(change.p_value)}"


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"  # noqa: PLR2004 - the smallest value with three places
