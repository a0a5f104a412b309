"""`llm-router log`: a log of the gateway in, its latest decisions out."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from router.gateway.log import read_latest

_HEAD = f"{'time':19}  {'task':14}  {'model':24}  {'status':>6}  {'seconds':>7}  {'USD':>9}  attempts"


@click.command("log")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("-n", "number", default=20, show_default=True, type=click.IntRange(min=1), help="Number of requests.")
def log(file: Path, *, number: int) -> None:
    """List the latest requests in FILE, a log of the gateway, newest first."""
    click.echo("\n".join([_HEAD, *map(_describe, read_latest(file, number))]))


def _describe(record: dict[str, Any]) -> str:
    cost = record["cost_usd"]
    attempts = ", ".join(f"{attempt['endpoint']} {attempt['end']}" for attempt in record["attempts"])
    return (
        f"{time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(record['at']))}  {record['task'] or '-':14}  "
        f"{record['model'] or '-':24}  {record['status']:>6}  {record['seconds']:>7.2f}  "
        f"{'-' if cost is None else f'{cost:.6f}':>9}  {attempts or record['code'] or '-'}"
    )
