"""Verified files of a model folder come in, the classifier and the prompt heads go out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from router.classify.classifier import FirstTier, TaskClassifier
from router.classify.encoder import OnnxEncoder
from router.classify.encoder_record import EncoderRecord
from router.classify.features import BUCKETS, SURFACE
from router.classify.heads import Heads, PromptHeads
from router.errors import EncoderError, ModelFolderError
from router.model_folder.manifest import (
    CLASSIFIER,
    DRAFT,
    ENCODER_FILES,
    HEAD_BLOCKS,
    MANIFEST,
    QUALITY,
    HeadsRecord,
    Manifest,
    describe_arrays,
)
from router.model_folder.reader import REMEDY, FolderReader, parse_json
from router.types import Encoder

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Smallest cosine between a canary's vector here and the recorded one. It is below 1 because processors round int8 products
# differently.
_MIN_CANARY_COSINE = 0.999


def load_classifier(reader: FolderReader, *, eager: bool) -> TaskClassifier:
    """Return the classifier of a model folder.

    Args:
        reader: The reader of the folder.
        eager: Open and verify the encoder's graph now. Without a first tier this is always so.

    Raises:
        ModelFolderError: If a file is missing or damaged, or does not fit the manifest.
        EncoderError: If the encoder does not run on this machine.
    """
    manifest = reader.manifest
    arrays = reader.read_arrays(CLASSIFIER)
    labels, dim = len(manifest.labels), manifest.encoder.dim
    _check_shapes(CLASSIFIER, arrays, {**_head_shapes(dim, labels), "canaries": (len(manifest.canaries), dim)})
    encoder = _load_encoder(
        reader, verify=partial(_check_canaries, texts=tuple(manifest.canaries), recorded=arrays["canaries"])
    )
    first = None if manifest.first is None else _load_first(manifest, manifest.first.threshold, encoder, arrays)
    # Without a first tier nothing can answer if the graph fails, so find out now, while keyword rules can still replace it.
    if eager or first is None:
        encoder.open()
    return TaskClassifier(
        labels=tuple(manifest.labels),
        encoder=encoder,
        heads=Heads(**{name: arrays[name] for name in HEAD_BLOCKS}),
        temperature=manifest.temperature,
        threshold=manifest.threshold,
        first=first,
    )


def load_heads(reader: FolderReader) -> PromptHeads | None:
    """Return the prompt heads of a model folder. None if it has none.

    Raises:
        ModelFolderError: If their file is missing or damaged, or does not fit the manifest.
    """
    record, dim = reader.manifest.heads, reader.manifest.encoder.dim
    if record is None:
        return None
    arrays = reader.read_arrays(QUALITY)
    shapes = _head_shapes(dim, len(record.models))
    _check_shapes(
        QUALITY, arrays, {f"{kind}.{name}": shape for kind in ("quality", "cost") for name, shape in shapes.items()}
    )
    quality, cost = (Heads(**{name: arrays[f"{kind}.{name}"] for name in HEAD_BLOCKS}) for kind in ("quality", "cost"))
    return PromptHeads(
        models=tuple(record.models),
        quality=quality,
        cost=cost,
        quality_tasks=frozenset(task for task, evidence in record.quality.items() if evidence.kept),
        cost_tasks=frozenset(task for task, evidence in record.cost.items() if evidence.kept),
    )


def _load_first(
    manifest: Manifest, threshold: float, encoder: OnnxEncoder, arrays: Mapping[str, NDArray[np.float32]]
) -> FirstTier:
    draft, labels = encoder.draft, len(manifest.labels)
    if draft is None:
        raise ModelFolderError(f"{MANIFEST} describes a first tier, but there is no {DRAFT}; {REMEDY}")
    shapes = {"weights": (draft.dim, labels), "bias": (labels,), "canaries": (len(manifest.canaries), draft.dim)}
    _check_shapes(CLASSIFIER, arrays, {f"first.{name}": shape for name, shape in shapes.items()})
    # The draft takes a fraction of a millisecond, so its canaries are checked on every load.
    _check_canaries(draft, texts=manifest.canaries, recorded=arrays["first.canaries"])
    return FirstTier(
        encoder=draft,
        weights=arrays["first.weights"],
        bias=arrays["first.bias"],
        threshold=threshold,
        # The heads need features that only the full classifier computes.
        tasks=frozenset(manifest.labels) - _find_shifted_tasks(manifest.heads),
    )


def _find_shifted_tasks(record: HeadsRecord | None) -> set[str]:
    """Return the tasks for which the text of a prompt shifts quality or cost."""
    if record is None:
        return set()
    return {task for by_task in (record.quality, record.cost) for task, evidence in by_task.items() if evidence.kept}


def _load_encoder(reader: FolderReader, *, verify: Callable[[OnnxEncoder], None]) -> OnnxEncoder:
    model, tokenizer, record = (reader.read(path) for path in ENCODER_FILES)
    return OnnxEncoder(
        parse_json(record, EncoderRecord, ENCODER_FILES[2]),
        model=model,
        tokenizer=tokenizer,
        draft=reader.read_arrays(DRAFT) if DRAFT in reader.entries else None,
        verify=verify,
    )


def _head_shapes(dim: int, outputs: int) -> dict[str, tuple[int, ...]]:
    """Return the shape of each block of a linear layer."""
    rows = (dim, BUCKETS, len(SURFACE))
    return {name: (n, outputs) for name, n in zip(HEAD_BLOCKS, rows, strict=False)} | {"bias": (outputs,)}


def _check_shapes(path: str, arrays: Mapping[str, NDArray[Any]], shapes: Mapping[str, tuple[int, ...]]) -> None:
    for name, shape in shapes.items():
        if name not in arrays or arrays[name].shape != shape or arrays[name].dtype != np.float32:
            found = describe_arrays(arrays).get(name, "none")
            raise ModelFolderError(f"{path}: {name} must be float32 of shape {shape}, got {found}; {REMEDY}")


def _check_canaries(encoder: Encoder, *, texts: Sequence[str], recorded: NDArray[np.float32]) -> None:
    """Raise an error if the encoder does not give the vectors here that the heads were fitted on.

    Args:
        encoder: The encoder.
        texts: The canaries.
        recorded: Their vectors from training, shape (texts, dim).

    Raises:
        EncoderError: If the encoder does not run.
        ModelFolderError: If it gives other vectors.
    """
    try:
        vectors = encoder.encode(texts)
    except Exception as error:  # ONNX Runtime raises many types, none of them documented
        raise EncoderError(f"the encoder does not run on this machine: {error}") from error
    if vectors.shape != recorded.shape:
        raise ModelFolderError(f"the encoder must give vectors of shape {recorded.shape}, got {vectors.shape}; {REMEDY}")
    lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(recorded, axis=1)
    worst = float(((vectors * recorded).sum(axis=1) / np.maximum(lengths, 1e-12)).min(initial=1.0))
    if not worst >= _MIN_CANARY_COSINE:  # written so that NaN fails too
        raise ModelFolderError(
            f"the encoder must give the recorded vectors (cosine at least {_MIN_CANARY_COSINE}), got {worst:.4f}; "
            f"it is not the encoder of this classifier, or this machine computes differently: {REMEDY}"
        )
