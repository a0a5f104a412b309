import hashlib
import json
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load, save

from router import ArtifactError, InputError, Router, artifacts
from router.artifacts import (
    CLASSIFIER,
    DRAFT,
    KEYWORDS,
    MANIFEST,
    PROFILES,
    QUALITY,
    describe_arrays,
    find_artifact,
    load_artifact,
)
from router.encoder import OnnxEncoder
from router.features import BUCKETS, SURFACE

MIB = 1 << 20
GRAPH = "encoder/model.onnx"
Damage = Callable[[Path], object]


def put(file: Path, content: bytes) -> None:
    """Write a file in place of a hard link."""
    file.unlink(missing_ok=True)
    file.write_bytes(content)


def edit_manifest(folder: Path, **changes: object) -> None:
    put(folder / MANIFEST, json.dumps(json.loads((folder / MANIFEST).read_bytes()) | changes).encode())


def entries(folder: Path) -> dict[str, dict[str, Any]]:
    return {entry["path"]: entry for entry in json.loads((folder / MANIFEST).read_bytes())["files"]}


def rewrite(folder: Path, path: str, content: bytes) -> None:
    """Write a file and bring the manifest in line, as somebody does who alters both."""
    put(folder / path, content)
    tensors = describe_arrays(load(content)) if path in (CLASSIFIER, QUALITY, DRAFT) else {}
    entry = {"path": path, "size": len(content), "sha256": hashlib.sha256(content).hexdigest(), "tensors": tensors}
    edit_manifest(folder, files=list((entries(folder) | {path: entry}).values()))


def alter(path: str, change: Callable[[bytes], bytes]) -> Damage:
    return lambda folder: put(folder / path, change((folder / path).read_bytes()))


def holding(path: str, content: bytes) -> Damage:
    return lambda folder: put(folder / path, content)


def grow(path: str, size: int) -> Damage:
    def damage(folder: Path) -> None:
        put(folder / path, b"")
        os.truncate(folder / path, size)  # sparse: takes no room

    return damage


def manifest(**changes: object) -> Damage:
    return lambda folder: edit_manifest(folder, **changes)


def naming(path: str, **changes: object) -> Damage:
    entry = {"path": path, "size": 0, "sha256": "", "tensors": {}}
    return lambda folder: edit_manifest(folder, files=[*entries(folder).values(), entry | changes])


def unnamed(path: str) -> Damage:
    return lambda folder: edit_manifest(folder, files=[e for name, e in entries(folder).items() if name != path])


def arrays(**changes: Callable[[Any], Any] | None) -> Damage:
    """Change arrays of the classifier, hashes and all."""

    def damage(folder: Path) -> None:
        found = load((folder / CLASSIFIER).read_bytes())
        changed = {name: np.ascontiguousarray(change(found[name])) for name, change in changes.items() if change}
        rewrite(folder, CLASSIFIER, save({k: v for k, v in (found | changed).items() if changes.get(k, save)}))

    return damage


def draft(**changes: Callable[[Any], Any]) -> Damage:
    """Change arrays of the draft, hashes and all."""

    def damage(folder: Path) -> None:
        found = load((folder / DRAFT).read_bytes())
        rewrite(folder, DRAFT, save(found | {name: change(found[name]) for name, change in changes.items()}))

    return damage


def profiles(**changes: object) -> Damage:
    """Change the first model, hashes and all."""

    def damage(folder: Path) -> None:
        first, *rest = json.loads((folder / PROFILES).read_bytes())
        rewrite(folder, PROFILES, json.dumps([first | changes, *rest]).encode())

    return damage


def replaced(path: str, content: bytes) -> Damage:
    return lambda folder: rewrite(folder, path, content)


def link(path: str) -> Damage:
    def damage(folder: Path) -> None:
        (folder / path).rename(folder.parent / "elsewhere")
        (folder / path).symlink_to(folder.parent / "elsewhere")

    return damage


def into_folder(folder: Path) -> None:
    (folder / KEYWORDS).unlink()
    (folder / KEYWORDS).mkdir()


def stale_description(folder: Path) -> None:
    named = entries(folder)
    named[CLASSIFIER]["tensors"]["bias"] = "float32 99"
    edit_manifest(folder, files=list(named.values()))


def with_nan(array: Any) -> Any:
    return np.where(np.arange(array.size).reshape(array.shape) == 0, np.nan, array).astype(array.dtype)


