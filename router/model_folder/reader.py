"""The path of a model folder comes in, the verified contents of its files go out."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import msgspec
import numpy as np

from router.errors import ModelFolderError
from router.model_folder.manifest import FORMAT, MANIFEST, SIZE_CAPS, Manifest, describe_arrays

if TYPE_CHECKING:
    from numpy.typing import NDArray

# The end of most error messages.
REMEDY = "train it again with `llm-router-train train`, or reinstall the package to get the shipped one"

_T = TypeVar("_T")


class FolderReader:
    """Read the files of one model folder, each once, and verify their hashes.

    Args:
        folder: The folder.
        sha256: Expected hash of the manifest. None: any manifest.

    Attributes:
        sha256: Hash of the manifest.
        manifest: The manifest.
        entries: The files that the manifest names, by path.

    Raises:
        ModelFolderError: If the folder or its manifest is missing, damaged or of another version.
    """

    def __init__(self, folder: Path, *, sha256: str | None) -> None:
        self._folder = folder
        if not folder.is_dir():
            raise ModelFolderError(
                f"{folder} is not a folder; name a model folder or train one with `llm-router-train train`"
            )
        content = _read_file(folder, MANIFEST)
        self.sha256 = hashlib.sha256(content).hexdigest()
        if sha256 is not None and self.sha256 != sha256.lower():
            raise ModelFolderError(f"{folder}: the manifest must hash to the pinned {sha256}, got {self.sha256}; {REMEDY}")
        _check_format(content)
        self.manifest = parse_json(content, Manifest, MANIFEST)
        self.entries = {entry.path: entry for entry in self.manifest.files}
        # A fixed list of names, so that no path in a manifest can lead out of the folder.
        unknown = [path for path in self.entries if path not in SIZE_CAPS or path == MANIFEST]
        if unknown:
            raise ModelFolderError(f"{MANIFEST} names files that do not belong in a model folder: {unknown[:5]}; {REMEDY}")

    def read(self, path: str) -> bytes:
        """Return the content of a file.

        Raises:
            ModelFolderError: If the manifest does not name the file, or the file is missing, altered or too large.
        """
        entry = self.entries.get(path)
        if entry is None:
            raise ModelFolderError(f"{MANIFEST} does not name {path}; {REMEDY}")
        content = _read_file(self._folder, path)
        if len(content) != entry.size or hashlib.sha256(content).hexdigest() != entry.sha256:
            raise ModelFolderError(
                f"{path} is damaged or altered: its {len(content)} bytes do not match the hash in {MANIFEST}; {REMEDY}"
            )
        return content

    def read_arrays(self, path: str) -> dict[str, NDArray[np.float32]]:
        """Return the arrays of a safetensors file by name, all finite.

        Raises:
            ModelFolderError: If `read` raises it, or the arrays are not those that the manifest names.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load

        try:
            arrays: dict[str, NDArray[np.float32]] = load(self.read(path))
        except (SafetensorError, ValueError, KeyError) as error:
            raise ModelFolderError(f"{path} cannot be read: {error}; {REMEDY}") from error
        if describe_arrays(arrays) != self.entries[path].tensors:
            raise ModelFolderError(f"{path} must hold the arrays that the manifest names, by dtype and shape; {REMEDY}")
        # With a NaN every comparison is false, so a broken weight would not raise an error later.
        if not all(np.isfinite(array).all() for array in arrays.values()):
            raise ModelFolderError(f"{path} must hold only finite numbers; {REMEDY}")
        return arrays


def parse_json(content: bytes, kind: type[_T], path: str) -> _T:
    """Return JSON as a value of a type.

    Args:
        content: The JSON.
        kind: The type.
        path: Name of the file, for the error message.

    Raises:
        ModelFolderError: If the content does not fit the type.
    """
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ModelFolderError(f"{path} does not fit its schema: {error}; {REMEDY}") from error


def _read_file(folder: Path, path: str) -> bytes:
    """Return the content of a file that lies inside the folder, without following links, up to its size limit."""
    file = folder / path
    # The folder itself may be a link. A link inside it could lead anywhere.
    if any(part.is_symlink() for part in (file, file.parent) if part != folder):
        raise ModelFolderError(f"{path} must not be a symbolic link; copy the file itself into {folder}")
    try:
        size = file.stat().st_size
        if size > SIZE_CAPS[path]:
            raise ModelFolderError(f"{path} must be at most {SIZE_CAPS[path]} bytes, got {size}; {REMEDY}")
        # The file may grow after stat(), so reading is limited too.
        with file.open("rb") as stream:
            return stream.read(SIZE_CAPS[path])
    except OSError as error:
        raise ModelFolderError(f"{folder} lacks {path} ({error.strerror}); {REMEDY}") from error


def _check_format(content: bytes) -> None:
    """Raise an error if a manifest has another version."""
    # The version is read before the schema, because the manifest of another version may have any other content.
    try:
        found = json.loads(content).get("format")
    except (ValueError, AttributeError, RecursionError) as error:
        raise ModelFolderError(f"{MANIFEST} must be a JSON object, got something else: {error}; {REMEDY}") from error
    if found != FORMAT:
        raise ModelFolderError(f"this version reads model folders of format {FORMAT}, got {found!r}; {REMEDY}")
