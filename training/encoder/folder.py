"""The files of an encoder in, a complete encoder folder out, or none at all."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from safetensors.numpy import save

from router.classify.encoder import OnnxEncoder
from router.classify.encoder_record import (
    DRAFT_FILE,
    MODEL_FILE,
    RECORD_FILE,
    TOKENIZER_FILE,
    DistillationRecord,
    EncoderRecord,
)
from router.errors import EncoderError
from training.data.prompts import TASKS
from training.encoder.onnx_graph import count_layers, cut_graph
from training.encoder.seen import was_seen

if TYPE_CHECKING:
    from numpy.typing import NDArray


def check_new(out: Path) -> None:
    """Raise an error if the folder to write exists already.

    Raises:
        EncoderError: If `out` exists.
    """
    if out.exists():
        raise EncoderError(f"{out} exists already; name a new folder or remove it")


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """Yield an empty folder beside `out`, and rename it to `out` if the block ends without an error.

    The parent of the yielded folder is temporary too. It can hold files that are not part of the result.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as scratch:
        folder = Path(scratch) / "encoder"
        folder.mkdir()
        yield folder
        folder.rename(out)


def write_record(folder: Path, record: EncoderRecord) -> None:
    """Write `encoder.json`."""
    (folder / RECORD_FILE).write_bytes(msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n")


def knows_other_tasks(source: Path, texts: Sequence[str], tasks: Collection[str]) -> bool:
    """Return whether an encoder was tuned on other tasks than these, so that half of its layers serve them better.

    Args:
        source: The encoder folder.
        texts: The labelled prompts.
        tasks: The tasks of the prompts.
    """
    tuning = OnnxEncoder.load(source).record.tuning
    if tuning is None or not set(tasks).isdisjoint(TASKS) or was_seen(texts, tuning).any():
        return False
    layers = count_layers((source / MODEL_FILE).read_bytes())
    # An encoder with fewer layers than were tuned was halved before.
    return layers > 1 and layers == tuning.layers


@contextmanager
def suited_to(source: Path, texts: Sequence[str], tasks: Collection[str]) -> Iterator[Path]:
    """Yield the encoder folder that serves some tasks best: `source`, or a copy that ends after half of its layers.

    Args:
        source: The encoder folder.
        texts: The labelled prompts.
        tasks: The tasks of the prompts.

    Raises:
        EncoderError: If the encoder cannot be used.
    """
    if not knows_other_tasks(source, texts, tasks):
        yield source
        return
    with tempfile.TemporaryDirectory() as scratch:
        half = Path(scratch) / "encoder"
        write_half(source, half)
        yield half


def write_half(source: Path, out: Path) -> None:
    """Write a copy of an encoder folder that ends after half of its layers.

    The last layers of a tuned encoder know the tasks of its tuning, and little else. Tasks of other kinds are told apart
    better by its middle, in half the time. A draft is copied too.

    Args:
        source: The encoder folder to copy, with at least two layers.
        out: The folder to write. It must not exist.

    Raises:
        EncoderError: If the new folder does not load.
    """
    model = (source / MODEL_FILE).read_bytes()
    with new_folder(out) as folder:
        for name in (TOKENIZER_FILE, RECORD_FILE, DRAFT_FILE):
            if (source / name).is_file():
                shutil.copyfile(source / name, folder / name)
        (folder / MODEL_FILE).write_bytes(cut_graph(model, count_layers(model) // 2))
        OnnxEncoder.load(folder)


def write_with_draft(source: Path, out: Path, arrays: Mapping[str, NDArray[Any]], draft: DistillationRecord) -> None:
    """Write a copy of an encoder folder with a draft beside the encoder.

    Args:
        source: The encoder folder to copy. Its own draft is not copied.
        out: The folder to write. It must not exist.
        arrays: The arrays of the draft.
        draft: How the draft was distilled.

    Raises:
        EncoderError: If the new folder does not load.
    """
    with new_folder(out) as folder:
        for name in (MODEL_FILE, TOKENIZER_FILE):
            shutil.copyfile(source / name, folder / name)
        write_record(folder, msgspec.structs.replace(OnnxEncoder.load(source).record, draft=draft))
        (folder / DRAFT_FILE).write_bytes(save(dict(arrays)))
        # A folder that the runtime cannot load must never get the name `out`.
        OnnxEncoder.load(folder)
