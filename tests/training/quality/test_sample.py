import numpy as np
import pytest

from router.classify.heads import Heads
from tests.training.synthetic import TASKS, make_benchmark
from training.classifier.features import FeatureBlocks
from training.data.benchmark import BenchmarkSet
from training.data.results import Result, Results
from training.quality import sample as module
from training.quality.fit import fit_scoring
from training.quality.prompt_table import FeatureClassifier
from training.quality.sample import draw_prompts


def make(rows: list[Result]) -> BenchmarkSet:
    return BenchmarkSet(results=Results.of(rows), facts={}, sha256="", notes=("a note",))


@pytest.fixture
def ten_prompts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_PROMPTS", 10)


@pytest.mark.usefixtures("ten_prompts")
def test_a_benchmark_with_few_prompts_is_used_as_it_is() -> None:
    few = make([Result(model="a", task="qa", prompt=f"p{i % 10}", score=1) for i in range(30)])
    drawn = draw_prompts(few, seed=0)
    assert (drawn.benchmark is few, drawn.rows is few.results) == (True, True)


@pytest.mark.usefixtures("ten_prompts")
def test_one_prompt_of_each_stretch_is_drawn_with_all_its_rows_and_aggregates_stay() -> None:
    rows = [
        Result(model=model, prompt=f"p{i}", task="qa" if i < 20 else "", group=f"g{i}", score=1)
        for i in range(40)
        for model in "ab"
    ]
    aggregate = Result(model="a", task="math", score=0.5)
    many = make([*rows, aggregate])
    drawn = draw_prompts(many, seed=0)
    prompts = drawn.benchmark.results.prompts
    assert [int(prompt[1:]) // 4 for prompt in prompts] == list(range(10))
    assert list(drawn.benchmark.results) == [row for row in rows if row.prompt in prompts] + [aggregate]
    assert list(drawn.rows) == [row for row in rows if row.task or row.prompt in prompts] + [aggregate]
    assert list(draw_prompts(many, seed=0).benchmark.results) == list(drawn.benchmark.results)
    assert draw_prompts(many, seed=1).benchmark.results.prompts != prompts
    assert drawn.benchmark.notes == (
        "a note",
        "The benchmark has 40 prompts. What prompts say beyond their task, the dial and the risk were learned "
        "from 10 of them, drawn with seed 0; profiles also from all rows that name their task.",
    )


def test_only_drawn_prompts_are_encoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_PROMPTS", 120)
    made = make_benchmark(n=400)
    row_of_text = {text: row for row, text in enumerate(made.outcomes.prompts)}
    encoded: list[str] = []

    def featurize(texts: list[str]) -> FeatureBlocks:
        encoded.extend(texts)
        return made.prompts.features.take(np.array([row_of_text[text] for text in texts]))

    features = made.prompts.features
    widths = (features.embedding.shape[1], features.lexical.shape[1], features.surface.shape[1])
    embedding, lexical, surface = (np.zeros((width, 2), np.float32) for width in widths)
    heads = Heads(embedding=embedding, lexical=lexical, surface=surface, bias=np.zeros(2, np.float32))
    classifier = FeatureClassifier(labels=TASKS, heads=heads, temperature=1.0)
    sample = draw_prompts(made.benchmark, seed=0)
    fitted = fit_scoring(sample, made.prompts, classifier, featurize, seed=0, jobs=1)
    assert tuple(encoded) == sample.benchmark.results.prompts
    assert fitted.risk is not None
    # All rows name their task, so profiles use all 200 prompts of it. A row without n counts as 100.
    assert (fitted.risk.n, fitted.profiles[0].quality["math"].n) == (120, 200 * 100)
