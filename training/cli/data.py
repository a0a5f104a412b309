"""`llm-router-train check-data` and `published`: look at data, and bring them to the layout."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from router.artifacts import find_artifact
from training.cli.options import own_tasks_option, path_option, seed_option, show_progress

if TYPE_CHECKING:
    from training.checks import Finding
    from training.datasets import LabelledPrompt


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@path_option("--out", help="CSV to write the rows to look at to.")
@path_option("--encoder", help="Encoder folder; default: that of the shipped model folder.")
@own_tasks_option
@seed_option
@click.option("--kinds", is_flag=True, help="List the kinds of request of each task besides.")
def check_data(file: Path, *, out: Path | None, encoder: Path | None, own_tasks: bool, seed: int, kinds: bool) -> None:
    """Look for repeats, conflicts and likely wrong labels in labelled prompts, and tell their mix."""
    from training.checks import write_findings
    from training.classifier import default_cache
    from training.datasets import TASKS
    from training.pipeline import check_prompts

    given, found = check_prompts(
        file,
        encoder=encoder or find_artifact() / "encoder",
        own_tasks=own_tasks,
        seed=seed,
        cache=default_cache(),
        progress=show_progress,
    )
    click.echo("\n".join([f"{file}: {len(given.rows)} prompts", *_tell_mix(given.rows, () if own_tasks else TASKS)]))
    if kinds:
        click.echo("\n".join(_tell_kinds(given.rows)))
    click.echo("\n".join(_tell_findings(found)))
    if out:
        write_findings(out, found)
        click.echo(f"{out}: {len(found)} rows to look at")


@click.command()
@path_option("--figures", required=True, help="CSV of published figures: model,task,benchmark,value,scale,…")
@path_option("--models", required=True, help="CSV of models: model,provider,prices,context_window,…")
@path_option("--out", required=True, help="The benchmark CSV to write.")
@click.option(
    "--reference",
    default="gemini-2.5-flash",
    show_default=True,
    help="The model against which Elo becomes an expected score.",
)
def published(*, figures: Path, models: Path, out: Path, reference: str) -> None:
    """Bring published percentages and Elo ratings to the benchmark layout, with scores in [0, 1]."""
    from training.published import normalize_figures

    click.echo(f"{out}: {normalize_figures(figures, models, out, reference=reference)} rows")


def _tell_mix(rows: Sequence[LabelledPrompt], tasks: Sequence[str]) -> list[str]:
    from training.checks import contrast_sets, find_thin, measure_mix

    lines = ["", f"{'task':16} {'n':>5}  languages  other than en  median words  most words"]
    for task, n in Counter(row.task for row in rows).most_common():
        own = [row for row in rows if row.task == task]
        sizes = sorted(len(row.prompt.split()) for row in own)
        languages = {row.language for row in own if row.language}
        foreign = sum(row.language not in ("", "en") for row in own) / n
        lines.append(f"{task:16} {n:5}  {len(languages):9}  {foreign:13.0%}  {sizes[n // 2]:12}  {sizes[-1]:10}")
    lines += [f"thin: {task} has {n} prompts" for task, n in find_thin(rows, tasks or {row.task for row in rows}).items()]
    lines += ["", f"{'mix':50} {'n':>5}   share"]
    lines += [
        f"{share.name + ('' if share.declared else ' *'):50} {share.count:5}  {share.count / share.n:6.1%}"
        for share in measure_mix(rows)
    ]
    return [*lines, f"{'contrast sets':50} {len(contrast_sets(rows)):5}", "* read off the text; the others as declared"]


def _tell_kinds(rows: Sequence[LabelledPrompt]) -> list[str]:
    lines = [""]
    for task in sorted({row.task for row in rows}):
        kinds = Counter(row.kind or "not named" for row in rows if row.task == task)
        told = ", ".join(f"{kind} {count}" for kind, count in kinds.most_common())
        lines.append(f"{task}, {len(kinds)} kinds: {told}")
    return lines


def _tell_findings(found: Sequence[Finding]) -> list[str]:
    lines = ["", f"{'to look at':50} {'n':>5}"]
    lines += [f"{problem:50} {count:5}" for problem, count in Counter(finding.problem for finding in found).most_common()]
    return lines if found else ["", "nothing to look at"]
