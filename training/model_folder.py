"""A training result in, a complete model folder out, or none at all."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from safetensors.numpy import save

from router.classify.encoder import OnnxEncoder
from router.classify.heads import PromptHeads
from router.classify.keywords import KeywordRules
from router.model_folder.load import load_model_folder
from router.model_folder.manifest import (
    CLASSIFIER,
    DRAFT,
    ENCODER_FILES,
    HEAD_BLOCKS,
    KEYWORDS,
    MANIFEST,
    PROFILES,
    QUALITY,
    REFERENCE,
    REPORT,
    SIZE_CAPS,
    VECTORS,
    FileEntry,
    describe_arrays,
)
from training.classifier.first_tier import FittedFirstTier
from training.classifier.fit import FittedClassifier
from training.data.table import DatasetError
from training.manifest import CANARIES
from training.model_card import write_model_card
from training.monitor.reference import to_arrays
from training.result import TrainingResult

if TYPE_CHECKING:
    from numpy.typing import NDArray

# The arrays of one file, by name.
_Arrays = Mapping[str, "NDArray[Any]"]


def check_replaceable(out: Path) -> None:
    """Raise an error if `out` cannot become a model folder. Training calls this first, because it takes minutes.

    An empty folder and an older model folder can be replaced. Any other file is protected.

    Raises:
        DatasetError: If `out` is something else, or lies below a file.
    """
    if any(parent.exists() and not parent.is_dir() for parent in out.parents):
        raise DatasetError(f"--out {out} lies below a file; name a folder")
    if not out.exists():
        return
    foreign = [
        str(path.relative_to(out))
        for path in out.rglob("*")
        if path.is_file() and str(path.relative_to(out)) not in SIZE_CAPS
    ]
    if not out.is_dir() or foreign or (any(out.iterdir()) and not (out / MANIFEST).is_file()):
        raise DatasetError(f"--out {out} is not a model folder (it holds {foreign[:3] or 'a file'}); name a new folder")


def write_model_folder(
    out: Path, training: TrainingResult, fitted: FittedClassifier, rules: KeywordRules, encoder: OnnxEncoder, source: Path
) -> None:
    """Write a model folder beside `out`, load it as a user would, and put it in place.

    Args:
        out: The folder. An older model folder there is replaced.
        training: The result of the training. Its manifest names no files yet.
        fitted: The classifier.
        rules: The keyword rules.
        encoder: The encoder that the classifier was fitted on.
        source: Folder of the encoder.

    Raises:
        ModelFolderError: If the new folder does not load. Then `out` is unchanged.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    # Beside `out`, because a rename is only atomic within one file system.
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as scratch:
        folder = Path(scratch) / "new"
        (folder / "encoder").mkdir(parents=True)
        # Copied before `out` is touched, because `source` may be a folder of the old `out`.
        for path in ENCODER_FILES:
            shutil.copyfile(source / Path(path).name, folder / path)
        arrays = _collect_arrays(training, fitted, encoder)
        for path, tensors in arrays.items():
            (folder / path).write_bytes(save(dict(tensors)))
        (folder / PROFILES).write_bytes(_to_json(training.profiles))
        (folder / KEYWORDS).write_bytes(_to_json(rules))
        (folder / REPORT).write_text(write_model_card(training), encoding="utf-8")
        written = [path for path in sorted(SIZE_CAPS) if (folder / path).is_file()]
        entries = [_describe_file(folder, path, arrays.get(path, {})) for path in written]
        (folder / MANIFEST).write_bytes(_to_json(msgspec.structs.replace(training.manifest, files=entries)))
        load_model_folder(folder, eager=True)
        _put_in_place(folder, out, old=Path(scratch) / "old")


def _put_in_place(folder: Path, out: Path, *, old: Path) -> None:
    """Rename `folder` to `out`. A folder that is there becomes `old`, and comes back if the rename fails."""
    if out.exists():
        out.rename(old)
    try:
        folder.rename(out)
    except OSError:
        if old.exists():
            old.rename(out)
        raise


def _collect_arrays(training: TrainingResult, fitted: FittedClassifier, encoder: OnnxEncoder) -> dict[str, _Arrays]:
    """Return the arrays of each file of arrays, by its path in the folder."""
    arrays: dict[str, _Arrays] = {
        CLASSIFIER: _classifier_arrays(fitted, encoder) | _first_tier_arrays(training.first, encoder),
        REFERENCE: to_arrays(training.reference),
        VECTORS: training.vectors.to_arrays(),
    }
    if encoder.draft is not None:
        arrays[DRAFT] = encoder.draft.arrays
    if training.heads is not None:
        arrays[QUALITY] = _head_arrays(training.heads)
    return arrays


def _classifier_arrays(fitted: FittedClassifier, encoder: OnnxEncoder) -> dict[str, NDArray[np.float32]]:
    heads = fitted.heads
    arrays = {"embedding": heads.embedding, "lexical": heads.lexical, "surface": heads.surface, "bias": heads.bias}
    return {name: np.ascontiguousarray(array) for name, array in arrays.items()} | {"canaries": encoder.encode(CANARIES)}


def _first_tier_arrays(first: FittedFirstTier | None, encoder: OnnxEncoder) -> dict[str, NDArray[np.float32]]:
    if first is None or encoder.draft is None:
        return {}
    arrays = {"weights": first.layer.weights, "bias": first.layer.bias, "canaries": encoder.draft.encode(CANARIES)}
    return {f"first.{name}": np.ascontiguousarray(array) for name, array in arrays.items()}


def _head_arrays(heads: PromptHeads) -> dict[str, NDArray[np.float32]]:
    layers = {"quality": heads.quality, "cost": heads.cost}
    arrays = {f"{kind}.{block}": getattr(layer, block) for kind, layer in layers.items() for block in HEAD_BLOCKS}
    return {name: np.ascontiguousarray(array) for name, array in arrays.items()}


def _describe_file(folder: Path, path: str, arrays: _Arrays) -> FileEntry:
    content = (folder / path).read_bytes()
    return FileEntry(
        path=path,
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        tensors=describe_arrays(arrays),
    )


def _to_json(value: Any) -> bytes:
    """Return indented JSON whose bytes depend only on the value. Floats have six digits, and sets are sorted."""
    plain = _round(msgspec.to_builtins(value, order="deterministic"))
    return msgspec.json.format(msgspec.json.encode(plain), indent=1) + b"\n"


def _round(value: Any) -> Any:
    """Return a JSON value with each float rounded to six significant digits."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {key: _round(item) for key, item in value.items()}
    return [_round(item) for item in value] if isinstance(value, list) else value
