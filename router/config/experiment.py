"""The table `[experiment]` of a configuration in, one kind of experiment out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from router.errors import ConfigError, InputError
from router.experiment.kinds import AbTest, Bandit, Experiment, Shadow

_KINDS: Mapping[str, type[Shadow] | type[AbTest] | type[Bandit]] = {"shadow": Shadow, "ab": AbTest, "bandit": Bandit}
# A file cannot name a function.
_IN_PYTHON_ONLY = ("tell",)


def read_experiment(path: Path, raw: Mapping[str, Any]) -> Experiment:
    """Return the experiment that a table describes.

    Args:
        path: The file, for messages.
        raw: The table.

    Raises:
        ConfigError: If its kind or a key is unknown, a key is missing, or a value breaks a rule.
    """
    kind = _KINDS.get(str(raw.get("kind")))
    if kind is None:
        raise ConfigError(f"{path}: experiment.kind must be one of {', '.join(_KINDS)}, got {raw.get('kind')!r}")
    known = {one.name: one for one in fields(kind) if one.name not in _IN_PYTHON_ONLY}
    values = {name: value for name, value in raw.items() if name != "kind"}
    unknown = [name for name in values if name not in known]
    if unknown:
        raise ConfigError(f"{path}: experiment.{unknown[0]} is unknown; known: {', '.join(known)}")
    missing = [name for name, one in known.items() if name not in values and one.default is one.default_factory is MISSING]
    if missing:
        raise ConfigError(f"{path}: experiment.{missing[0]} is missing; add it")
    try:
        return kind(**values)
    except InputError as error:
        raise ConfigError(f"{path}: experiment: {error}") from error