FIRST = {"threshold": 0.7, "n": 200, "share": 0.5, "lost": 0.004}
FOREIGN = "do not belong into a model folder"
MISFIT = "does not fit its schema"
DAMAGED = "is damaged or altered"
DAMAGES: dict[str, tuple[Damage, str]] = {
    "no manifest": (lambda folder: (folder / MANIFEST).unlink(), "lacks manifest.json"),
    "no profiles": (lambda folder: (folder / PROFILES).unlink(), "lacks profiles.json"),
    "no graph": (lambda folder: (folder / GRAPH).unlink(), "lacks encoder/model.onnx"),
    "folder for a file": (into_folder, "lacks keywords.json"),
    "truncated": (alter(CLASSIFIER, lambda content: content[:-1]), DAMAGED),
    "emptied": (holding(KEYWORDS, b""), DAMAGED),
    "grown": (alter(PROFILES, lambda content: content + b" "), DAMAGED),
    "a byte altered": (alter(GRAPH, lambda content: content[:-1] + bytes([content[-1] ^ 1])), DAMAGED),
    "manifest too large": (grow(MANIFEST, MIB + 1), "manifest.json must be at most 1048576 bytes, was 1048577"),
    "profiles too large": (grow(PROFILES, 8 * MIB + 1), "profiles.json must be at most 8388608 bytes, was 8388609"),
    "classifier too large": (grow(CLASSIFIER, 64 * MIB + 1), "must be at most 67108864 bytes"),
    "graph too large": (grow(GRAPH, 256 * MIB + 1), "must be at most 268435456 bytes"),
    "format 2": (manifest(format=2), "model folders of format 1, was 2"),
    "format lacking": (holding(MANIFEST, b"{}"), "format 1, was None"),
    "format true": (manifest(format=True), MISFIT),
    "manifest cut off": (alter(MANIFEST, lambda content: content[:-9]), "is not JSON"),
    "manifest not UTF-8": (holding(MANIFEST, b"\xff\xfe"), "is not JSON"),
    "manifest an array": (holding(MANIFEST, b"[1]"), "is not JSON as a manifest is"),
    "manifest deep": (holding(MANIFEST, b"[" * 100_000), "is not JSON"),
    "manifest deep inside": (manifest(metrics=json.loads("[" * 400 + "]" * 400)), MISFIT),
    "a huge number": (holding(MANIFEST, b'{"format": ' + b"1" * 5000 + b"}"), "manifest"),
    "unknown key": (manifest(extra=1), MISFIT),
    "unknown file": (naming("setup.py"), FOREIGN),
    "path that climbs": (naming("../x"), FOREIGN),
    "path that climbs and returns": (naming("encoder/../profiles.json"), FOREIGN),
    "absolute path": (naming("/etc/passwd"), FOREIGN),
    "manifest in itself": (naming(MANIFEST), FOREIGN),
    "path twice": (naming(PROFILES), "each path once"),
    "profiles not named": (unnamed(PROFILES), "does not name profiles.json"),
    "keywords not named": (unnamed(KEYWORDS), "does not name keywords.json"),
    "linked manifest": (link(MANIFEST), "must not be a symbolic link"),
    "linked file": (link(PROFILES), "must not be a symbolic link"),
    "linked graph": (link(GRAPH), "must not be a symbolic link"),
    "linked encoder": (link("encoder"), "must not be a symbolic link"),
    "labels repeated": (manifest(labels=["math"] * 14), "labels must be two or more, each once"),
    "one label": (manifest(labels=["math"]), "labels must be two or more"),
    "a label too few": (manifest(labels=["math", "coding"]), r"must be float32 of shape \(384, 2\)"),
    "threshold over 1": (manifest(threshold=1.5), r"threshold in \[0, 1\]"),
    "temperature zero": (manifest(temperature=0), "temperature must be positive"),
    "not safetensors": (lambda folder: (put(folder / CLASSIFIER, b"x" * 99), rehash(folder)), "cannot be read"),
    "NaN": (arrays(lexical=with_nan), "must hold finite numbers only"),
    "infinite": (arrays(bias=lambda a: a + np.float32("inf")), "must hold finite numbers only"),
    "wrong shape": (arrays(bias=lambda a: a[:-1]), r"bias must be float32 of shape \(15,\), was float32 14"),
    "transposed": (arrays(embedding=lambda a: a.T), "embedding must be float32 of shape"),
    "float64": (arrays(surface=lambda a: a.astype(np.float64)), "surface must be float32 of shape .* was float64"),
    "array lacking": (arrays(bias=None), "bias must be float32 .* was missing"),
    "stale description": (stale_description, "by dtype and shape"),
    "another encoder's canaries": (arrays(canaries=lambda a: a[::-1]), "must give the recorded vectors"),
    "another draft's canaries": (arrays(**{"first.canaries": lambda a: a[::-1]}), "must give the recorded vectors"),
    "first tier of other labels": (arrays(**{"first.weights": lambda a: a[:, :-1]}), r"first\.weights must be float32"),
    "first tier lacking": (arrays(**{"first.bias": None}), r"first\.bias must be float32 of shape \(15,\), was missing"),
    "first tier without draft": (unnamed(DRAFT), "tells of a first tier, but there is no encoder/draft.safetensors"),
    "first tier's threshold over 1": (manifest(first=FIRST | {"threshold": 1.01}), MISFIT),
    "draft altered": (alter(DRAFT, lambda content: content[:-1] + bytes([content[-1] ^ 1])), DAMAGED),
    "draft too large": (grow(DRAFT, 64 * MIB + 1), "must be at most 67108864 bytes"),
    "draft of no numbers": (draft(bias=lambda a: a * np.float32("nan")), "must hold finite numbers only"),
    "quality over 1": (profiles(quality={"math": {"mean": 1.5, "stderr": 0, "n": 1}}), r"mean must be in \[0, 1\], was 1.5"),
    "negative error": (profiles(quality={"math": {"mean": 0.5, "stderr": -1, "n": 1}}), "stderr must be finite"),
    "negative price": (profiles(input_usd_per_mtok=-1), "input_usd_per_mtok must be finite and not negative, was -1"),
    "negative length": (profiles(output_tokens={"math": -5}), r"output_tokens\['math'\] must be"),
    "weight zero": (profiles(weight=0), "weight must be positive"),
    "window zero": (profiles(context_window=0), "context_window > 0"),
    "nameless": (profiles(name=""), "name must not be empty"),
    "price in words": (profiles(input_usd_per_mtok="cheap"), MISFIT),
    "no models": (replaced(PROFILES, b"[]"), "one or more models, each once"),
    "model twice": (replaced(PROFILES, b'[{"name": "a"}, {"name": "a"}]'), "one or more models, each once"),
    "precision over 1": (replaced(KEYWORDS, b'{"precision": 2, "phrases": {}}'), "precision must be in"),
    "keywords of another kind": (replaced(KEYWORDS, b'{"precision": 1, "phrases": {"math": "solve"}}'), MISFIT),
}  # fmt: skip


