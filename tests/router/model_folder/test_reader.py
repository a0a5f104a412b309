import hashlib
from pathlib import Path

import numpy as np
import pytest

from router import ModelFolderError
from router.model_folder.load import load_model_folder
from router.model_folder.manifest import CLASSIFIER, DRAFT, KEYWORDS, MANIFEST, PROFILES
from tests.router.model_folder.damages import (
    GRAPH,
    MIB,
    Damage,
    arrays,
    as_link,
    check_refused,
    draft,
    flip_last_bit,
    manifest,
    profiles,
    put,
    rehash,
    replace_by_folder,
    stale_description,
    with_change,
    with_content,
    with_entry,
    with_nan,
    with_size,
    without_entry,
)

FOREIGN = "do not belong in a model folder"
DAMAGED = "is damaged or altered"
DAMAGES: dict[str, tuple[Damage, str]] = {
    "no manifest": (lambda folder: (folder / MANIFEST).unlink(), "lacks manifest.json"),
    "truncated": (with_change(CLASSIFIER, lambda content: content[:-1]), DAMAGED),
    "emptied": (with_content(KEYWORDS, b""), DAMAGED),
    "grown": (with_change(PROFILES, lambda content: content + b" "), DAMAGED),
    "a byte altered": (with_change(GRAPH, flip_last_bit), DAMAGED),
    "manifest too large": (with_size(MANIFEST, MIB + 1), "manifest.json must be at most 1048576 bytes, got 1048577"),
    "profiles too large": (with_size(PROFILES, 8 * MIB + 1), "profiles.json must be at most 8388608 bytes, got 8388609"),
    "classifier too large": (with_size(CLASSIFIER, 64 * MIB + 1), "must be at most 67108864 bytes"),
    "graph too large": (with_size(GRAPH, 256 * MIB + 1), "must be at most 268435456 bytes"),
    "format 2": (manifest(format=2), "model folders of format 1, got 2"),
    "format lacking": (with_content(MANIFEST, b"{}"), "format 1, got None"),
    "manifest cut off": (with_change(MANIFEST, lambda content: content[:-9]), "must be a JSON object"),
    "manifest not UTF-8": (with_content(MANIFEST, b"\xff\xfe"), "must be a JSON object"),
    "manifest an array": (with_content(MANIFEST, b"[1]"), "must be a JSON object"),
    "manifest deep": (with_content(MANIFEST, b"[" * 100_000), "must be a JSON object"),
    "a huge number": (with_content(MANIFEST, b'{"format": ' + b"1" * 5000 + b"}"), "manifest"),
    "unknown file": (with_entry("setup.py"), FOREIGN),
    "path that climbs": (with_entry("../x"), FOREIGN),
    "path that climbs and returns": (with_entry("encoder/../profiles.json"), FOREIGN),
    "absolute path": (with_entry("/etc/passwd"), FOREIGN),
    "manifest in itself": (with_entry(MANIFEST), FOREIGN),
    "profiles not named": (without_entry(PROFILES), "does not name profiles.json"),
    "keywords not named": (without_entry(KEYWORDS), "does not name keywords.json"),
    "linked manifest": (as_link(MANIFEST), "must not be a symbolic link"),
    "linked file": (as_link(PROFILES), "must not be a symbolic link"),
    "linked graph": (as_link(GRAPH), "must not be a symbolic link"),
    "linked encoder": (as_link("encoder"), "must not be a symbolic link"),
    "no profiles": (lambda folder: (folder / PROFILES).unlink(), "lacks profiles.json"),
    "no graph": (lambda folder: (folder / GRAPH).unlink(), "lacks encoder/model.onnx"),
    "folder for a file": (replace_by_folder, "lacks keywords.json"),
    "not safetensors": (lambda folder: (put(folder / CLASSIFIER, b"x" * 99), rehash(folder)), "cannot be read"),
    "NaN": (arrays(lexical=with_nan), "must hold only finite numbers"),
    "infinite": (arrays(bias=lambda a: a + np.float32("inf")), "must hold only finite numbers"),
    "stale description": (stale_description, "by dtype and shape"),
    "draft altered": (with_change(DRAFT, flip_last_bit), DAMAGED),
    "draft too large": (with_size(DRAFT, 64 * MIB + 1), "must be at most 67108864 bytes"),
    "draft of no numbers": (draft(bias=lambda a: a * np.float32("nan")), "must hold only finite numbers"),
}  # fmt: skip


@pytest.mark.parametrize(("damage", "rule"), DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_or_altered_file_is_refused(folder: Path, damage: Damage, rule: str) -> None:
    check_refused(folder, damage, rule)


@pytest.mark.parametrize("name", ["nowhere", "file"])
def test_a_path_that_is_not_a_folder_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ModelFolderError, match="is not a folder"):
        load_model_folder(tmp_path / name)


def test_a_link_to_the_folder_itself_is_followed(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(folder)
    assert load_model_folder(tmp_path / "link").problems == ()


def test_a_matching_pin_is_accepted_in_either_case_and_another_one_is_refused(folder: Path) -> None:
    pin = hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()
    assert load_model_folder(folder, sha256=pin.upper()).sha256 == pin
    profiles(input_usd_per_mtok=0)(folder)  # consistent, but another manifest
    assert load_model_folder(folder).sha256 != pin
    with pytest.raises(ModelFolderError, match=f"must hash to the pinned {pin}"):
        load_model_folder(folder, sha256=pin)
