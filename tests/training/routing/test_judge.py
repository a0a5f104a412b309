from dataclasses import replace

import numpy as np
import pytest

from router import Preference
from router.errors import ArtifactError
from router.scoring import Expectation
from router.strategies import contextual
from tests.router.fakes import context, score
from tests.training.synthetic import make_benchmark
from training.datasets import BenchmarkSet, DatasetError, Result, Results
from training.routing.judge import choose, cross_fit_router, judge_folder, trace_router


def expected(quality: object, cost_usd: object) -> Expectation:
    qualities = np.array(quality, np.float64)
    costs = np.broadcast_to(np.array(cost_usd, np.float64), qualities.shape)
    return Expectation(quality=qualities, cost_usd=costs, quality_by_task=qualities, shift=np.zeros_like(qualities))


@pytest.mark.parametrize("price", [1e-5, 3e-4, 1e-2, float("inf")])
def test_a_batch_chooses_as_the_contextual_strategy_does(price: float) -> None:
    rng = np.random.default_rng(0)
    told = expected(np.round(rng.random((100, 4)), 1), np.round(rng.random((100, 4)), 1) / 100)
    chosen = choose(told, Preference(usd_per_point=price))
    for row in range(100):
        quality, cost = told.quality[row].tolist(), told.cost_usd[row].tolist()
        scores = [score(f"m{j}", quality[j], cost[j], utility=quality[j] - 0.01 * cost[j] / price) for j in range(4)]
        assert contextual(context(*scores))[0] == f"m{chosen[row]}"


def test_presets_are_named_among_the_routers_settings() -> None:
    dial = trace_router(expected([[0.5, 0.9], [0.5, 0.6]], [0.001, 0.01]), 0.0004)
    named = {label: dial.choices[i].tolist() for i, label in enumerate(dial.labels) if label}
    assert named == {"cheap": [0, 0], "balanced": [1, 0], "quality": [1, 1]}
    assert trace_router(expected([[0.5, 0.9]], [0.001, 0.01]), None).labels == ()


def test_a_router_is_fitted_without_the_prompts_it_is_judged_on() -> None:
    made = make_benchmark(120)
    told = cross_fit_router(made.benchmark, made.outcomes, made.prompts, seed=0, jobs=1)
    flipped = replace(made.outcomes, score=made.outcomes.score.copy())
    flipped.score[0] = 1 - flipped.score[0]
    rows = made.benchmark.results
    benchmark = replace(made.benchmark, results=replace(rows, score=np.where(rows.prompt == 0, 1 - rows.score, rows.score)))
    again = cross_fit_router(benchmark, flipped, made.prompts, seed=0, jobs=1)
    assert again.quality[0] == pytest.approx(told.quality[0])
    assert not np.allclose(again.quality, told.quality)


@pytest.fixture
def shipped(model_folder):
    from router.artifacts import load_artifact

    return load_artifact(model_folder)


def on_prompts(models: list[str], n: int = 60) -> BenchmarkSet:
    """Each model in turn right on prompts that the shipped classifier reads."""
    rows = [
        Result(model=model, prompt=f"add {i} and {i + 1}", task="math", score=float((i + j) % 2), cost_usd=0.001 * (j + 1))
        for i in range(n)
        for j, model in enumerate(models)
    ]
    return BenchmarkSet(results=Results.of(rows), facts={}, sha256="1" * 64)


def featurize_with(artifact):
    from training.classifier import featurize

    return lambda texts: featurize(texts, artifact.classifier.encoder)


def test_a_folder_that_has_the_models_is_judged_as_it_is(shipped) -> None:
    models = [profile.name for profile in shipped.profiles][:2]
    judgement = judge_folder(shipped, on_prompts(models), featurize_with(shipped), name="made up", jobs=1)
    assert judgement.notes[0] == "Judged is the folder as it is; it was not trained on this benchmark."
    assert {model.name for model in judgement.evaluation.models} == set(models)
    assert set(judgement.evaluation.positions) == {
        "quality_floor",
        "tolerance of max_loss",
        "cost_per_point",
        "max_cost_usd",
    }
    assert not judgement.evaluation.verdict.route  # nothing tells odd prompts from even ones


def test_one_that_lacks_a_model_or_knows_the_benchmark_is_judged_by_what_it_would_learn(shipped) -> None:
    strangers = judge_folder(shipped, on_prompts(["x", "y"]), featurize_with(shipped), name="made up", jobs=1)
    assert strangers.notes[0].endswith("on the fifth held out, in turn: the folder lacks x, y.")
    known = on_prompts([profile.name for profile in shipped.profiles][:2])
    sha256 = shipped.manifest.training_data[0].sha256
    told = judge_folder(shipped, replace(known, sha256=sha256), featurize_with(shipped), name="made up", jobs=1)
    assert told.notes[0].endswith("in turn: the folder was trained on this benchmark.")


def test_baselines_may_learn_of_another_file_with_the_same_models(shipped) -> None:
    benchmark = on_prompts(["x", "y"])
    other = on_prompts(["y", "x"], n=40)
    told = judge_folder(shipped, benchmark, featurize_with(shipped), name="made up", train_on=other, jobs=1)
    assert told.notes[1] == "Baselines learn of another benchmark file."
    with pytest.raises(DatasetError, match=r"must have all models of the benchmark, lacks \['y'\]"):
        judge_folder(shipped, benchmark, featurize_with(shipped), name="t", train_on=on_prompts(["x"]), jobs=1)


def test_what_cannot_be_judged_is_told(shipped) -> None:
    aggregates = BenchmarkSet(results=Results.of([Result(model="x", task="math", score=1)]), facts={}, sha256="")
    with pytest.raises(DatasetError, match="rows that have a prompt, found none; add the prompts"):
        judge_folder(shipped, aggregates, featurize_with(shipped), name="t")
    with pytest.raises(ArtifactError, match="judged with a classifier; it is broken"):
        judge_folder(
            replace(shipped, classifier=None, problems=("it is broken",)), aggregates, featurize_with(shipped), name="t"
        )
