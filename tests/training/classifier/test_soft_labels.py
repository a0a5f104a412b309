import numpy as np

from router.classify.classifier import softmax
from training.classifier.soft_labels import fit_linear

RNG = np.random.default_rng(0)
WEIGHTS = RNG.normal(size=(3, 6)).astype(np.float32) * 2


def test_the_fit_recovers_a_linear_teacher() -> None:
    vectors = RNG.normal(size=(500, 6)).astype(np.float32)
    teacher = softmax(np.asarray(vectors @ WEIGHTS.T + [0.5, 0.0, -0.5], np.float64))
    layer = fit_linear(vectors, teacher, strength=1e-6)
    np.testing.assert_allclose(layer.probabilities(vectors), teacher, atol=0.02)


def test_constant_columns_and_units_do_not_matter() -> None:
    vectors = RNG.normal(size=(300, 6)).astype(np.float32)
    teacher = softmax(np.asarray(vectors @ WEIGHTS.T, np.float64))
    constant = np.concatenate([vectors, np.zeros((300, 1), np.float32)], axis=1)
    plain = fit_linear(vectors, teacher).probabilities(vectors)
    np.testing.assert_allclose(fit_linear(constant, teacher).probabilities(constant), plain, atol=0.01)
    np.testing.assert_allclose(fit_linear(vectors * 1000, teacher).probabilities(vectors * 1000), plain, atol=0.01)
