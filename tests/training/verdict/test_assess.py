from dataclasses import replace

import pytest

from router.errors import ModelFolderError
from router.model_folder.load import load_model_folder
from training.classifier.features import featurize
from training.data.benchmark import BenchmarkSet
from training.data.results import Result, Results
from training.data.table import DatasetError
from training.verdict.assess import assess_folder


@pytest.fixture
def shipped(model_folder):
    return load_model_folder(model_folder)


@pytest.fixture
def featurize_shipped(shipped):
    return lambda texts: featurize(texts, shipped.classifier.encoder)


def on_prompts(models: list[str], n: int = 60) -> BenchmarkSet:
    """Return a benchmark on which the models are right in turn."""
    rows = [
        Result(model=model, prompt=f"add {i} and {i + 1}", task="math", score=float((i + j) % 2), cost_usd=0.001 * (j + 1))
        for i in range(n)
        for j, model in enumerate(models)
    ]
    return BenchmarkSet(results=Results.of(rows), facts={}, sha256="1" * 64)


def test_a_folder_that_has_the_models_is_assessed_as_it_is(shipped, featurize_shipped) -> None:
    models = [profile.name for profile in shipped.profiles][:2]
    assessment = assess_folder(shipped, on_prompts(models), featurize_shipped, name="made up", jobs=1)
    assert assessment.notes[0] == "The folder was assessed as it is. It was not trained on this benchmark."
    evaluation = assessment.evaluation
    assert {model.name for model in evaluation.models} == set(models)
    assert set(evaluation.positions) == {"quality_floor", "tolerance of max_loss", "usd_per_point", "max_cost_usd"}
    assert not evaluation.verdict.route  # no text distinguishes odd prompts from even ones


def test_a_folder_that_lacks_a_model_or_knows_the_benchmark_is_cross_fitted(shipped, featurize_shipped) -> None:
    strangers = assess_folder(shipped, on_prompts(["x", "y"]), featurize_shipped, name="made up", jobs=1)
    assert strangers.notes[0].endswith("each fifth held out in turn, because the folder lacks x, y.")
    known = on_prompts([profile.name for profile in shipped.profiles][:2])
    sha256 = shipped.manifest.training_data[0].sha256
    trained_on_it = assess_folder(shipped, replace(known, sha256=sha256), featurize_shipped, name="made up", jobs=1)
    assert trained_on_it.notes[0].endswith("in turn, because the folder was trained on this benchmark.")


def test_baselines_can_learn_from_another_file_with_the_same_models(shipped, featurize_shipped) -> None:
    benchmark = on_prompts(["x", "y"])
    other = on_prompts(["y", "x"], n=40)
    assessment = assess_folder(shipped, benchmark, featurize_shipped, name="made up", train_on=other, jobs=1)
    assert assessment.notes[1] == "Baselines learned from another benchmark file."
    with pytest.raises(DatasetError, match=r"must have all models of the benchmark, lacks \['y'\]"):
        assess_folder(shipped, benchmark, featurize_shipped, name="t", train_on=on_prompts(["x"]), jobs=1)


def test_a_benchmark_without_prompts_and_a_folder_without_a_classifier_raise(shipped, featurize_shipped) -> None:
    aggregates = BenchmarkSet(results=Results.of([Result(model="x", task="math", score=1)]), facts={}, sha256="")
    with pytest.raises(DatasetError, match="t: to assess routing, rows must have a prompt, got none; add a column prompt"):
        assess_folder(shipped, aggregates, featurize_shipped, name="t")
    broken = replace(shipped, classifier=None, problems=("it is broken",))
    with pytest.raises(ModelFolderError, match="the model folder needs a classifier; it is broken"):
        assess_folder(broken, aggregates, featurize_shipped, name="t")