def rehash(folder: Path) -> None:
    """Bring size and hash of the classifier in line, without looking into it."""
    content, named = (folder / CLASSIFIER).read_bytes(), entries(folder)
    named[CLASSIFIER] |= {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    edit_manifest(folder, files=list(named.values()))


@pytest.mark.parametrize(("damage", "rule"), DAMAGES.values(), ids=DAMAGES)
def test_a_folder_that_is_not_as_it_should_be_is_refused_with_rule_and_remedy(
    folder: Path, damage: Damage, rule: str
) -> None:
    damage(folder)
    with pytest.raises(ArtifactError, match=rule) as refused:
        load_artifact(folder, eager=True)
    assert "llm-router-train" in str(refused.value) or "copy the file itself" in str(refused.value)


@pytest.mark.parametrize("name", ["nowhere", "file"])
def test_what_is_no_folder_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ArtifactError, match="is no folder"):
        load_artifact(tmp_path / name)


def test_a_sound_folder_loads_without_problems(folder: Path) -> None:
    artifact = load_artifact(folder)
    assert artifact.problems == ()
    assert artifact.classifier is not None
    assert artifact.classifier.labels == tuple(artifact.manifest.labels)
    assert artifact.sha256 == hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()


# A prompt that the shipped first tier is sure of.
SURE = "prove that sqrt(2) is irrational"
EVIDENCE = {"n": 90.0, "gain": 0.02, "low": 0.01, "high": 0.03, "kept": True}
HEADS = {"models": ["b", "a"], "quality": {"math": EVIDENCE, "coding": EVIDENCE | {"kept": False}}, "cost": {}}


