import numpy as np
import pytest

from training.quality.cells import Cell
from training.quality.outcomes import Outcomes
from training.quality.same_prompts import compare_on_same_prompts

_MODELS = ("a", "b", "c", "new")


def make_outcomes(score: np.ndarray, task: str = "qa") -> Outcomes:
    n = len(score)
    return Outcomes(
        models=_MODELS,
        prompts=tuple(f"p{i}" for i in range(n)),
        tasks=(task,) * n,
        benchmarks=("x",) * n,
        groups=tuple(f"g{i}" for i in range(n)),
        score=score,
        cost_usd=np.full(score.shape, np.nan),
    )


def make_cells(score: np.ndarray) -> list[Cell]:
    known = ~np.isnan(score)
    return [
        Cell(model=m, task="qa", benchmark="x", mean=float(np.nanmean(score[:, i])), n=float(known[:, i].sum()))
        for i, m in enumerate(_MODELS)
    ]


def compare(score: np.ndarray) -> dict[str, Cell]:
    found = compare_on_same_prompts(make_cells(score), make_outcomes(score), np.ones((len(score), 1)), ("qa",))
    return {cell.model: cell for cell in found}


def draw_scores(n: int, *, seed: int, easy: float = 0.7) -> np.ndarray:
    """Right or wrong answers. Half of the variance is how easy a prompt is."""
    draw = np.random.default_rng(seed)
    ease, own = draw.standard_normal((n, 1)), draw.standard_normal((n, len(_MODELS)))
    return ((np.sqrt(0.5) * (ease + own)) < np.array([0.5, 0.3, 0.0, 0.2])).astype(float)


def test_means_of_equal_prompts_stay_as_they_are() -> None:
    score = draw_scores(200, seed=0)
    assert list(compare(score).values()) == make_cells(score)


def test_models_without_a_common_prompt_stay_as_they_are() -> None:
    score = np.full((8, 4), np.nan)
    for i in range(8):
        score[i, i % 4] = i % 3 / 2
    assert list(compare(score).values()) == make_cells(score)


def test_easy_prompts_do_not_make_a_model_look_strong() -> None:
    whole = draw_scores(1000, seed=1)
    score = whole.copy()
    # The new model gets the prompts that most of the others answer.
    order = np.argsort(-whole[:, :3].sum(axis=1), kind="stable")
    score[order[100:], 3] = np.nan
    truth = whole[:, 3].mean()
    plain, compared = np.nanmean(score[:, 3]), compare(score)["new"].mean
    assert plain - truth > 0.15
    assert abs(compared - truth) < (plain - truth) / 2


def test_fifty_prompts_tell_more_if_other_models_answered_them_and_others() -> None:
    errors, promised = {"plain": [], "compared": []}, []
    for seed in range(300):
        score = draw_scores(1000, seed=seed)
        truth = score[:, 3].mean()
        score[50:, 3] = np.nan
        cell = compare(score)["new"]
        errors["plain"].append(np.nanmean(score[:, 3]) - truth)
        errors["compared"].append(cell.mean - truth)
        promised.append(cell.gain)
    gain = np.var(errors["plain"]) / np.var(errors["compared"])
    assert gain > 1.15
    # The gain that a cell states is the one that it has, up to the error of 300 draws.
    assert np.mean(promised) == pytest.approx(gain, rel=0.15)


def test_a_prompt_counts_for_each_task_by_its_share() -> None:
    # Prompts of another task say nothing, however small the share that the classifier leaves them.
    score = draw_scores(400, seed=3)
    score[50:200, 3] = np.nan
    score[200:, 3] = 1 - score[200:, 2]
    shares = np.array([[1.0, 0.0]] * 200 + [[0.0, 1.0]] * 200)
    cells = [Cell(model=m, task="qa", benchmark="x", mean=0.5, n=50.0) for m in _MODELS]
    both, alone = (
        compare_on_same_prompts(cells, make_outcomes(part, ""), share, ("qa", "math"))
        for part, share in ((score, shares), (score[:200], shares[:200]))
    )
    assert both[3].mean != 0.5
    assert both[3].mean == pytest.approx(alone[3].mean, abs=0.03)
