from pathlib import Path
from typing import Any

import numpy as np
import pytest

from router import ModelFolderError, Router
from router.classify.encoder import OnnxEncoder
from router.model_folder.load import load_model_folder
from router.model_folder.manifest import DRAFT
from tests.router.model_folder.damages import (
    GRAPH,
    HEADS,
    Damage,
    add_heads,
    arrays,
    check_refused,
    edit_manifest,
    manifest,
    rewrite,
    without_entry,
)

DAMAGES: dict[str, tuple[Damage, str]] = {
    "a label too few": (manifest(labels=["math", "coding"]), r"must be float32 of shape \(384, 2\)"),
    "wrong shape": (arrays(bias=lambda a: a[:-1]), r"bias must be float32 of shape \(15,\), got float32 14"),
    "transposed": (arrays(embedding=lambda a: a.T), "embedding must be float32 of shape"),
    "float64": (arrays(surface=lambda a: a.astype(np.float64)), "surface must be float32 of shape .* got float64"),
    "array lacking": (arrays(bias=None), "bias must be float32 .* got none"),
    "another encoder's canaries": (arrays(canaries=lambda a: a[::-1]), "must give the recorded vectors"),
    "another draft's canaries": (arrays(**{"first.canaries": lambda a: a[::-1]}), "must give the recorded vectors"),
    "first tier of other labels": (arrays(**{"first.weights": lambda a: a[:, :-1]}), r"first\.weights must be float32"),
    "first tier lacking": (arrays(**{"first.bias": None}), r"first\.bias must be float32 of shape \(15,\), got none"),
    "first tier without draft": (without_entry(DRAFT), "describes a first tier, but there is no encoder/draft.safetensors"),
}  # fmt: skip


@pytest.mark.parametrize(("damage", "rule"), DAMAGES.values(), ids=DAMAGES)
def test_arrays_that_do_not_fit_the_manifest_are_refused(folder: Path, damage: Damage, rule: str) -> None:
    check_refused(folder, damage, rule)


# A prompt that the shipped first tier is sure of.
SURE = "solve x^2 - 5x + 6 = 0"


def test_heads_prices_and_risk_of_a_benchmark_are_loaded(folder: Path) -> None:
    add_heads(folder)
    parameters = load_model_folder(folder).parameters
    assert parameters.heads is not None
    assert parameters.heads.models == ("b", "a")
    assert (parameters.heads.quality_tasks, parameters.heads.cost_tasks) == ({"math"}, frozenset())
    assert parameters.heads.quality.bias.tolist() == [0, 1]
    assert parameters.presets["balanced"].usd_per_point == 0.002
    assert parameters.risk is not None
    assert parameters.risk.choose(0.02, 0.95) == 0
    assert Router.load(folder).route("prove it", max_loss=0.02).preference.reference == "a"


def test_a_folder_without_prompt_heads_has_none(folder: Path) -> None:
    assert load_model_folder(folder).parameters.heads is None


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"models": 3}, r"quality\.embedding must be float32 of shape"),
        ({"heads": HEADS | {"models": ["a", "a"]}}, "heads must name one or more models, each once"),
        ({"heads": HEADS | {"more": 1}}, "does not fit its schema"),
        ({"usd_per_point": 0}, "usd_per_point must be above 0 and finite"),
        ({"risk": {"reference": "a", "n": 9}}, "does not fit its schema"),
    ],
)
def test_parts_of_a_benchmark_that_do_not_fit_are_refused(folder: Path, changes: dict[str, Any], rule: str) -> None:
    add_heads(folder, **changes)
    with pytest.raises(ModelFolderError, match=rule):
        load_model_folder(folder)


def test_an_encoder_that_gives_nan_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OnnxEncoder, "encode", lambda _, texts: np.full((len(texts), 384), np.nan, np.float32))
    with pytest.raises(ModelFolderError, match="must give the recorded vectors"):
        load_model_folder(folder, eager=True)


def test_an_encoder_of_another_dimension_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OnnxEncoder, "encode", lambda _, texts: np.zeros((len(texts), 5), np.float32))
    with pytest.raises(ModelFolderError, match=r"must give vectors of shape \(\d+, 384\), got \(\d+, 5\)"):
        load_model_folder(folder, eager=True)


def test_a_graph_that_cannot_be_loaded_leaves_the_first_tier(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    rewrite(folder, GRAPH, b"{}")
    router = Router.load(folder)
    assert router.route(SURE).reasons == Router.load().route(SURE).reasons
    for _ in range(2):
        decision = router.route(SURE, tier="full")
        assert (decision.prediction.task, decision.prediction.tier) == ("math", "first")
        assert "the full classifier failed, so the first tier decides alone: ONNX Runtime" in " ".join(decision.reasons)
    assert len(caplog.messages) == 1
    (problem,) = load_model_folder(folder, eager=True).problems
    assert problem.startswith("the classifier could not be loaded, so keyword rules decide: ")


def test_an_encoder_with_other_vectors_than_the_recorded_ones_is_not_used(folder: Path) -> None:
    arrays(canaries=lambda a: a[::-1])(folder)
    decision = Router.load(folder).route(SURE, tier="full")
    assert decision.prediction.tier == "first"
    assert "must give the recorded vectors" in " ".join(decision.reasons)


def test_without_a_first_tier_the_graph_is_opened_on_loading(folder: Path) -> None:
    edit_manifest(folder, first=None)
    rewrite(folder, GRAPH, b"{}")
    (problem,) = load_model_folder(folder).problems
    assert problem.startswith("the classifier could not be loaded, so keyword rules decide: ONNX Runtime")


def test_a_task_whose_prompts_shift_quality_is_not_left_to_the_first_tier(folder: Path) -> None:
    add_heads(folder)
    classifier = load_model_folder(folder).classifier
    assert classifier is not None
    assert classifier.first is not None
    assert set(classifier.labels) - classifier.first.tasks == {"math"}
    assert Router.load(folder).route(SURE).prediction.tier == "full"


def test_an_encoder_that_does_not_run_is_reported(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OnnxEncoder, "encode", lambda _, texts: texts[99])
    assert "does not run on this machine" in load_model_folder(folder, eager=True).problems[0]
