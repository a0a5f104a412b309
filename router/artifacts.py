"""Load a model folder and verify it: everything is data, nothing in it can run."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import msgspec
import numpy as np

from router.classifier import Heads, TaskClassifier
from router.encoder import MODEL_FILE, RECORD_FILE, TOKENIZER_FILE, EncoderRecord, OnnxEncoder
from router.errors import ArtifactError, EncoderError
from router.features import BUCKETS, SURFACE
from router.keywords import KeywordRules, default_rules
from router.types import ModelProfile

if TYPE_CHECKING:
    from numpy.typing import NDArray

FORMAT = 1
ENVIRONMENT_VARIABLE = "LLM_ROUTER_MODEL"
MANIFEST = "manifest.json"
CLASSIFIER = "classifier.safetensors"
PROFILES = "profiles.json"
KEYWORDS = "keywords.json"
REPORT = "report.md"
ENCODER_FILES = (f"encoder/{MODEL_FILE}", f"encoder/{TOKENIZER_FILE}", f"encoder/{RECORD_FILE}")

_MIB = 1 << 20
# The only files a model folder may name, and how large each may be.
SIZE_CAPS: Mapping[str, int] = {
    MANIFEST: _MIB,
    CLASSIFIER: 64 * _MIB,
    PROFILES: 8 * _MIB,
    KEYWORDS: 8 * _MIB,
    REPORT: 8 * _MIB,
    ENCODER_FILES[0]: 256 * _MIB,
    ENCODER_FILES[1]: 64 * _MIB,
    ENCODER_FILES[2]: _MIB,
}
_CANARY_COSINE = 0.999
_REMEDY = "train it again with `llm-router-train train`, or install the package again for the shipped one"

_log = logging.getLogger("router")
_T = TypeVar("_T")


class FileEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file of a model folder: its path inside, size in bytes, sha256, and for arrays `dtype shape` by tensor."""

    path: str
    size: int
    sha256: str
    tensors: dict[str, str] = {}


