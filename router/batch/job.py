"""What a batch does, as one value, and the folder that remembers it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

import msgspec

import router
from router.batch.blocks import Block
from router.batch.decided import Totals
from router.errors import InputError

_REMEDY = "continue with the same, or choose another --out"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A batch. Whoever has it can do any block of it.

    Attributes:
        files: The input, each file with its size in bytes and the time of its last change in ns.
        out: The output folder.
        column: Column of the prompts. Texts in a column named `messages` are chat messages in JSON.
        prefix: Start of the names of the added columns.
        block_rows: Rows of a block.
        options: The options of every decision, by name.
        budget_usd: Upper limit of the summed expected cost. None: no limit.
        batch_prices: Whether the costs are those of the providers' batch APIs.
        strategy: Name of the strategy. None: that of the configuration.
        model: The model folder.
        model_sha256: Hash of its manifest.
        config: Configuration file. None: the router is that of the model folder.
        config_sha256: Hash of the configuration file. Empty without one.
        version: Version of this package, because another one may decide otherwise.
    """

    files: tuple[tuple[str, int, int], ...]
    out: str
    column: str
    prefix: str
    block_rows: int
    options: dict[str, Any]
    budget_usd: float | None
    batch_prices: bool
    strategy: str | None
    model: str
    model_sha256: str
    config: str | None
    config_sha256: str
    version: str = field(default_factory=lambda: router.__version__)


def stamp(files: Sequence[Path]) -> tuple[tuple[str, int, int], ...]:
    """Return each file with its size in bytes and the time of its last change in ns."""
    return tuple((str(file), (found := file.stat()).st_size, found.st_mtime_ns) for file in files)


@dataclass(frozen=True, slots=True)
class OutFolder:
    """The output folder of a batch: one part per block, and a folder `_batch`, which readers of data sets skip.

    A file is written beside its place and then moved there. So it is there as a whole, or not at all.

    Attributes:
        path: The folder.
        suffix: Ending of the parts.
    """

    path: Path
    suffix: str

    @property
    def memory(self) -> Path:
        """The folder of the files that are no output."""
        return self.path / "_batch"

    def part(self, number: int) -> Path:
        """Return the path of the output of a block."""
        return self.path / f"part-{number:05}{self.suffix}"

    def file(self, kind: str, number: int, suffix: str) -> Path:
        """Return the path of another file of a block."""
        return self.memory / kind / f"{number:05}{suffix}"

    def totals(self) -> Path:
        """Return the path of the sums over all rows. If it exists, the batch is complete."""
        return self.memory / "totals.json"

    def open(self, job: Job) -> None:
        """Create the folder for a batch, or check that it belongs to the same one. Unfinished files are removed.

        Raises:
            InputError: If it belongs to another batch, or has other files.
        """
        memory = self.memory / "job.json"
        if not memory.is_file():
            if self.path.exists() and any(self.path.iterdir()):
                raise InputError(f"--out must be a new or empty folder, but {self.path} has other files; choose another")
            for kind in ("done", "scored", "steps", "core"):
                (self.memory / kind).mkdir(parents=True, exist_ok=True)
            write_json(memory, asdict(job))
        before, now = msgspec.json.decode(memory.read_bytes()), msgspec.json.decode(msgspec.json.encode(asdict(job)))
        for name, value in now.items():
            if before.get(name) != value:
                raise InputError(f"{self.path} was begun with {_describe(name, before.get(name), value)}; {_REMEDY}")
        for unfinished in self.path.rglob(".*.tmp"):
            unfinished.unlink(missing_ok=True)

    def missing(self, blocks: Sequence[Block], place: Callable[[int], Path]) -> list[Block]:
        """Return the blocks without their file.

        Args:
            blocks: The blocks.
            place: Returns the path of the file of a block.
        """
        return [block for block in blocks if not place(block.number).exists()]

    def read_totals(self, blocks: Sequence[Block]) -> Totals:
        """Return the sums over all rows of these blocks."""
        done = (self.file("done", block.number, ".json").read_bytes() for block in blocks)
        return Totals.add_up([msgspec.json.decode(content, type=Totals) for content in done])


def write_file(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Write a file so that it is there as a whole or not at all, also after a kill or a loss of power.

    Args:
        path: The file.
        write: Writes the content into a stream.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with beside.open("wb") as stream:
        write(stream)
        stream.flush()
        os.fsync(stream.fileno())
    beside.replace(path)


def write_json(path: Path, value: object) -> None:
    """Write a value as JSON, as `write_file` does."""
    content = msgspec.json.format(msgspec.json.encode(value), indent=2)
    write_file(path, lambda stream: stream.write(content))


def _describe(name: str, before: object, now: object) -> str:
    if name == "files":
        return "other input files, or they have changed since"
    return f"{name} {before!r}, now it is {now!r}"
