import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge

from training.quality.multitask import Regression, combine_weights, fit_weights, fit_weights_path, predict_shifts


def make_problem(n: int = 200, d: int = 4, m: int = 3, *, seed: int = 0) -> tuple[np.ndarray, Regression]:
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n, d)).astype(np.float32)
    target = (rng.random((n, m)) < 1 / (1 + np.exp(-(rows @ rng.normal(size=(d, m)))))).astype(float)
    return rows, Regression(target=target, offset=np.zeros((n, m)), loss="logistic")


def test_without_deviations_the_shared_weights_are_a_logistic_regression_on_all_models() -> None:
    rows, problem = make_problem()
    shared = fit_weights(rows, problem, 2.0, np.inf)
    stacked = LogisticRegression(C=1 / 2, fit_intercept=False, tol=1e-8).fit(
        np.repeat(rows, 3, axis=0), problem.target.ravel()
    )
    assert shared[0] == pytest.approx(stacked.coef_[0], abs=2e-2)
    assert (shared[1:] == 0).all()


def test_without_shared_weights_each_model_has_its_own_regression() -> None:
    rows, problem = make_problem()
    weights = fit_weights(rows, problem, 1e9, 2.0)
    for model in range(3):
        alone = LogisticRegression(C=1 / 2, fit_intercept=False, tol=1e-8).fit(rows, problem.target[:, model])
        assert combine_weights(weights)[model] == pytest.approx(alone.coef_[0], abs=2e-2)


def test_the_squared_loss_gives_ridge_regression() -> None:
    rows, _ = make_problem(m=1)
    target = rows @ np.array([[1.0], [0.0], [-2.0], [0.5]])
    weights = fit_weights(rows, Regression(target=target, offset=np.full((200, 1), 0.3), loss="squared"), 1e9, 3.0)
    ridge = Ridge(3.0, fit_intercept=False).fit(rows, target[:, 0] - 0.3)
    assert combine_weights(weights)[0] == pytest.approx(ridge.coef_, abs=1e-2)


def test_stronger_precisions_shift_less() -> None:
    rows, problem = make_problem()
    sizes = [
        float(np.abs(predict_shifts(rows, weights)).mean())
        for weights in fit_weights_path(rows, problem, [(1e6, 1e6), (30, 30), (1, 1)])
    ]
    assert sizes == sorted(sizes)
    assert sizes[0] < 1e-3 < sizes[2]


def test_a_model_without_prompts_has_only_the_shared_weights() -> None:
    rows, problem = make_problem()
    target = problem.target.copy()
    target[:, 2] = np.nan
    weights = fit_weights(rows, Regression(target=target, offset=problem.offset, loss="logistic"), 1.0, 1.0)
    assert weights[3] == pytest.approx(np.zeros(4), abs=1e-3)
    assert np.abs(weights[0]).max() > 0.1


def test_targets_that_the_offset_explains_need_no_weights() -> None:
    rows, problem = make_problem()
    explained = Regression(
        target=1 / (1 + np.exp(-(rows @ np.ones((4, 3))))), offset=rows @ np.ones((4, 3)), loss="logistic"
    )
    assert np.abs(fit_weights(rows, explained, 1.0, 1.0)).max() < 1e-2
    assert (
        np.abs(
            fit_weights(rows, Regression(target=explained.target, offset=problem.offset, loss="logistic"), 1.0, 1.0)
        ).max()
        > 0.3
    )


def test_losses_by_hand() -> None:
    problem = Regression(target=np.array([[1.0, np.nan]]), offset=np.array([[0.0, 0.0]]), loss="logistic")
    assert problem.losses(0.0)[0, 0] == pytest.approx(np.log(2))
    assert problem.losses(np.log(3))[0, 0] == pytest.approx(np.log(4 / 3))  # 3 to 1 for the true outcome
    assert np.isnan(problem.losses(0.0)[0, 1])
    squared = Regression(target=np.array([[3.0]]), offset=np.array([[1.0]]), loss="squared")
    assert squared.losses(0.5)[0, 0] == pytest.approx(1.5**2 / 2)
