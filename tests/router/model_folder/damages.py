"""Ways to damage a model folder, with its hashes kept right or not."""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load, save

from router import ModelFolderError
from router.classify.features import BUCKETS, SURFACE
from router.model_folder.load import load_model_folder
from router.model_folder.manifest import CLASSIFIER, DRAFT, KEYWORDS, MANIFEST, PROFILES, QUALITY, describe_arrays

MIB = 1 << 20
GRAPH = "encoder/model.onnx"
Damage = Callable[[Path], object]


def put(file: Path, content: bytes) -> None:
    """Write a file instead of a hard link."""
    file.unlink(missing_ok=True)
    file.write_bytes(content)


def edit_manifest(folder: Path, **changes: object) -> None:
    put(folder / MANIFEST, json.dumps(json.loads((folder / MANIFEST).read_bytes()) | changes).encode())


def entries(folder: Path) -> dict[str, dict[str, Any]]:
    return {entry["path"]: entry for entry in json.loads((folder / MANIFEST).read_bytes())["files"]}


def rewrite(folder: Path, path: str, content: bytes) -> None:
    """Write a file and correct the manifest, as an attacker would."""
    put(folder / path, content)
    tensors = describe_arrays(load(content)) if path in (CLASSIFIER, QUALITY, DRAFT) else {}
    entry = {"path": path, "size": len(content), "sha256": hashlib.sha256(content).hexdigest(), "tensors": tensors}
    edit_manifest(folder, files=list((entries(folder) | {path: entry}).values()))


def with_change(path: str, change: Callable[[bytes], bytes]) -> Damage:
    return lambda folder: put(folder / path, change((folder / path).read_bytes()))


def with_content(path: str, content: bytes) -> Damage:
    return lambda folder: put(folder / path, content)


def with_size(path: str, size: int) -> Damage:
    def damage(folder: Path) -> None:
        put(folder / path, b"")
        os.truncate(folder / path, size)  # a sparse file takes no space

    return damage


def manifest(**changes: object) -> Damage:
    return lambda folder: edit_manifest(folder, **changes)


def with_entry(path: str, **changes: object) -> Damage:
    entry = {"path": path, "size": 0, "sha256": "", "tensors": {}}
    return lambda folder: edit_manifest(folder, files=[*entries(folder).values(), entry | changes])


def without_entry(path: str) -> Damage:
    return lambda folder: edit_manifest(folder, files=[e for name, e in entries(folder).items() if name != path])


def arrays(**changes: Callable[[Any], Any] | None) -> Damage:
    """Change arrays of the classifier and correct the manifest. None removes an array."""

    def damage(folder: Path) -> None:
        found = load((folder / CLASSIFIER).read_bytes())
        changed = {name: np.ascontiguousarray(change(found[name])) for name, change in changes.items() if change}
        rewrite(folder, CLASSIFIER, save({k: v for k, v in (found | changed).items() if changes.get(k, save)}))

    return damage


def draft(**changes: Callable[[Any], Any]) -> Damage:
    """Change arrays of the draft and correct the manifest."""

    def damage(folder: Path) -> None:
        found = load((folder / DRAFT).read_bytes())
        rewrite(folder, DRAFT, save(found | {name: change(found[name]) for name, change in changes.items()}))

    return damage


def profiles(**changes: object) -> Damage:
    """Change the first model and correct the manifest."""

    def damage(folder: Path) -> None:
        first, *rest = json.loads((folder / PROFILES).read_bytes())
        rewrite(folder, PROFILES, json.dumps([first | changes, *rest]).encode())

    return damage


def with_file(path: str, content: bytes) -> Damage:
    return lambda folder: rewrite(folder, path, content)


def as_link(path: str) -> Damage:
    def damage(folder: Path) -> None:
        (folder / path).rename(folder.parent / "elsewhere")
        (folder / path).symlink_to(folder.parent / "elsewhere")

    return damage


def replace_by_folder(folder: Path) -> None:
    (folder / KEYWORDS).unlink()
    (folder / KEYWORDS).mkdir()


def stale_description(folder: Path) -> None:
    named = entries(folder)
    named[CLASSIFIER]["tensors"]["bias"] = "float32 99"
    edit_manifest(folder, files=list(named.values()))


def flip_last_bit(content: bytes) -> bytes:
    return content[:-1] + bytes([content[-1] ^ 1])


def with_nan(array: Any) -> Any:
    return np.where(np.arange(array.size).reshape(array.shape) == 0, np.nan, array).astype(array.dtype)


def rehash(folder: Path) -> None:
    """Correct size and hash of the classifier, without reading its arrays."""
    content, named = (folder / CLASSIFIER).read_bytes(), entries(folder)
    named[CLASSIFIER] |= {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    edit_manifest(folder, files=list(named.values()))


def check_refused(folder: Path, damage: Damage, rule: str) -> None:
    """Assert that a damaged folder is refused with the broken rule and a remedy."""
    damage(folder)
    with pytest.raises(ModelFolderError, match=rule) as refused:
        load_model_folder(folder, eager=True)
    assert "llm-router-train" in str(refused.value) or "copy the file itself" in str(refused.value)


EVIDENCE = {"n": 90.0, "gain": 0.02, "low": 0.01, "high": 0.03, "kept": True}
HEADS = {"models": ["b", "a"], "quality": {"math": EVIDENCE, "coding": EVIDENCE | {"kept": False}}, "cost": {}}


def add_heads(folder: Path, *, models: int = 2, **changes: Any) -> None:
    """Give a folder heads that prefer "a" in mathematics by one logit, a price of a point and a risk curve."""
    dim = json.loads((folder / MANIFEST).read_bytes())["encoder"]["dim"]
    sizes = {"embedding": (dim, models), "lexical": (BUCKETS, models), "surface": (len(SURFACE), models), "bias": (models,)}
    arrays = {f"{kind}.{name}": np.zeros(size, np.float32) for kind in ("quality", "cost") for name, size in sizes.items()}
    arrays["quality.bias"][-1] = 1.0
    rewrite(folder, QUALITY, save(arrays))
    risk = {"reference": "a", "n": 9, "tolerances": [0.0], "losses": [0.0], "deviations": [0.0], "savings": [0.0]}
    edit_manifest(folder, **({"heads": HEADS, "usd_per_point": 0.002, "risk": risk} | changes))