def teach(folder: Path, *, models: int = 2, **changes: Any) -> None:
    """Give a folder heads that prefer "a" in mathematics by one logit, and what else a benchmark teaches."""
    dim = json.loads((folder / MANIFEST).read_bytes())["encoder"]["dim"]
    sizes = {"embedding": (dim, models), "lexical": (BUCKETS, models), "surface": (len(SURFACE), models), "bias": (models,)}
    arrays = {f"{kind}.{name}": np.zeros(size, np.float32) for kind in ("quality", "cost") for name, size in sizes.items()}
    arrays["quality.bias"][-1] = 1.0
    rewrite(folder, QUALITY, save(arrays))
    risk = {"reference": "a", "n": 9, "tolerances": [0.0], "losses": [0.0], "deviations": [0.0], "savings": [0.0]}
    edit_manifest(folder, **({"heads": HEADS, "usd_per_point": 0.002, "risk": risk} | changes))


def test_what_a_benchmark_taught_is_loaded(folder: Path) -> None:
    teach(folder)
    calibration = load_artifact(folder).calibration
    assert calibration.heads is not None
    assert calibration.heads.models == ("b", "a")
    assert (calibration.heads.quality_tasks, calibration.heads.cost_tasks) == ({"math"}, frozenset())
    assert calibration.heads.quality.bias.tolist() == [0, 1]
    assert calibration.presets["balanced"].usd_per_point == 0.002
    assert calibration.risk is not None
    assert calibration.risk.choose(0.02, 0.95) == 0
    assert Router.load(folder).route("prove it", max_loss=0.02).preference.reference == "a"


def test_a_folder_that_was_taught_nothing_of_prompts_has_no_heads(folder: Path) -> None:
    assert load_artifact(folder).calibration.heads is None


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"models": 3}, r"quality\.embedding must be float32 of shape"),
        ({"heads": HEADS | {"models": ["a", "a"]}}, "models must be one or more, each once"),
        ({"heads": HEADS | {"more": 1}}, "does not fit its schema"),
        ({"usd_per_point": 0}, "usd_per_point must be positive and finite"),
        ({"risk": {"reference": "a", "n": 9}}, "does not fit its schema"),
    ],
)
def test_what_was_taught_must_fit_together(folder: Path, changes: dict[str, Any], rule: str) -> None:
    teach(folder, **changes)
    with pytest.raises(ArtifactError, match=rule):
        load_artifact(folder)


def test_a_folder_reached_by_a_link_loads(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(folder)
    assert load_artifact(tmp_path / "link").problems == ()


def test_an_encoder_that_gives_no_numbers_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OnnxEncoder, "encode", lambda _, texts: np.full((len(texts), 384), np.nan, np.float32))
    with pytest.raises(ArtifactError, match="must give the recorded vectors"):
        load_artifact(folder, eager=True)


def test_an_encoder_of_another_dimension_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OnnxEncoder, "encode", lambda _, texts: np.zeros((len(texts), 5), np.float32))
    with pytest.raises(ArtifactError, match=r"must give vectors of shape \(\d+, 384\), was \(\d+, 5\)"):
        load_artifact(folder, eager=True)


def test_a_pin_that_matches_is_accepted_in_either_case_and_another_refused(folder: Path) -> None:
    pin = hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()
    assert load_artifact(folder, sha256=pin.upper()).sha256 == pin
    profiles(input_usd_per_mtok=0)(folder)  # consistent, and somebody else's
    assert load_artifact(folder).sha256 != pin
    with pytest.raises(ArtifactError, match=f"must hash to the pinned {pin}"):
        load_artifact(folder, sha256=pin)


