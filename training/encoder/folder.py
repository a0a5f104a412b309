"""The files of an encoder in, a complete encoder folder out, or none at all."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping
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
