"""Training, evaluation and the runtime see the same: one formula, one set of features."""

from pathlib import Path

import numpy as np
import pytest

from router import Router
from router.artifacts import load_artifact
from tests.training.synthetic import make_benchmark
from training.artifacts import Training
from training.classifier import featurize
from training.datasets import read_benchmark
from training.outcomes import pivot
from training.routing.judge import choose
from training.served import Reading, expect, expect_with, join, make_tabulate, read_as_served, take


@pytest.fixture(scope="module")
def taught(small, encoder_folder: Path, write_csv, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Training]:
    """A folder trained on a benchmark of prompts: of the words of each, twenty variants; long ones are hard for `weak`."""
    from training.pipeline import train

    folder = tmp_path_factory.mktemp("taught")
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


def test_a_batch_expects_what_the_router_scores(taught: tuple[Path, Path, Training]) -> None:
    folder, path, _ = taught
    artifact, router = load_artifact(folder), Router.load(folder)
    classifier = artifact.classifier
    assert classifier is not None
    benchmark = read_benchmark(path, tasks=classifier.tasks)
    outcomes = pivot(benchmark.results)
    reading = Reading(labels=classifier.labels, heads=classifier.heads, temperature=classifier.temperature)
    prompts = read_as_served(outcomes.prompts, classifier.tasks, reading, lambda texts: featurize(texts, classifier.encoder))
    table = make_tabulate(benchmark, outcomes, prompts)(np.ones(len(outcomes.prompts), np.bool_))
    told = expect_with(table, artifact.calibration.heads, prompts)
    for row in range(0, len(outcomes.prompts), 7):
        decision = router.route(outcomes.prompts[row])
        if decision.prediction.source != "classifier":
            continue
        scores = [decision.scores[name] for name in outcomes.models]
        assert told.quality[row] == pytest.approx([score.quality for score in scores], abs=2e-4)
        assert told.cost_usd[row] == pytest.approx([score.cost_usd for score in scores], rel=1e-3)
        assert outcomes.models[choose(told, router.presets["balanced"])[row]] == decision.model


def test_the_folder_keeps_what_the_benchmark_taught(taught: tuple[Path, Path, Training]) -> None:
    folder, _, training = taught
    artifact = load_artifact(folder)
    assert artifact.calibration.heads is not None
    assert artifact.calibration.heads.models == ("weak", "strong")
    assert artifact.manifest.heads is not None
    assert any(found.kept for found in artifact.manifest.heads.quality.values())
    assert artifact.manifest.usd_per_point == pytest.approx(training.manifest.usd_per_point, rel=1e-5)
    assert artifact.calibration.risk is not None
    assert artifact.calibration.risk.reference == "strong"
    assert "## What prompts say beyond their task" in (folder / "report.md").read_text()
    assert Router.load(folder).route("prove it", max_loss=0.5).preference.reference == "strong"


def test_rows_without_a_prompt_count_in_every_table(small) -> None:
    made = make_benchmark(60)
    none, every = np.zeros(60, np.bool_), np.ones(60, np.bool_)
    told = expect(made.tabulate(none), made.prompts)
    assert told.quality == pytest.approx(np.full((60, 3), 0.5))  # nothing is known of any
    half = expect(made.tabulate(np.arange(60) < 30), made.prompts).quality[0]
    assert (half != expect(made.tabulate(every), made.prompts).quality[0]).all()


def test_parts_of_folds_join_in_the_order_of_the_prompts() -> None:
    made = make_benchmark(60)
    whole = expect(made.tabulate(np.ones(60, np.bool_)), made.prompts)
    folds = np.arange(60) % 3
    joined = join([take(whole, folds == fold) for fold in range(3)], folds)
    assert (joined.quality == whole.quality).all()
    assert (joined.cost_usd == whole.cost_usd).all()