@pytest.mark.parametrize(
    "name", ["a byte altered", "no graph", "NaN", "another draft's canaries", "draft altered", "emptied", "linked graph"]
)
def test_with_on_error_keywords_a_broken_classifier_is_told_and_rules_decide(
    folder: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    damage, rule = DAMAGES[name]
    damage(folder)
    with caplog.at_level(logging.WARNING, "router"):
        router = Router.load(folder, on_error="keywords")
    decision = router.route("please translate this")
    assert (decision.prediction.task, decision.prediction.source) == ("translation", "keywords")
    assert decision.reasons[0].startswith("no classifier, keyword rules decide: ")
    assert rule.split(" ")[0] in decision.reasons[0]
    assert caplog.messages == [decision.reasons[0]]


@pytest.mark.parametrize("name", ["no manifest", "format 2", "no profiles", "quality over 1", "unknown file"])
def test_with_on_error_keywords_manifest_and_profiles_are_needed_still(folder: Path, name: str) -> None:
    damage, rule = DAMAGES[name]
    damage(folder)
    with pytest.raises(ArtifactError, match=rule):
        load_artifact(folder, on_error="keywords")


@pytest.mark.parametrize(
    "damage",
    [replaced("encoder/tokenizer.json", b"{}"), draft(bias=lambda a: a[:-1]), draft(tokens=lambda a: a[:9])],
    ids=["tokenizer", "draft that does not fit", "draft of fewer pieces"],
)
def test_an_encoder_that_does_not_load_here_is_told_and_rules_decide(folder: Path, damage: Damage) -> None:
    damage(folder)
    decision = Router.load(folder).route("please translate this")
    assert (decision.prediction.task, decision.prediction.source) == ("translation", "keywords")
    assert decision.reasons[0].startswith("no classifier, keyword rules decide: ")


def test_a_graph_that_does_not_load_here_leaves_the_first_tier(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    rewrite(folder, GRAPH, b"{}")
    router = Router.load(folder)
    assert router.route(SURE).reasons == Router.load().route(SURE).reasons
    for _ in range(2):
        decision = router.route(SURE, tier="full")
        assert (decision.prediction.task, decision.prediction.tier) == ("math", "first")
        assert "the first tier alone decides, the full classifier failed: ONNX Runtime" in " ".join(decision.reasons)
    assert len(caplog.messages) == 1
    assert "no classifier, keyword rules decide: " in load_artifact(folder, eager=True).problems[0]


def test_another_encoder_than_the_recorded_one_answers_nothing(folder: Path) -> None:
    arrays(canaries=lambda a: a[::-1])(folder)
    decision = Router.load(folder).route(SURE, tier="full")
    assert decision.prediction.tier == "first"
    assert "must give the recorded vectors" in " ".join(decision.reasons)


def test_without_a_first_tier_the_graph_is_opened_at_once(folder: Path) -> None:
    edit_manifest(folder, first=None)
    rewrite(folder, GRAPH, b"{}")
    assert "no classifier, keyword rules decide: ONNX Runtime" in load_artifact(folder).problems[0]


def test_a_task_whose_models_the_prompt_tells_apart_is_not_left_to_the_first_tier(folder: Path) -> None:
    teach(folder)
    classifier = load_artifact(folder).classifier
    assert classifier is not None
    assert classifier.first is not None
    assert set(classifier.labels) - classifier.first.tasks == {"math"}
    assert Router.load(folder).route(SURE).prediction.tier == "full"


def test_an_encoder_that_does_not_run_here_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OnnxEncoder, "encode", lambda _, texts: texts[99])
    assert "does not run on this machine" in load_artifact(folder, eager=True).problems[0]


def test_without_classifier_and_without_rules_a_router_still_decides(folder: Path) -> None:
    rewrite(folder, KEYWORDS, b'{"precision": 0.5, "phrases": {}}')
    (folder / GRAPH).unlink()
    assert Router.load(folder, on_error="keywords").route("hello").prediction.task is None


def test_an_unknown_on_error_is_refused(folder: Path) -> None:
    with pytest.raises(InputError, match="on_error must be 'raise' or 'keywords', was 'ignore'"):
        Router.load(folder, on_error="ignore")  # type: ignore[arg-type]


def test_the_environment_names_the_folder_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLM_ROUTER_MODEL", str(tmp_path / "mine"))
    assert find_artifact() == tmp_path / "mine"
    with pytest.raises(ArtifactError, match="is no folder"):
        Router.load()


def test_then_the_wheels_folder_then_the_checkouts_then_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LLM_ROUTER_MODEL", raising=False)
    monkeypatch.setattr(artifacts, "__file__", str(tmp_path / "router" / "artifacts.py"))
    with pytest.raises(ArtifactError, match="neither \\$LLM_ROUTER_MODEL nor a shipped one"):
        find_artifact()
    for folder in (tmp_path / "models" / "default", tmp_path / "router" / "_artifacts"):
        folder.mkdir(parents=True)
        (folder / MANIFEST).touch()
        assert find_artifact() == folder
