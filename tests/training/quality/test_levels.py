import pytest

from training.quality.levels import Measurement, estimate_quality, fit_levels


def test_an_estimate_by_hand() -> None:
    # γ = 0.03 / (0.03 + 0.01) = 0.75; 0.75 · 0.8 + 0.25 · 0.5 = 0.725; 0.75 · 0.01 + 0.0625 · 0.04 = 0.01 = 0.1².
    estimate = estimate_quality(Measurement(0.8, 0.01, 50), (0.5, 0.04), between=0.03)
    assert (estimate.mean, estimate.stderr, estimate.n) == (pytest.approx(0.725), pytest.approx(0.1), 50)
    # Without a measurement: the level, ± √(0.05 + 0.04).
    estimate = estimate_quality(None, (0.5, 0.04), between=0.05)
    assert (estimate.mean, estimate.stderr, estimate.n) == (0.5, pytest.approx(0.3), 0)


def test_between_is_the_scatter_that_noise_does_not_explain() -> None:
    models, tasks = ("a", "b", "c"), ("qa", "math", "coding")
    additive = {
        (m, t): Measurement(0.3 + 0.1 * i + 0.1 * j, 1e-4, 100.0) for i, m in enumerate(models) for j, t in enumerate(tasks)
    }
    crossed = additive | {("a", "qa"): Measurement(0.9, 1e-4, 100.0)}
    assert fit_levels(additive, models=models, tasks=tasks).between == 0
    assert fit_levels(crossed, models=models, tasks=tasks).between > 0.01


def test_the_variance_between_models_is_estimated_from_them() -> None:
    # Almost no noise: the variance of the mean is σ²/3, as is that of the deviations −0.1, 0 and 0.1. A new model's is σ²:
    # σ² = (0.01 + 0 + 0.01 + 3 · σ²/3 + σ² + 0.0225) / (4 + 1), so σ² = 0.0425 / 3.
    models, tasks = ("a", "b", "c"), ("qa", "math", "coding")
    table = {(m, t): Measurement(0.4 + 0.1 * i, 1e-6, 1e5) for i, m in enumerate(models) for t in tasks}
    levels = fit_levels(table, models=(*models, "new"), tasks=tasks)
    assert levels.predict("b", "qa") == (pytest.approx(0.5, abs=1e-3), pytest.approx(0, abs=1e-3))
    mean, variance = levels.predict("new", "qa")
    assert mean == pytest.approx(0.5, abs=0.01)
    assert variance == pytest.approx(0.0425 / 3 * (1 + 1 / 3), rel=1e-3)
