"""A training run's result, written as a model folder: all of it or nothing."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from safetensors.numpy import save

from router import __version__
from router.artifacts import (
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
    FileEntry,
    FirstTierRecord,
    Manifest,
    describe_arrays,
    load_artifact,
)
from router.encoder import OnnxEncoder
from router.heads import PromptHeads
from router.keywords import KeywordRules
from router.types import ModelProfile
from training.classifier import FOLDS, FittedClassifier
from training.datasets import DatasetError
from training.drift import Reference, to_arrays
from training.evaluate import Quality, TaskQuality
from training.first import FittedFirst
from training.report import table_evidence, table_qualities, table_tasks

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Encoded again whenever a folder is loaded; short, for that costs time.
CANARIES = (
    "Translate 'good morning' into Japanese.",
    "def mean(xs): return sum(xs) / len(xs)  # fails on []",
    "¿qué tiempo hará mañana en Lisboa?",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """What a training run learnt and how it scored.

    Attributes:
        manifest: The manifest of the folder.
        profiles: The models.
        qualities: The classifier's, held out, and the baselines' on the same folds.
        tasks: Of each task, held out.
        notes: What a reader should know of the data.
        reference: What prompts looked like, for comparing later ones with.
        heads: What prompts themselves say of the models; None where no task heeds them.
        first: The first tier; None where none is worth having.
    """

    manifest: Manifest
    profiles: Sequence[ModelProfile]
    qualities: Sequence[Quality]
    tasks: Sequence[TaskQuality]
    notes: Sequence[str]
    reference: Reference
    heads: PromptHeads | None = None
    first: FittedFirst | None = None


def check_replaceable(out: Path) -> None:
    """Refuse to replace what is not a model folder, before the work begins.

    Raises:
        DatasetError: If something else is there, or a file lies above.
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


