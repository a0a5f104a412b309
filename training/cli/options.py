"""Options that several commands share, and their progress bars."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from training.progress import Show

Command = Callable[..., Any]


def path_option(
    *names: str,
    required: bool = False,
    multiple: bool = False,
    help: str,  # noqa: A002 - as click's
) -> Callable[[Command], Command]:
    """Return an option that names a file or a folder.

    Args:
        names: Name of the option, with its dashes, and perhaps that of the argument.
        required: Whether the command needs it.
        multiple: Whether it may be repeated.
        help: Its help text.
    """
    kind = click.Path(path_type=Path)
    return click.option(*names, required=required, multiple=multiple, metavar="PATH", type=kind, help=help)


# Options that are the same in several commands have one text, so that --help does not contradict itself.
prompts_option = path_option("--prompts", required=True, help="CSV of labelled prompts: prompt,task,…; may end in .gz.")
log_option = path_option(
    "--prompts",
    required=True,
    help="Log of prompts: .jsonl (prompt or messages), .txt (one per line), or CSV with a column prompt; may end in .gz.",
)
model_option = path_option("--model", help="Model folder; default: $LLM_ROUTER_MODEL, or else the shipped one.")
seed_option = click.option("--seed", default=0, show_default=True, help="Seed of all random choices.")
own_tasks_option = click.option(
    "--own-tasks", is_flag=True, help="Use the tasks named in the file instead of the 14 built-in ones."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")


def show_progress(texts: Sequence[str]) -> Iterable[str]:
    """Return texts with a progress bar that counts the encoded ones."""
    from tqdm import tqdm

    return tqdm(texts, desc="encoding", unit="prompt", disable=None)  # None: no bar unless it is a terminal


def show_steps(steps: Sequence[int]) -> Iterable[int]:
    """Return numbers of steps with a progress bar that counts the finished ones."""
    from tqdm import tqdm

    return tqdm(steps, desc="tuning", unit="step", disable=None)


@contextmanager
def stage_bar() -> Iterator[Show]:
    """Show one progress bar for all stages of a training, with the time that is left. Give what tells it the progress."""
    from tqdm import tqdm

    form = "{desc}: {percentage:3.0f}%|{bar}| {elapsed} passed, {remaining} left"
    # The average speed since the start, because the stages are estimates of the same run.
    with tqdm(total=1.0, bar_format=form, smoothing=0, disable=None) as bar:

        def show(stage: str, share: float) -> None:
            bar.set_description(stage, refresh=False)
            bar.update(share - bar.n)

        yield show
