"""The names and size limits of the files in a model folder, and the schema of its manifest."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec

from router.classify.encoder_record import DRAFT_FILE, MODEL_FILE, RECORD_FILE, TOKENIZER_FILE
from router.errors import InputError
from router.score.risk import RiskCurve

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Version of the layout. A router refuses every other version.
FORMAT = 1

MANIFEST = "manifest.json"
CLASSIFIER = "classifier.safetensors"
QUALITY = "quality.safetensors"
REFERENCE = "reference.safetensors"
VECTORS = "vectors.safetensors"
PROFILES = "profiles.json"
KEYWORDS = "keywords.json"
REPORT = "report.md"
ENCODER_FILES = (f"encoder/{MODEL_FILE}", f"encoder/{TOKENIZER_FILE}", f"encoder/{RECORD_FILE}")
DRAFT = f"encoder/{DRAFT_FILE}"

# Names of the arrays of one linear layer, in the order of its inputs; the bias last.
HEAD_BLOCKS = ("embedding", "lexical", "surface", "bias")

_MIB = 1 << 20

# The only files that a manifest may name, and the largest size of each in bytes. A limit keeps a damaged or hostile folder
# from filling the memory.
SIZE_CAPS: Mapping[str, int] = {
    MANIFEST: _MIB,
    CLASSIFIER: 64 * _MIB,
    QUALITY: 256 * _MIB,
    REFERENCE: 16 * _MIB,
    VECTORS: 256 * _MIB,
    PROFILES: 8 * _MIB,
    KEYWORDS: 8 * _MIB,
    REPORT: 8 * _MIB,
    ENCODER_FILES[0]: 256 * _MIB,
    ENCODER_FILES[1]: 64 * _MIB,
    ENCODER_FILES[2]: _MIB,
    DRAFT: 64 * _MIB,
}


class FileEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file of a model folder.

    Attributes:
        path: Path inside the folder.
        size: Size in bytes.
        sha256: Hash of the content.
        tensors: `dtype shape` of each array, by name. Empty if the file holds no arrays.
    """

    path: str
    size: int
    sha256: str
    tensors: dict[str, str] = {}


class TrainingData(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file that the model folder was trained on.

    Attributes:
        name: Name of the file.
        licence: Its licence.
        rows: Number of rows.
        sha256: Hash of the content.
    """

    name: str
    licence: str
    rows: int
    sha256: str


class EncoderIdentity(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The encoder that the heads were fitted on.

    Attributes:
        name: The model that it was made from.
        dim: Length of a vector.
        sha256: Hash of the encoder.
        draft_files: Files that its draft was distilled from, as in `DistillationRecord.files`.
    """

    name: str
    dim: int
    sha256: str
    draft_files: dict[str, dict[str, str]] = {}


class TaskEvidence(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whether the text of a prompt predicts better than its task alone, on held-out prompts of one task.

    Attributes:
        n: Number of prompts, each counted with the probability of the task.
        gain: Mean reduction of the loss: log-loss in nats for quality, squared logarithm of a ratio for cost.
        low: Lower end of the 95 % interval of the gain, by a bootstrap over groups of prompts.
        high: Upper end of that interval.
        kept: Whether the router uses it, which is so if `low` is above 0.
    """

    n: float
    gain: float
    low: float
    high: float
    kept: bool


class HeadsRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The content of `quality.safetensors`.

    Attributes:
        models: The models, in the order of the outputs.
        quality: Evidence for the shift of quality, by task.
        cost: Evidence for the shift of cost, by task.
    """

    models: list[str]
    quality: dict[str, TaskEvidence]
    cost: dict[str, TaskEvidence]

    def __post_init__(self) -> None:
        if not self.models or len(set(self.models)) != len(self.models):
            raise InputError(f"heads must name one or more models, each once, got {self.models}")


class FirstTierRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The threshold of the first tier, and its effect on held-out prompts.

    Attributes:
        threshold: Lowest probability of the likeliest task at which the first tier answers.
        n: Number of prompts. Neither the draft encoder nor the full one has seen them.
        share: Share of them that the first tier answers.
        lost: Accuracy lost by that, against the full classifier on all of them, in [−1, 1].
    """

    threshold: Annotated[float, msgspec.Meta(ge=0, le=1)]
    n: int
    share: float
    lost: float


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The content of a model folder, how it was made and how good it is.

    Attributes:
        format: Version of the layout of the folder.
        created: Time of the training, ISO 8601, UTC.
        versions: Versions of the packages it was made with.
        seed: Seed of every random choice.
        labels: The labels of the classifier.
        temperature: Divisor of the logits.
        threshold: A prediction with less confidence counts as unsure, in [0, 1].
        metrics: Figures of the evaluation in training, by name.
        training_data: The files it was trained on.
        encoder: The encoder that the heads belong to.
        canaries: Prompts whose vectors are stored in `classifier.safetensors`. Loading encodes them and compares.
        heads: The shifts by the text of a prompt. None if none were learned or none count.
        usd_per_point: USD that a point of quality is worth under `balanced`. None: the default without a benchmark.
        risk: Measured loss of switching to cheaper models. None if not measured.
        overlap: Share of prompts that are hard or easy for all models alike. None if not measured.
        first: The first tier, whose weights are in `classifier.safetensors`. None if there is none.
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
    overlap: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    first: FirstTierRecord | None = None

    def __post_init__(self) -> None:
        if len(set(self.labels)) != len(self.labels) or len(self.labels) < 2:  # noqa: PLR2004
            raise InputError(f"labels must be two or more, each once, got {self.labels}")
        if not (self.temperature > 0 and 0 <= self.threshold <= 1):
            raise InputError(
                "temperature must be above 0 and threshold between 0 and 1, "
                f"got temperature {self.temperature} and threshold {self.threshold}"
            )
        if self.usd_per_point is not None and not 0 < self.usd_per_point < math.inf:
            raise InputError(f"usd_per_point must be above 0 and finite, got {self.usd_per_point}")
        paths = [entry.path for entry in self.files]
        repeated = sorted({path for path in paths if paths.count(path) > 1})
        if repeated:
            raise InputError(f"files must name each path once, got several of {repeated[:5]}")


def describe_arrays(arrays: Mapping[str, NDArray[Any]]) -> dict[str, str]:
    """Return `dtype shape` of each array, in the form of `FileEntry.tensors`."""
    return {name: f"{array.dtype} {'×'.join(map(str, array.shape))}" for name, array in sorted(arrays.items())}
