"""Prompts, files of them in each format, and one small Ray cluster for all tests of a batch."""

import csv
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from router.batch.blocks import Block
from router.batch.engines import Step
from router.batch.job import Job
from router.batch.worker import Worker

Rows = list[dict[str, Any]]

# The second one has what CSV must quote, the fourth what is no ASCII, the fifth nothing.
PROMPTS = [
    "write a haiku about rain",
    'fix this:\n\n  print("a, b")\r\n  and "c"',
    "prove that sqrt(2) is irrational",
    "翻訳してください: naïve café 🙂",
    "",
    "summarize: " + "the committee met again and decided nothing. " * 40,
    "what is the capital of France?",
    "write a haiku about rain",
    "yes, go on",
    "classify this review as good or bad: the soup was cold",
    "give me ten names for a bakery",
]


def write_rows(path: Path, rows: Rows) -> Path:
    """Write rows in the format that the name of the file says."""
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=4)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    else:
        with path.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    return path


def read_rows(folder: Path) -> Rows:
    """Read all parts of an output folder, in their order. Empty fields of CSV become None."""
    rows: Rows = []
    for part in sorted(folder.glob("part-*")):
        if part.suffix == ".parquet":
            rows += pq.read_table(part).to_pylist()
        elif part.suffix == ".jsonl":
            rows += [json.loads(line) for line in part.read_bytes().splitlines()]
        else:
            with part.open(newline="", encoding="utf-8") as stream:
                rows += list(csv.DictReader(stream))
    return rows


class HereEngine:
    """Does all blocks in this process, by the same worker as the other engines."""

    def __init__(self, job: Job) -> None:
        self._worker = Worker(job)

    def run(self, step: Step, blocks: Sequence[Block]) -> Iterator[Block]:
        for block in blocks:
            getattr(self._worker, step)(block)
            yield block


def here(job: Job) -> Callable[[], Any]:
    return lambda: nullcontext(HereEngine(job))


# Not for the whole session: other tests start a cluster of their own.
@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """A local cluster with two processors."""
    ray = pytest.importorskip("ray", reason="Ray is not installed")
    root = Path(__file__).parents[3]
    with pytest.MonkeyPatch.context() as patch:
        # The actors import the package of this checkout. With an environment of Ray's own, no process would wait for them.
        patch.setenv("PYTHONPATH", os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")]))
        ray.init(
            address="local",
            num_cpus=2,
            object_store_memory=200 << 20,
            include_dashboard=False,
            log_to_driver=False,
            logging_level="error",
        )
        yield
        ray.shutdown()
