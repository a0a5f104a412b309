"""The parts of a training run in, the manifest of its model folder out."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version

from router import __version__
from router.classify.encoder import OnnxEncoder
from router.model_folder.manifest import EncoderIdentity, Manifest
from training.classifier.first_tier import FittedFirstTier
from training.classifier.fit import FittedClassifier
from training.inputs import TrainingInputs
from training.quality.fit import FittedScoring

# Texts whose vectors are stored in the model folder. Every load encodes them again to check the encoder. They are short,
# because that takes time, and of three kinds: prose, code, and another language.
CANARIES = (
    "Translate 'good morning' into Japanese.",
    "def mean(xs): return sum(xs) / len(xs)  # fails on []",
    "¿qué tiempo hará mañana en Lisboa?",
)

# Other versions of these packages can give other numbers.
_PACKAGES = ("numpy", "onnxruntime", "tokenizers", "scikit-learn")


def make_manifest(
    inputs: TrainingInputs,
    encoder: OnnxEncoder,
    fitted: FittedClassifier,
    first: FittedFirstTier | None,
    scoring: FittedScoring,
    *,
    metrics: Mapping[str, float],
    seed: int,
) -> Manifest:
    """Return the manifest of a training run. Its list of files is still empty.

    Args:
        inputs: The data of the run.
        encoder: The encoder of the model folder.
        fitted: The classifier.
        first: The first tier. None if there is none.
        scoring: What the benchmark taught.
        metrics: Held-out scores by name.
        seed: Seed of the run.
    """
    draft = encoder.record.draft
    return Manifest(
        format=1,
        created=_now(),
        versions=_versions(),
        seed=seed,
        labels=list(fitted.labels),
        temperature=round(fitted.temperature, 6),
        threshold=fitted.threshold,
        metrics=dict(metrics),
        training_data=list(inputs.files),
        encoder=EncoderIdentity(
            name=encoder.name, dim=encoder.dim, sha256=encoder.sha256, draft_files=draft.files if draft else {}
        ),
        canaries=list(CANARIES),
        files=[],
        heads=scoring.record,
        usd_per_point=scoring.usd_per_point,
        risk=scoring.risk,
        overlap=scoring.overlap,
        first=first.record if first else None,
    )


def _versions() -> dict[str, str]:
    packages = {name: version(name) for name in _PACKAGES}
    return {"contextual-llm-router": __version__, "python": platform.python_version()} | packages


def _now() -> str:
    """Return the time as ISO 8601 in UTC.

    `SOURCE_DATE_EPOCH` replaces it, so that two runs can give the same bytes (https://reproducible-builds.org).
    """
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    moment = datetime.fromtimestamp(int(epoch), UTC) if epoch else datetime.now(UTC)
    return moment.isoformat(timespec="seconds")
