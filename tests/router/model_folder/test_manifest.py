import json
from pathlib import Path

import pytest

from router.model_folder.manifest import PROFILES
from tests.router.model_folder.damages import (
    Damage,
    check_refused,
    manifest,
    with_entry,
)

FIRST = {"threshold": 0.7, "n": 200, "share": 0.5, "lost": 0.004}
MISFIT = "does not fit its schema"
DAMAGES: dict[str, tuple[Damage, str]] = {
    "format true": (manifest(format=True), MISFIT),
    "manifest deep inside": (manifest(metrics=json.loads("[" * 400 + "]" * 400)), MISFIT),
    "unknown key": (manifest(extra=1), MISFIT),
    "path twice": (with_entry(PROFILES), "files must name each path once"),
    "labels repeated": (manifest(labels=["math"] * 14), "labels must be two or more, each once"),
    "one label": (manifest(labels=["math"]), "labels must be two or more"),
    "threshold over 1": (manifest(threshold=1.5), "threshold between 0 and 1, got .* threshold 1.5"),
    "temperature zero": (manifest(temperature=0), "temperature must be above 0"),
    "first tier's threshold over 1": (manifest(first=FIRST | {"threshold": 1.01}), MISFIT),
}  # fmt: skip


@pytest.mark.parametrize(("damage", "rule"), DAMAGES.values(), ids=DAMAGES)
def test_a_manifest_that_breaks_a_rule_is_refused(folder: Path, damage: Damage, rule: str) -> None:
    check_refused(folder, damage, rule)
