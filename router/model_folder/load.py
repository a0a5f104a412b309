"""The path of a model folder comes in, a `ModelFolder` goes out. Everything in the folder is data. No code is run."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from router.classify.classifier import TaskClassifier
from router.classify.heads import PromptHeads
from router.classify.keywords import KeywordRules, default_rules
from router.errors import EncoderError, ModelFolderError
from router.model_folder.classifier import load_classifier, load_heads
from router.model_folder.manifest import KEYWORDS, MANIFEST, PROFILES, REFERENCE, REPORT, VECTORS, Manifest
from router.model_folder.reader import REMEDY, FolderReader, parse_json
from router.score.parameters import DEFAULT_PARAMETERS, ScoringParameters, make_presets
from router.types import ModelProfile

# The environment variable that names the default folder.
ENVIRONMENT_VARIABLE = "LLM_ROUTER_MODEL"

_log = logging.getLogger("contextual_llm_router")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFolder:
    """A loaded model folder.

    Attributes:
        folder: The path it was loaded from.
        sha256: Hash of its manifest. It pins the whole folder.
        manifest: The manifest.
        profiles: The models, in the order of `profiles.json`.
        classifier: The classifier. None if it could not be loaded and keyword rules replace it.
        rules: The keyword rules.
        parameters: The scoring parameters from its benchmark. Without a classifier they have no heads.
        problems: Missing or failed parts, as plain sentences.
    """

    folder: Path
    sha256: str
    manifest: Manifest
    profiles: tuple[ModelProfile, ...]
    classifier: TaskClassifier | None
    rules: KeywordRules
    parameters: ScoringParameters = DEFAULT_PARAMETERS
    problems: tuple[str, ...] = ()


def find_model_folder() -> Path:
    """Return the default folder: `$LLM_ROUTER_MODEL`, that of the installed package, or that of the checkout.

    Raises:
        ModelFolderError: If there is none of them.
    """
    package = Path(__file__).parent.parent
    named = os.environ.get(ENVIRONMENT_VARIABLE)
    if named:
        return Path(named)
    for folder in (package / "_default_model", package.parent / "models" / "default"):
        if (folder / MANIFEST).is_file():
            return folder
    raise ModelFolderError(f"no model folder found: ${ENVIRONMENT_VARIABLE} is not set and none is shipped; {REMEDY}")


def load_model_folder(
    folder: Path, *, sha256: str | None = None, on_error: Literal["raise", "keywords"] = "raise", eager: bool = False
) -> ModelFolder:
    """Load and verify a model folder.

    Every file is read once. Its bytes are hashed, compared with the manifest and then parsed. The hashes detect damage and
    mixed-up files, but not an attacker who rewrites the manifest too. Use `sha256` to detect that.

    Args:
        folder: The folder.
        sha256: Expected hash of the manifest. None: any manifest.
        on_error: `keywords` falls back to the keyword rules if classifier or encoder cannot be loaded, and adds a sentence
            to `problems`. The profiles are needed in any case.
        eager: Open the encoder's graph and compare its vectors with the recorded ones now. Otherwise this waits for the
            first prompt of which the first tier is not sure.

    Raises:
        ModelFolderError: If a file is missing, damaged, altered, too large or of another version. It names the remedy.
    """
    reader = FolderReader(folder, sha256=sha256)
    profiles = _read_profiles(reader)
    problems: list[str] = []
    classifier, rules, heads = None, default_rules(), None
    try:
        _check_unused_files(reader, eager=eager)
        rules = parse_json(reader.read(KEYWORDS), KeywordRules, KEYWORDS)
        classifier = load_classifier(reader, eager=eager)
        # Last, because the heads need features that only the classifier computes.
        heads = load_heads(reader)
    except (ModelFolderError, EncoderError) as error:
        # An encoder that does not run here is no fault of the folder, so keyword rules replace it without being asked for.
        if on_error == "raise" and isinstance(error, ModelFolderError):
            raise
        problems.append(f"the classifier could not be loaded, so keyword rules decide: {error}")
        _log.warning("%s", problems[-1])
    return ModelFolder(
        folder=folder,
        sha256=reader.sha256,
        manifest=reader.manifest,
        profiles=profiles,
        classifier=classifier,
        rules=rules,
        parameters=_make_parameters(reader.manifest, heads),
        problems=tuple(problems),
    )


def load_profiles(folder: Path) -> tuple[ModelProfile, ...]:
    """Return the models of a folder without its classifier.

    Raises:
        ModelFolderError: If the manifest or the profiles are missing, damaged or altered.
    """
    return _read_profiles(FolderReader(folder, sha256=None))


def _read_profiles(reader: FolderReader) -> tuple[ModelProfile, ...]:
    profiles = parse_json(reader.read(PROFILES), list[ModelProfile], PROFILES)
    if len({profile.name for profile in profiles}) != len(profiles) or not profiles:
        raise ModelFolderError(f"{PROFILES} must name one or more models, each once; {REMEDY}")
    return tuple(profiles)


def _check_unused_files(reader: FolderReader, *, eager: bool) -> None:
    """Raise an error if a file that only people and the pipeline read is damaged.

    The vectors are large and only training reads them, so they are left out unless everything is checked now.
    """
    for path in (REPORT, REFERENCE, *([VECTORS] if eager else [])):
        if path == REPORT or path in reader.entries:
            reader.read(path)


def _make_parameters(manifest: Manifest, heads: PromptHeads | None) -> ScoringParameters:
    usd = manifest.usd_per_point
    presets = DEFAULT_PARAMETERS.presets if usd is None else make_presets(usd)
    return ScoringParameters(heads=heads, presets=presets, risk=manifest.risk, overlap=manifest.overlap)
