import hashlib
import logging
from pathlib import Path

import pytest

from router import InputError, ModelFolderError, Router
from router.model_folder import load
from router.model_folder.load import find_model_folder, load_model_folder
from router.model_folder.manifest import DRAFT, KEYWORDS, MANIFEST, PROFILES
from tests.router.model_folder.damages import (
    GRAPH,
    Damage,
    arrays,
    as_link,
    check_refused,
    draft,
    flip_last_bit,
    manifest,
    profiles,
    rewrite,
    with_change,
    with_content,
    with_entry,
    with_file,
    with_nan,
)

QUALITY = {"mean": 0.5, "stderr": 0, "n": 1}
MISFIT = "does not fit its schema"
DAMAGES: dict[str, tuple[Damage, str]] = {
    "quality over 1": (
        profiles(quality={"math": QUALITY | {"mean": 1.5}}),
        "mean must be a number between 0 and 1, got 1.5",
    ),
    "negative error": (profiles(quality={"math": QUALITY | {"stderr": -1}}), "stderr must be a finite number of 0 or more"),
    "negative price": (profiles(input_usd_per_mtok=-1), "input_usd_per_mtok must be a finite number of 0 or more, got -1"),
    "negative length": (profiles(output_tokens={"math": -5}), r"output_tokens\['math'\] must be"),
    "weight zero": (profiles(weight=0), "weight must be a number above 0, got 0"),
    "window zero": (
        profiles(context_window=0),
        "context_window must be a whole number of tokens above 0, such as 128000, got 0",
    ),
    "nameless": (profiles(name=""), "name must be a string that is not empty"),
    "price in words": (profiles(input_usd_per_mtok="cheap"), MISFIT),
    "no models": (with_file(PROFILES, b"[]"), "one or more models, each once"),
    "model twice": (with_file(PROFILES, b'[{"name": "a"}, {"name": "a"}]'), "one or more models, each once"),
    "precision over 1": (with_file(KEYWORDS, b'{"precision": 2, "phrases": {}}'), "precision must be between 0 and 1"),
    "keywords of another kind": (with_file(KEYWORDS, b'{"precision": 1, "phrases": {"math": "solve"}}'), MISFIT),
}  # fmt: skip


@pytest.mark.parametrize(("damage", "rule"), DAMAGES.values(), ids=DAMAGES)
def test_profiles_and_keywords_that_break_a_rule_are_refused(folder: Path, damage: Damage, rule: str) -> None:
    check_refused(folder, damage, rule)


def test_a_sound_folder_loads_without_problems(folder: Path) -> None:
    model_folder = load_model_folder(folder)
    assert model_folder.problems == ()
    assert model_folder.classifier is not None
    assert model_folder.classifier.labels == tuple(model_folder.manifest.labels)
    assert model_folder.sha256 == hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()


BROKEN_CLASSIFIER: dict[str, tuple[Damage, str]] = {
    "a byte altered": (with_change(GRAPH, flip_last_bit), "encoder/model.onnx is damaged or altered"),
    "no graph": (lambda folder: (folder / GRAPH).unlink(), "lacks encoder/model.onnx"),
    "NaN": (arrays(lexical=with_nan), "classifier.safetensors must hold only finite numbers"),
    "another draft's canaries": (arrays(**{"first.canaries": lambda a: a[::-1]}), "must give the recorded vectors"),
    "draft altered": (with_change(DRAFT, flip_last_bit), "encoder/draft.safetensors is damaged or altered"),
    "emptied": (with_content(KEYWORDS, b""), "keywords.json is damaged or altered"),
    "linked graph": (as_link(GRAPH), "encoder/model.onnx must not be a symbolic link"),
}


@pytest.mark.parametrize(("damage", "rule"), BROKEN_CLASSIFIER.values(), ids=BROKEN_CLASSIFIER)
def test_with_on_error_keywords_a_broken_classifier_is_reported_and_rules_decide(
    folder: Path, damage: Damage, rule: str, caplog: pytest.LogCaptureFixture
) -> None:
    damage(folder)
    with caplog.at_level(logging.WARNING, "contextual_llm_router"):
        router = Router.load(folder, on_error="keywords")
    decision = router.route("please translate this")
    assert (decision.prediction.task, decision.prediction.source) == ("translation", "keywords")
    assert decision.reasons[0].startswith("the classifier could not be loaded, so keyword rules decide: ")
    assert rule in decision.reasons[0]
    assert caplog.messages == [decision.reasons[0]]


BROKEN_REST: dict[str, tuple[Damage, str]] = {
    "no manifest": (lambda folder: (folder / MANIFEST).unlink(), "lacks manifest.json"),
    "format 2": (manifest(format=2), "model folders of format 1, got 2"),
    "no profiles": (lambda folder: (folder / PROFILES).unlink(), "lacks profiles.json"),
    "quality over 1": DAMAGES["quality over 1"],
    "unknown file": (with_entry("setup.py"), "do not belong in a model folder"),
}


@pytest.mark.parametrize(("damage", "rule"), BROKEN_REST.values(), ids=BROKEN_REST)
def test_with_on_error_keywords_manifest_and_profiles_are_still_needed(folder: Path, damage: Damage, rule: str) -> None:
    damage(folder)
    with pytest.raises(ModelFolderError, match=rule):
        load_model_folder(folder, on_error="keywords")


@pytest.mark.parametrize(
    "damage",
    [with_file("encoder/tokenizer.json", b"{}"), draft(bias=lambda a: a[:-1]), draft(tokens=lambda a: a[:9])],
    ids=["tokenizer", "draft that does not fit", "draft of fewer pieces"],
)
def test_an_encoder_that_cannot_be_loaded_is_reported_and_rules_decide(folder: Path, damage: Damage) -> None:
    damage(folder)
    decision = Router.load(folder).route("please translate this")
    assert (decision.prediction.task, decision.prediction.source) == ("translation", "keywords")
    assert decision.reasons[0].startswith("the classifier could not be loaded, so keyword rules decide: ")


def test_without_classifier_and_rules_a_router_still_decides(folder: Path) -> None:
    rewrite(folder, KEYWORDS, b'{"precision": 0.5, "phrases": {}}')
    (folder / GRAPH).unlink()
    assert Router.load(folder, on_error="keywords").route("hello").prediction.task is None


def test_an_unknown_on_error_is_refused(folder: Path) -> None:
    with pytest.raises(InputError, match="on_error must be 'raise' or 'keywords', got 'ignore'"):
        Router.load(folder, on_error="ignore")  # type: ignore[arg-type]


def test_the_environment_variable_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLM_ROUTER_MODEL", str(tmp_path / "mine"))
    assert find_model_folder() == tmp_path / "mine"
    with pytest.raises(ModelFolderError, match="is not a folder"):
        Router.load()


def test_the_shipped_folder_comes_before_that_of_the_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LLM_ROUTER_MODEL", raising=False)
    monkeypatch.setattr(load, "__file__", str(tmp_path / "router" / "model_folder" / "load.py"))
    with pytest.raises(ModelFolderError, match="\\$LLM_ROUTER_MODEL is not set and none is shipped"):
        find_model_folder()
    for folder in (tmp_path / "models" / "default", tmp_path / "router" / "_default_model"):
        folder.mkdir(parents=True)
        (folder / MANIFEST).touch()
        assert find_model_folder() == folder