def write_artifact(
    out: Path, training: Training, fitted: FittedClassifier, rules: KeywordRules, encoder: OnnxEncoder, source: Path
) -> None:
    """Write the folder beside `out`, load it as a user would, and put it in place.

    Args:
        out: The folder; an older model folder there is replaced.
        training: What was learnt; its manifest names no files yet.
        fitted: The classifier.
        rules: The keyword rules.
        encoder: The encoder it was fitted on, and
        source: the folder that one came from.

    Raises:
        ArtifactError: If what was written does not load; `out` is as it was.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as scratch:
        folder = Path(scratch) / "new"
        (folder / "encoder").mkdir(parents=True)
        for path in ENCODER_FILES:
            shutil.copyfile(source / Path(path).name, folder / path)
        arrays: dict[str, Mapping[str, NDArray[Any]]] = {
            CLASSIFIER: _to_arrays(fitted, encoder) | _first_to_arrays(training.first, encoder),
            REFERENCE: to_arrays(training.reference),
        }
        if encoder.draft is not None:
            arrays[DRAFT] = encoder.draft.arrays
        if training.heads is not None:
            arrays[QUALITY] = _heads_to_arrays(training.heads)
        for path, tensors in arrays.items():
            (folder / path).write_bytes(save(dict(tensors)))
        (folder / PROFILES).write_bytes(_to_json(training.profiles))
        (folder / KEYWORDS).write_bytes(_to_json(rules))
        (folder / REPORT).write_text(write_report(training), encoding="utf-8")
        written = [path for path in sorted(SIZE_CAPS) if (folder / path).is_file()]
        entries = [_describe_file(folder, path, arrays.get(path, {})) for path in written]
        (folder / MANIFEST).write_bytes(_to_json(msgspec.structs.replace(training.manifest, files=entries)))
        load_artifact(folder, eager=True)
        if out.exists():
            out.rename(Path(scratch) / "old")
        try:
            folder.rename(out)
        except OSError:
            if (old := Path(scratch) / "old").exists():
                old.rename(out)
            raise


def _to_arrays(fitted: FittedClassifier, encoder: OnnxEncoder) -> dict[str, NDArray[np.float32]]:
    heads = fitted.heads
    arrays = {"embedding": heads.embedding, "lexical": heads.lexical, "surface": heads.surface, "bias": heads.bias}
    return {name: np.ascontiguousarray(array) for name, array in arrays.items()} | {"canaries": encoder.encode(CANARIES)}


def _first_to_arrays(first: FittedFirst | None, encoder: OnnxEncoder) -> dict[str, NDArray[np.float32]]:
    if first is None or encoder.draft is None:
        return {}
    arrays = {"weights": first.layer.weights, "bias": first.layer.bias, "canaries": encoder.draft.encode(CANARIES)}
    return {f"first.{name}": np.ascontiguousarray(array) for name, array in arrays.items()}


def _heads_to_arrays(heads: PromptHeads) -> dict[str, NDArray[np.float32]]:
    layers = {"quality": heads.quality, "cost": heads.cost}
    arrays = {f"{kind}.{block}": getattr(layer, block) for kind, layer in layers.items() for block in HEAD_BLOCKS}
    return {name: np.ascontiguousarray(array) for name, array in arrays.items()}


def _describe_file(folder: Path, path: str, arrays: Mapping[str, NDArray[Any]]) -> FileEntry:
    content = (folder / path).read_bytes()
    return FileEntry(
        path=path,
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        tensors=describe_arrays(arrays),
    )


def _to_json(value: Any) -> bytes:
    """Return pretty JSON whose bytes depend on nothing but the value: floats to six digits, sets in order."""
    plain = _round(msgspec.to_builtins(value, order="deterministic"))
    return msgspec.json.format(msgspec.json.encode(plain), indent=1) + b"\n"


def _round(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {key: _round(item) for key, item in value.items()}
    return [_round(item) for item in value] if isinstance(value, list) else value


def _tell_first(record: FirstTierRecord | None) -> list[str]:
    if record is None:
        return []
    return [
        "## The first tier",
        "",
        f"Where it is at least {record.threshold:.2f} sure, its answer stands: of {record.n} prompts held out that is "
        f"{record.share:.0%}, and",
        f"{record.lost * 100:.1f} points of accuracy are lost by it against the full classifier on all of them.",
        "",
    ]


def _tell_heads(manifest: Manifest) -> list[str]:
    lines = []
    if manifest.heads is not None:
        lines = [
            "## What prompts say beyond their task",
            "",
            "Of prompts held out, 5 folds by group: what heeding the prompt itself gains over the table of tasks, in the",
            "log-loss of quality (nats) and in half the squared logarithm of the ratio of cost, with 95 % bootstrap",
            "intervals; kept where the lower end is above 0.",
            "",
            *table_evidence(manifest.heads),
            "",
        ]
    if manifest.usd_per_point is not None:
        told = (
            f"`balanced` pays {manifest.usd_per_point:.3g} USD for a point of quality, `cheap` a tenth of that: at the knee"
        )
        lines += ["## The dial", "", f"{told} of the curve of expected quality and cost.", ""]
    return lines


def write_report(training: Training) -> str:
    """Return the model card: data, figures beside baselines, limits."""
    manifest = training.manifest
    lines = [
        "# Model card",
        "",
        f"Created {manifest.created} by contextual-llm-router {__version__}, seed {manifest.seed}; generated, do not edit.",
        "",
        "## Learnt from",
        "",
        *(
            f"- {data.name}: {data.rows} rows, licence {data.licence or 'not named'}, sha256 `{data.sha256}`"
            for data in manifest.training_data
        ),
        f"- encoder {manifest.encoder.name}, {manifest.encoder.dim} dimensions, sha256 `{manifest.encoder.sha256}`",
        *(
            f"- draft of the first tier: texts of {name}" + (f" ({', '.join(sources)})" if sources else "")
            for name, sources in manifest.encoder.draft_files.items()
        ),
        "",
        "## Held out",
        "",
        f"{FOLDS}-fold cross-validation by group, n = {training.qualities[0].n}, seed {manifest.seed}, "
        "95 % bootstrap intervals:",
        "",
        *table_qualities(training.qualities),
        "",
        f"Expected calibration error {manifest.metrics['calibration error']:.3f}; unsure below a confidence of "
        f"{manifest.threshold:.2f} ({manifest.metrics['share unsure']:.0%} of the prompts).",
        "",
        *table_tasks(training.tasks),
        "",
        *_tell_first(manifest.first),
        f"## Models ({len(training.profiles)})",
        "",
        "Expected quality per task with standard error and the number of scored prompts behind it (0: inferred from the",
        "model's level and the task's) stands in `profiles.json`.",
        "",
        *_tell_heads(manifest),
        "## Limits",
        "",
        "- Prompts of another kind than the training ones are classified worse than the table says: measure on your own.",
        "- Qualities are as good as the benchmark: they order models on its prompts, not on yours.",
        *(f"- {note}" for note in training.notes),
        "",
    ]
    return "\n".join(lines)
