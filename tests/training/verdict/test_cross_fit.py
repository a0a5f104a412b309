from dataclasses import replace

import numpy as np
import pytest

from tests.training.synthetic import make_benchmark
from training.verdict.cross_fit import cross_fit_router


def test_a_router_does_not_learn_from_the_prompts_it_predicts() -> None:
    made = make_benchmark(120)
    expected = cross_fit_router(made.benchmark, made.outcomes, made.prompts, seed=0, jobs=1)
    flipped = replace(made.outcomes, score=made.outcomes.score.copy())
    flipped.score[0] = 1 - flipped.score[0]
    rows = made.benchmark.results
    benchmark = replace(made.benchmark, results=replace(rows, score=np.where(rows.prompt == 0, 1 - rows.score, rows.score)))
    again = cross_fit_router(benchmark, flipped, made.prompts, seed=0, jobs=1)
    assert again.quality[0] == pytest.approx(expected.quality[0])
    assert not np.allclose(again.quality, expected.quality)
