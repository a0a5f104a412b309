import numpy as np
import pytest
from scipy.stats import multivariate_normal

from training.data.facts import ModelFacts
from training.quality.cells import Cell, CellArrays
from training.quality.likelihood import differentiate, solve
from training.quality.parameters import Parameters, pack_gradient, start_vector, unpack
from training.quality.posterior import Posterior, estimate_qualities
from training.quality.traits import describe_models

_TASKS = ("qa", "math", "coding", "writing", "advice", "ethics")


def make_cells(seed: int = 0) -> CellArrays:
    draw = np.random.default_rng(seed)
    facts = {f"m{i}": ModelFacts(provider="xy"[i % 2], parameters_b=2.0**i) for i in range(5)}
    facts |= {"m1@low": ModelFacts(provider="y", request={"reasoning_effort": "low"})}
    cells = [
        Cell(model=model, task=task, benchmark=name, mean=draw.uniform(), n=20.0)
        for model in facts
        for task in _TASKS
        for name in ("one", "two")
        if draw.uniform() < 0.7
    ]
    return CellArrays.of(cells, _TASKS, describe_models(list(facts), facts, {}))


def covariance_of(cells: CellArrays, at: Parameters) -> np.ndarray:
    """The covariance of all cells, written out from the definition of the model."""
    traits, n = cells.traits, len(cells.mean)
    described, k = np.hstack([traits.numbers, traits.makers]), traits.numbers.shape[1]
    effects = np.array([at.numbers**2] * k + [at.makers**2] * traits.makers.shape[1])
    whole = np.diag(cells.variance)
    for i in range(n):
        for j in range(n):
            mi, mj, ci, cj = cells.model[i], cells.model[j], cells.column[i], cells.column[j]
            spread = at.spread[ci] * at.spread[cj]
            whole[i, j] += 0.25**2 + spread * (described[mi] * effects) @ described[mj]
            if ci == cj:
                whole[i, j] += at.difficulty**2
            if traits.family[mi] == traits.family[mj]:
                alike = 1 if mi == mj else at.family
                whole[i, j] += spread * alike * at.between_tasks[cells.task[ci], cells.task[cj]]
            if i == j:
                whole[i, j] += (at.spread[ci] * at.own[ci] * at.benchmark) ** 2
    return whole


def test_the_loss_is_the_density_of_the_scores() -> None:
    cells = make_cells()
    for seed in (1, 2):
        vector = start_vector(cells) + 0.5 * np.random.default_rng(seed).standard_normal(len(start_vector(cells)))
        density = multivariate_normal.logpdf(cells.mean - 0.5, cov=covariance_of(cells, unpack(vector, cells)))
        n = len(cells.mean)
        assert solve(cells, unpack(vector, cells)).loss + n / 2 * np.log(2 * np.pi) == pytest.approx(-density)


def test_the_gradient_is_the_slope_of_the_loss() -> None:
    cells = make_cells()
    vector = start_vector(cells) + 0.5 * np.random.default_rng(1).standard_normal(len(start_vector(cells)))
    solution = solve(cells, unpack(vector, cells))
    gradient = pack_gradient(differentiate(cells, solution), solution.parameters)
    for i in range(len(vector)):
        step = 1e-5 * np.eye(len(vector))[i]
        up, down = (solve(cells, unpack(vector + s, cells)).loss for s in (step, -step))
        assert gradient[i] == pytest.approx((up - down) / 2e-5, rel=1e-4, abs=1e-5)


def test_a_prediction_is_the_normal_distribution_given_the_scores() -> None:
    # Hide the cells of one model on one task, and condition the joint normal distribution of all cells on the others.
    cells = make_cells()
    vector = start_vector(cells) + 0.5 * np.random.default_rng(1).standard_normal(len(start_vector(cells)))
    hidden = (cells.model == 2) & (cells.task[cells.column] == 1)
    assert hidden.sum() == 2
    seen = CellArrays(
        traits=cells.traits,
        tasks=cells.tasks,
        columns=cells.columns,
        task=cells.task,
        **{name: getattr(cells, name)[~hidden] for name in ("model", "column", "mean", "variance")},
    )
    at = unpack(vector, seen)
    mean, variance = Posterior(cells=seen, solutions=(solve(seen, at),)).predict_mean(
        cells.traits.models[2], cells.column[hidden]
    )
    whole = covariance_of(cells, at)
    gain = whole[np.ix_(hidden, ~hidden)] @ np.linalg.inv(whole[np.ix_(~hidden, ~hidden)])
    left = whole[np.ix_(hidden, hidden)] - gain @ whole[np.ix_(~hidden, hidden)]
    assert mean == pytest.approx(0.5 + (gain @ (cells.mean[~hidden] - 0.5)).mean())
    assert variance + cells.variance[hidden].sum() / 4 == pytest.approx(left.sum() / 4)


def test_qualities_beyond_the_scale_count_as_its_ends() -> None:
    # All models have 0.99 on an easy task, and the hidden one is better than they are elsewhere: more than 1 is no quality.
    traits = describe_models(["a", "b", "c", "best"], {}, {})
    cells = [Cell(model=m, task="qa", benchmark="x", mean=s, n=1e4) for m, s in zip("abc", (0.3, 0.4, 0.5), strict=True)]
    cells += [Cell(model=m, task="math", benchmark="y", mean=0.99, n=1e4) for m in "abc"]
    cells += [Cell(model="best", task="qa", benchmark="x", mean=0.95, n=1e4)]
    found = estimate_qualities(cells, Posterior.of(CellArrays.of(cells, ("qa", "math"), traits)))
    mean, error = found["best"]["math"].mean, found["best"]["math"].stderr
    assert 0.9 < mean < 1
    assert error > 0.03


def test_intervals_of_small_tables_hold_what_they_promise() -> None:
    # With the most likely parameters alone, 75 % of the true qualities are in the 80 % intervals, and 90 % in the 95 % ones.
    deviations = []
    for seed in range(60):
        draw = np.random.default_rng(seed)
        tasks, models = ("qa", "math", "coding"), [f"m{i}" for i in range(8)]
        truth = 0.5 + 0.1 * (draw.standard_normal(3) + draw.standard_normal((8, 1)) + draw.standard_normal((8, 3)))
        hidden = [(7, 0), (0, 1), (1, 2)]
        cells = [
            Cell(model=models[m], task=tasks[t], benchmark="x", mean=float(truth[m, t]), n=1e4)
            for m, t in np.ndindex(truth.shape)
            if (m, t) not in hidden
        ]
        posterior = Posterior.of(CellArrays.of(cells, tasks, describe_models(models, {}, {})))
        for m, t in hidden:
            mean, covariance = posterior.predict(models[m])
            deviations.append(abs(truth[m, t] - mean[t]) / np.sqrt(covariance[t, t]))
    assert 0.77 < np.mean(np.array(deviations) < 1.28) < 0.88
    assert 0.92 < np.mean(np.array(deviations) < 1.96) < 0.99
