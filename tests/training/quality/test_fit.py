"""Training and the runtime agree: they use the same features, expectations and choices."""

from pathlib import Path

import numpy as np
import pytest

from router import Router
from router.model_folder.load import load_model_folder
from training.classifier.features import featurize
from training.data.benchmark import read_benchmark
from training.quality.dial import choose
from training.quality.expectations import expect_with_heads, make_table_builder
from training.quality.outcomes import pivot
from training.quality.prompt_table import FeatureClassifier, make_prompt_table
from training.result import TrainingResult


@pytest.fixture(scope="module")
def trained_with_prompts(
    small, encoder_folder: Path, write_csv, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path, TrainingResult]:
    """Train on a benchmark with prompts, five variants of each training prompt. Long ones are hard for the model `weak`."""
    from training.pipeline import train

    folder = tmp_path_factory.mktemp("trained_with_prompts")
    rng = np.random.default_rng(0)
    rows = []
    for prompt in (f"{row['prompt']} {'really ' * (i % 5)}{i}" for row in small.prompts for i in range(5)):
        hard = len(prompt) > 80
        rows += [
            {
                "model": name,
                "prompt": prompt,
                "task": "",
                "score": int(rng.random() < (0.2 if hard and name == "weak" else 0.9)),
                "cost_usd": cost,
            }
            for name, cost in (("weak", 0.001), ("strong", 0.01))
        ]
    prompts, benchmark = write_csv(folder / "prompts.csv", small.prompts), write_csv(folder / "benchmark.csv", rows)
    return folder / "model", benchmark, train(prompts, benchmark, folder / "model", encoder=encoder_folder, jobs=1)


def test_training_expects_the_scores_of_the_router(trained_with_prompts: tuple[Path, Path, TrainingResult]) -> None:
    path, benchmark_path, _ = trained_with_prompts
    folder, router = load_model_folder(path), Router.load(path)
    classifier = folder.classifier
    assert classifier is not None
    benchmark = read_benchmark(benchmark_path, tasks=classifier.tasks)
    outcomes = pivot(benchmark.results)
    prompts = make_prompt_table(
        outcomes.prompts,
        classifier.tasks,
        FeatureClassifier(labels=classifier.labels, heads=classifier.heads, temperature=classifier.temperature),
        lambda texts: featurize(texts, classifier.encoder),
    )
    table = make_table_builder(benchmark, outcomes, prompts)(np.ones(len(outcomes.prompts), np.bool_))
    expected = expect_with_heads(table, folder.parameters.heads, prompts)
    for row in range(0, len(outcomes.prompts), 7):
        decision = router.route(outcomes.prompts[row])
        if decision.prediction.source != "classifier":
            continue
        scores = [decision.scores[name] for name in outcomes.models]
        # Training rounds embeddings to eight bits, the router does not.
        assert expected.quality[row] == pytest.approx([score.quality for score in scores], abs=1e-3)
        assert expected.cost_usd[row] == pytest.approx([score.cost_usd for score in scores], rel=1e-3)
        assert outcomes.models[choose(expected, router.presets["balanced"])[row]] == decision.model


def test_the_model_folder_keeps_the_fitted_scoring(trained_with_prompts: tuple[Path, Path, TrainingResult]) -> None:
    path, _, training = trained_with_prompts
    folder = load_model_folder(path)
    assert folder.parameters.heads is not None
    assert folder.parameters.heads.models == ("weak", "strong")
    assert folder.manifest.heads is not None
    assert any(found.kept for found in folder.manifest.heads.quality.values())
    assert folder.manifest.usd_per_point == pytest.approx(training.manifest.usd_per_point, rel=1e-5)
    assert folder.parameters.risk is not None
    assert folder.parameters.risk.reference == "strong"
    assert "## What prompts say beyond their task" in (path / "report.md").read_text()
    assert Router.load(path).route("prove it", max_loss=0.5).preference.reference == "strong"
