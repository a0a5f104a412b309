"""Options that several commands share, and how far along they are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import click

Command = Callable[..., Any]


def path_option(
    name: str,
    *,
    required: bool = False,
    multiple: bool = False,
    help: str,  # noqa: A002 - as click's
) -> Callable[[Command], Command]:
    """Return an option that names a file or folder."""
    kind = click.Path(path_type=Path)
    return click.option(name, required=required, multiple=multiple, metavar="PATH", type=kind, help=help)


prompts_option = path_option("--prompts", required=True, help="CSV of labelled prompts: prompt,task,…; may end in .gz.")
seed_option = click.option("--seed", default=0, show_default=True, help="Of every random choice.")
own_tasks_option = click.option("--own-tasks", is_flag=True, help="The tasks are those in the file, not the 14 built in.")


def show_progress(texts: Sequence[str]) -> Iterable[str]:
    """Wrap texts in a bar that counts those encoded."""
    from tqdm import tqdm

    return tqdm(texts, desc="encoding", unit="prompt", disable=None)  # None: only on a terminal


def show_steps(steps: Sequence[int]) -> Iterable[int]:
    """Wrap the numbers of steps in a bar that counts those done."""
    from tqdm import tqdm

    return tqdm(steps, desc="tuning", unit="step", disable=None)
