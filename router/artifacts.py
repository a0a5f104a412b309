"""Load a model folder and verify it: everything is data, nothing in it can run."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import msgspec
import numpy as np

from router.classifier import FirstTier, TaskClassifier
from router.encoder import DRAFT_FILE, MODEL_FILE, RECORD_FILE, TOKENIZER_FILE, EncoderRecord, OnnxEncoder
from router.errors import ArtifactError, EncoderError
from router.features import BUCKETS, SURFACE
from router.heads import Heads, PromptHeads
from router.keywords import KeywordRules, default_rules
from router.risk import RiskCurve
from router.scoring import UNCALIBRATED, Calibration, make_presets
from router.types import Encoder, ModelProfile

if TYPE_CHECKING:
    from numpy.typing import NDArray

FORMAT = 1
ENVIRONMENT_VARIABLE = "LLM_ROUTER_MODEL"
MANIFEST = "manifest.json"
CLASSIFIER = "classifier.safetensors"
QUALITY = "quality.safetensors"
REFERENCE = "reference.safetensors"
PROFILES = "profiles.json"
KEYWORDS = "keywords.json"
REPORT = "report.md"
HEAD_BLOCKS = ("embedding", "lexical", "surface", "bias")
ENCODER_FILES = (f"encoder/{MODEL_FILE}", f"encoder/{TOKENIZER_FILE}", f"encoder/{RECORD_FILE}")
DRAFT = f"encoder/{DRAFT_FILE}"

_MIB = 1 << 20
# The only files a model folder may name, and how large each may be.
SIZE_CAPS: Mapping[str, int] = {
    MANIFEST: _MIB,
    CLASSIFIER: 64 * _MIB,
    QUALITY: 256 * _MIB,
    REFERENCE: 16 * _MIB,
    PROFILES: 8 * _MIB,
    KEYWORDS: 8 * _MIB,
    REPORT: 8 * _MIB,
    ENCODER_FILES[0]: 256 * _MIB,
    ENCODER_FILES[1]: 64 * _MIB,
    ENCODER_FILES[2]: _MIB,
    DRAFT: 64 * _MIB,
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
    """Which encoder the heads were fitted on, and what the draft beside it learnt from, as `Distillation` tells it."""

    name: str
    dim: int
    sha256: str
    draft_files: dict[str, dict[str, str]] = {}


class TaskEvidence(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whether what prompts themselves say beats what their task says, on n prompts of a task that were held out.

    Attributes:
        n: Prompts, by how probable the task was.
        gain: What the loss is less on average: log-loss in nats for quality, squared logarithm of a ratio for cost.
        low: Lower end of its 95 % interval, by a bootstrap over groups of prompts, and
        high: the upper one.
        kept: Whether it counts: `low` is above 0.
    """

    n: float
    gain: float
    low: float
    high: float
    kept: bool


class HeadsRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `quality.safetensors` holds: of which models, and what it was worth by task, for quality and for cost."""

    models: list[str]
    quality: dict[str, TaskEvidence]
    cost: dict[str, TaskEvidence]

    def __post_init__(self) -> None:
        if not self.models or len(set(self.models)) != len(self.models):
            raise ValueError("models must be one or more, each once")


class FirstTierRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the first tier was worth on n prompts that were held out.

    Attributes:
        threshold: Probability of the likeliest task from which its answer stands.
        n: The prompts, seen neither by the draft encoder nor by the full one.
        share: Share of them that it answers.
        lost: Accuracy that is lost by that against the full classifier on all, in [−1, 1].
    """

    threshold: Annotated[float, msgspec.Meta(ge=0, le=1)]
    n: int
    share: float
    lost: float


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
        heads: What prompts themselves say of the models; None: nothing was learnt, or nothing that counts.
        usd_per_point: What a point of quality is worth where it is balanced with cost; None: as without a benchmark.
        risk: What switching to cheaper models lost; None: not measured.
        first: Of the first tier, whose weights stand in `classifier.safetensors`; None: there is none.
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
    heads: HeadsRecord | None = None
    usd_per_point: float | None = None
    risk: RiskCurve | None = None
    first: FirstTierRecord | None = None

    def __post_init__(self) -> None:
        if len(set(self.labels)) != len(self.labels) or len(self.labels) < 2:  # noqa: PLR2004
            raise ValueError("labels must be two or more, each once")
        if not (self.temperature > 0 and 0 <= self.threshold <= 1):
            raise ValueError("temperature must be positive and threshold in [0, 1]")
        if self.usd_per_point is not None and not 0 < self.usd_per_point < math.inf:
            raise ValueError("usd_per_point must be positive and finite")
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
        calibration: What its benchmark taught, beside the profiles; without heads where there is no classifier.
        problems: What is missing or failed, in plain sentences.
    """

    folder: Path
    sha256: str
    manifest: Manifest
    profiles: tuple[ModelProfile, ...]
    classifier: TaskClassifier | None
    rules: KeywordRules
    calibration: Calibration = UNCALIBRATED
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


def load_artifact(
    folder: Path, *, sha256: str | None = None, on_error: Literal["raise", "keywords"] = "raise", eager: bool = False
) -> Artifact:
    """Load and verify a model folder.

    Every file is read once; its bytes are hashed, compared with the manifest and then parsed. The hashes catch damage
    and mix-ups, not somebody who rewrites both: pin the manifest with `sha256` for that.

    Args:
        folder: The folder.
        sha256: What the manifest must hash to.
        on_error: `keywords`: where classifier or encoder cannot be loaded, go on with the keyword rules and say so in
            `problems`. Profiles are needed in any case.
        eager: Open the encoder's graph and compare its vectors with the recorded ones now, not only when the first prompt
            comes that the first tier is not sure of.

    Raises:
        ArtifactError: If it is missing, damaged, altered, too large or of another version, with the remedy.
    """
    reader = _Reader(folder, sha256=sha256)
    manifest = reader.manifest
    profiles = _parse(reader.read(PROFILES), list[ModelProfile], PROFILES)
    if len({profile.name for profile in profiles}) != len(profiles) or not profiles:
        raise ArtifactError(f"{PROFILES} must name one or more models, each once; {_REMEDY}")
    problems: list[str] = []
    classifier, rules, heads = None, default_rules(), None
    try:
        for path in (REPORT, REFERENCE):  # what only people and the pipeline look at must be sound, too
            if path == REPORT or path in reader.entries:
                reader.read(path)
        rules = _parse(reader.read(KEYWORDS), KeywordRules, KEYWORDS)
        classifier = _load_classifier(reader, eager=eager)
        heads = _load_heads(reader)
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
        calibration=_calibrate(manifest, heads),
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


def _load_classifier(reader: _Reader, *, eager: bool) -> TaskClassifier:
    manifest = reader.manifest
    arrays = reader.read_arrays(CLASSIFIER)
    labels, dim = len(manifest.labels), manifest.encoder.dim
    _check_shapes(CLASSIFIER, arrays, {**_head_shapes(dim, labels), "canaries": (len(manifest.canaries), dim)})
    encoder = _load_encoder(
        reader, verify=partial(_check_canaries, texts=tuple(manifest.canaries), recorded=arrays["canaries"])
    )
    first = None if manifest.first is None else _load_first(manifest, manifest.first.threshold, encoder, arrays)
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


def _load_first(
    manifest: Manifest, threshold: float, encoder: OnnxEncoder, arrays: Mapping[str, NDArray[np.float32]]
) -> FirstTier:
    draft, labels = encoder.draft, len(manifest.labels)
    if draft is None:
        raise ArtifactError(f"{MANIFEST} tells of a first tier, but there is no {DRAFT}; {_REMEDY}")
    shapes = {"weights": (draft.dim, labels), "bias": (labels,), "canaries": (len(manifest.canaries), draft.dim)}
    _check_shapes(CLASSIFIER, arrays, {f"first.{name}": shape for name, shape in shapes.items()})
    _check_canaries(draft, texts=manifest.canaries, recorded=arrays["first.canaries"])
    heads = manifest.heads
    heeded = (
        {task for evidence in (heads.quality, heads.cost) for task in evidence if evidence[task].kept} if heads else set()
    )
    return FirstTier(
        encoder=draft,
        weights=arrays["first.weights"],
        bias=arrays["first.bias"],
        threshold=threshold,
        tasks=frozenset(manifest.labels) - heeded,
    )


def _load_heads(reader: _Reader) -> PromptHeads | None:
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


def _calibrate(manifest: Manifest, heads: PromptHeads | None) -> Calibration:
    usd = manifest.usd_per_point
    presets = UNCALIBRATED.presets if usd is None else make_presets(usd)
    return Calibration(heads=heads, presets=presets, risk=manifest.risk)


def _head_shapes(dim: int, outputs: int) -> dict[str, tuple[int, ...]]:
    rows = (dim, BUCKETS, len(SURFACE))
    return {name: (n, outputs) for name, n in zip(HEAD_BLOCKS, rows, strict=False)} | {"bias": (outputs,)}


def _check_shapes(path: str, arrays: Mapping[str, NDArray[Any]], shapes: Mapping[str, tuple[int, ...]]) -> None:
    for name, shape in shapes.items():
        if name not in arrays or arrays[name].shape != shape or arrays[name].dtype != np.float32:
            found = describe_arrays(arrays).get(name, "missing")
            raise ArtifactError(f"{path}: {name} must be float32 of shape {shape}, was {found}; {_REMEDY}")


def _load_encoder(reader: _Reader, *, verify: Callable[[OnnxEncoder], None]) -> OnnxEncoder:
    model, tokenizer, record = (reader.read(path) for path in ENCODER_FILES)
    return OnnxEncoder(
        _parse(record, EncoderRecord, ENCODER_FILES[2]),
        model=model,
        tokenizer=tokenizer,
        draft=reader.read_arrays(DRAFT) if DRAFT in reader.entries else None,
        verify=verify,
    )


def _check_canaries(encoder: Encoder, *, texts: Sequence[str], recorded: NDArray[np.float32]) -> None:
    """See that this machine's arithmetic gives the vectors that the heads were fitted on."""
    try:
        vectors = encoder.encode(texts)
    except Exception as error:
        raise EncoderError(f"the encoder does not run on this machine: {error}") from error
    if vectors.shape != recorded.shape:
        raise ArtifactError(f"the encoder must give vectors of shape {recorded.shape}, was {vectors.shape}; {_REMEDY}")
    lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(recorded, axis=1)
    worst = float(((vectors * recorded).sum(axis=1) / np.maximum(lengths, 1e-12)).min(initial=1.0))
    if not worst >= _CANARY_COSINE:  # written so that NaN is refused, too
        raise ArtifactError(
            f"the encoder must give the recorded vectors (cosine at least {_CANARY_COSINE}), the worst was {worst:.4f}; "
            f"it is not the one the classifier was fitted on, or this machine computes otherwise: {_REMEDY}"
        )