class TrainingData(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file the artifact was learnt from."""

    name: str
    licence: str
    rows: int
    sha256: str


class EncoderIdentity(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which encoder the heads were fitted on."""

    name: str
    dim: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is in a model folder, how it came to be and how good it is.

    Attributes:
        format: Version of the folder's layout.
        created: When, ISO 8601, UTC.
        versions: Of the packages it was made with.
        seed: Of every random choice.
        labels: The tasks.
        temperature: What logits are divided by.
        threshold: Confidence below which a prediction is unsure.
        metrics: Figures of the training's evaluation, by name.
        training_data: What it was learnt from.
        encoder: Which encoder the heads belong to.
        canaries: Prompts whose vectors are recorded in `classifier.safetensors`; loading encodes them and compares.
        files: Every other file of the folder.
    """

    format: Literal[1]
    created: str
    versions: dict[str, str]
    seed: int
    labels: list[str]
    temperature: float
    threshold: float
    metrics: dict[str, float]
    training_data: list[TrainingData]
    encoder: EncoderIdentity
    canaries: list[str]
    files: list[FileEntry]

    def __post_init__(self) -> None:
        if len(set(self.labels)) != len(self.labels) or len(self.labels) < 2:  # noqa: PLR2004
            raise ValueError("labels must be two or more, each once")
        if not (self.temperature > 0 and 0 <= self.threshold <= 1):
            raise ValueError("temperature must be positive and threshold in [0, 1]")
        paths = [entry.path for entry in self.files]
        if len(set(paths)) != len(paths):
            raise ValueError("files must name each path once")


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """A loaded model folder.

    Attributes:
        folder: Where it came from.
        sha256: Hash of its manifest; pins the whole folder.
        manifest: The manifest.
        profiles: The models, in the order of `profiles.json`.
        classifier: None if it could not be loaded and the caller asked for keyword rules then.
        rules: The keyword rules.
        problems: What is missing or failed, in plain sentences.
    """

    folder: Path
    sha256: str
    manifest: Manifest
    profiles: tuple[ModelProfile, ...]
    classifier: TaskClassifier | None
    rules: KeywordRules
    problems: tuple[str, ...] = ()


def find_artifact() -> Path:
    """Return the folder to load where none is named: `$LLM_ROUTER_MODEL`, the installed package's, the checkout's.

    Raises:
        ArtifactError: If there is none.
    """
    here = Path(__file__).parent
    named = os.environ.get(ENVIRONMENT_VARIABLE)
    if named:
        return Path(named)
    for folder in (here / "_artifacts", here.parent / "models" / "default"):
        if (folder / MANIFEST).is_file():
            return folder
    raise ArtifactError(f"no model folder: neither ${ENVIRONMENT_VARIABLE} nor a shipped one; {_REMEDY}")


def load_artifact(folder: Path, *, sha256: str | None = None, on_error: Literal["raise", "keywords"] = "raise") -> Artifact:
    """Load and verify a model folder.

    Every file is read once; its bytes are hashed, compared with the manifest and then parsed. The hashes catch damage
    and mix-ups, not somebody who rewrites both: pin the manifest with `sha256` for that.

    Args:
        folder: The folder.
        sha256: What the manifest must hash to.
        on_error: `keywords`: where classifier or encoder cannot be loaded, go on with the keyword rules and say so in
            `problems`. Profiles are needed in any case.

    Raises:
        ArtifactError: If it is missing, damaged, altered, too large or of another version, with the remedy.
    """
    reader = _Reader(folder, sha256=sha256)
    manifest = reader.manifest
    profiles = _parse(reader.read(PROFILES), list[ModelProfile], PROFILES)
    if len({profile.name for profile in profiles}) != len(profiles) or not profiles:
        raise ArtifactError(f"{PROFILES} must name one or more models, each once; {_REMEDY}")
    problems: list[str] = []
    classifier, rules = None, default_rules()
    try:
        reader.read(REPORT)
        rules = _parse(reader.read(KEYWORDS), KeywordRules, KEYWORDS)
        classifier = _load_classifier(reader)
    except (ArtifactError, EncoderError) as error:
        if on_error == "raise" and isinstance(error, ArtifactError):
            raise
        problems.append(f"no classifier, keyword rules decide: {error}")
        _log.warning("%s", problems[-1])
    return Artifact(
        folder=folder,
        sha256=reader.sha256,
        manifest=manifest,
        profiles=tuple(profiles),
        classifier=classifier,
        rules=rules,
        problems=tuple(problems),
    )


class _Reader:
    """Reads the files of one folder, each once and verified."""

    def __init__(self, folder: Path, *, sha256: str | None) -> None:
        self._folder = folder
        if not folder.is_dir():
            raise ArtifactError(f"{folder} is no folder; name a model folder, or train one with `llm-router-train train`")
        content = _read_file(folder, MANIFEST)
        self.sha256 = hashlib.sha256(content).hexdigest()
        if sha256 is not None and self.sha256 != sha256.lower():
            raise ArtifactError(f"{folder}: the manifest must hash to the pinned {sha256}, was {self.sha256}; {_REMEDY}")
        _check_format(content)
        self.manifest = _parse(content, Manifest, MANIFEST)
        self.entries = {entry.path: entry for entry in self.manifest.files}
        unknown = [path for path in self.entries if path not in SIZE_CAPS or path == MANIFEST]
        if unknown:
            raise ArtifactError(f"{MANIFEST} names files that do not belong into a model folder: {unknown[:5]}; {_REMEDY}")

    def read(self, path: str) -> bytes:
        entry = self.entries.get(path)
        if entry is None:
            raise ArtifactError(f"{MANIFEST} does not name {path}; {_REMEDY}")
        content = _read_file(self._folder, path)
        if len(content) != entry.size or hashlib.sha256(content).hexdigest() != entry.sha256:
            raise ArtifactError(
                f"{path} is damaged or altered: {len(content)} bytes do not hash to the manifest's; {_REMEDY}"
            )
        return content

    def read_arrays(self, path: str) -> dict[str, NDArray[np.float32]]:
        from safetensors import SafetensorError
        from safetensors.numpy import load

        try:
            arrays: dict[str, NDArray[np.float32]] = load(self.read(path))
        except (SafetensorError, ValueError, KeyError) as error:
            raise ArtifactError(f"{path} cannot be read: {error}; {_REMEDY}") from error
        if describe_arrays(arrays) != self.entries[path].tensors:
            raise ArtifactError(f"{path} must hold the arrays that the manifest names, by dtype and shape; {_REMEDY}")
        if not all(np.isfinite(array).all() for array in arrays.values()):
            raise ArtifactError(f"{path} must hold finite numbers only; {_REMEDY}")
        return arrays


def describe_arrays(arrays: Mapping[str, NDArray[Any]]) -> dict[str, str]:
    """Return `dtype shape` of each array, as the manifest records it."""
    return {name: f"{array.dtype} {'×'.join(map(str, array.shape))}" for name, array in sorted(arrays.items())}


def _read_file(folder: Path, path: str) -> bytes:
    """Read a file that really lies inside the folder, without following symlinks, up to its size cap."""
    file = folder / path
    if any(part.is_symlink() for part in (file, file.parent) if part != folder):
        raise ArtifactError(f"{path} must not be a symbolic link; copy the file itself into {folder}")
    try:
        size = file.stat().st_size
        if size > SIZE_CAPS[path]:
            raise ArtifactError(f"{path} must be at most {SIZE_CAPS[path]} bytes, was {size}; {_REMEDY}")
        with file.open("rb") as stream:
            return stream.read(SIZE_CAPS[path])
    except OSError as error:
        raise ArtifactError(f"{folder} lacks {path} ({error.strerror}); {_REMEDY}") from error


def _check_format(content: bytes) -> None:
    """Look at the version alone first: the rest of another version's manifest may be anything."""
    try:
        found = json.loads(content).get("format")
    except (ValueError, AttributeError, RecursionError) as error:
        raise ArtifactError(f"{MANIFEST} is not JSON as a manifest is: {error}; {_REMEDY}") from error
    if found != FORMAT:
        raise ArtifactError(f"this version reads model folders of format {FORMAT}, was {found!r}; {_REMEDY}")


def _parse(content: bytes, kind: type[_T], path: str) -> _T:
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ArtifactError(f"{path} does not fit its schema: {error}; {_REMEDY}") from error


def _load_classifier(reader: _Reader) -> TaskClassifier:
    manifest = reader.manifest
    arrays = reader.read_arrays(CLASSIFIER)
    labels, dim = len(manifest.labels), manifest.encoder.dim
    expected = {
        "embedding": (dim, labels),
        "lexical": (BUCKETS, labels),
        "surface": (len(SURFACE), labels),
        "bias": (labels,),
        "canaries": (len(manifest.canaries), dim),
    }
    for name, shape in expected.items():
        if name not in arrays or arrays[name].shape != shape or arrays[name].dtype != np.float32:
            found = describe_arrays(arrays).get(name, "missing")
            raise ArtifactError(f"{CLASSIFIER}: {name} must be float32 of shape {shape}, was {found}; {_REMEDY}")
    encoder = _load_encoder(reader)
    _check_canaries(encoder, manifest, arrays["canaries"])
    return TaskClassifier(
        labels=tuple(manifest.labels),
        encoder=encoder,
        heads=Heads(**{name: arrays[name] for name in ("embedding", "lexical", "surface", "bias")}),
        temperature=manifest.temperature,
        threshold=manifest.threshold,
    )


def _load_encoder(reader: _Reader) -> OnnxEncoder:
    model, tokenizer, record = (reader.read(path) for path in ENCODER_FILES)
    return OnnxEncoder(_parse(record, EncoderRecord, ENCODER_FILES[2]), model=model, tokenizer=tokenizer)


def _check_canaries(encoder: OnnxEncoder, manifest: Manifest, recorded: NDArray[np.float32]) -> None:
    """See that this machine's arithmetic gives the vectors that the heads were fitted on."""
    try:
        vectors = encoder.encode(manifest.canaries)
    except Exception as error:
        raise EncoderError(f"the encoder does not run on this machine: {error}") from error
    if vectors.shape != recorded.shape:
        raise ArtifactError(f"the encoder must give vectors of shape {recorded.shape}, was {vectors.shape}; {_REMEDY}")
    worst = float((vectors * recorded).sum(axis=1).min(initial=1.0))
    if not worst >= _CANARY_COSINE:  # written so that NaN is refused, too
        raise ArtifactError(
            f"the encoder must give the recorded vectors (cosine at least {_CANARY_COSINE}), the worst was {worst:.4f}; "
            f"it is not the one the classifier was fitted on, or this machine computes otherwise: {_REMEDY}"
        )
