"""`llm-router-train label`: propose tasks for the prompts of a log, and keep those that a person confirms."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from router.classify.classifier import CONTINUES
from router.model_folder.load import find_model_folder
from training.cli.options import model_option, path_option, seed_option, show_progress

if TYPE_CHECKING:
    from training.monitor.proposals import Proposal

_SHOWN_TASKS = 3
_SHOWN_CHARS = 1_000
_HELP = "enter: the first · a number · the name of a task · c: continues the turn before · s: skip · q: stop"


@click.command("label")
@click.argument("log", type=click.Path(path_type=Path))
@path_option("--out", required=True, help="CSV of labelled prompts to append to. Prompts in it are not asked again.")
@model_option
@click.option("--most", default=50, show_default=True, help="Number of prompts to propose.")
@click.option("--table", is_flag=True, help="Write the proposals and ask nothing. Fill in the column task by hand.")
@seed_option
def label_command(*, log: Path, out: Path, model: Path | None, most: int, table: bool, seed: int) -> None:
    """Label prompts of a log.

    LOG is a log of the gateway, or JSON Lines with prompt or messages. It can also be a text with a prompt in each line, or
    a CSV with a column prompt. The most useful prompts come first: frequent ones, those that the classifier is unsure of,
    and those that look like none of the training. Training reads the result, and skips rows whose task is still empty.
    """
    from router.model_folder.load import load_model_folder
    from training.data.logs import read_log
    from training.data.table import read_table
    from training.monitor.proposals import append_label, propose_labels

    known = [record["prompt"] for _, record in read_table(out, required=("prompt",))] if out.exists() else []
    folder = load_model_folder(model or find_model_folder())
    proposals = propose_labels(folder, read_log(log), labelled=known, most=most, seed=seed, progress=show_progress)
    if table:
        for proposal in proposals:
            append_label(out, proposal, "")
        click.echo(f"{out}: {len(proposals)} prompts; fill in the column task, then train with it")
        return
    click.echo(_HELP)
    labelled = 0
    for number, proposal in enumerate(proposals, start=1):
        task = _ask(proposal, f"{number} of {len(proposals)}")
        if task is None:
            break
        if task:
            append_label(out, proposal, task)
            labelled += 1
    click.echo(f"{out}: {labelled} labels added")


def _ask(proposal: Proposal, place: str) -> str | None:
    """Return the task that a person chooses. Empty if the prompt is skipped, None if the person stops."""
    names = [task for task, _ in proposal.tasks]
    marks = [*(["unsure"] if proposal.unsure else []), *(["new"] if proposal.novel else [])]
    marks += [f"{proposal.times} times"] if proposal.times > 1 else []
    click.echo(f"\n{place}{''.join(f' · {mark}' for mark in marks)}")
    click.echo(_make_printable(proposal.entry.text))
    click.echo("  ".join(f"{i} {task} {p:.2f}" for i, (task, p) in enumerate(proposal.tasks[:_SHOWN_TASKS], start=1)))
    while True:
        try:
            given = click.prompt("task", default="1", show_default=False).strip()
        except click.Abort:
            return None
        if given in ("s", "q", "c"):
            return {"s": "", "q": None, "c": CONTINUES}[given]
        if given.isdecimal() and 1 <= int(given) <= len(names):
            return names[int(given) - 1]
        if given in names:
            return given
        click.echo(f"known tasks: {', '.join(names)}")


def _make_printable(text: str) -> str:
    """Return a text without signs that a terminal obeys, shortened in its middle."""
    shown = "".join(sign if sign.isprintable() or sign == "\n" else " " for sign in text)
    half = _SHOWN_CHARS // 2
    return shown if len(shown) <= _SHOWN_CHARS else f"{shown[:half]}\n[...]\n{shown[-half:]}"
