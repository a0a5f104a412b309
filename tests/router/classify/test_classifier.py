import numpy as np
import pytest

from router.classify.classifier import CONTINUES, softmax, split_continues
from tests.router.fakes import LABELS, classifier, first_tier

TAUGHT = {"prove it": (0.1, 0.8, 0.1)}


def test_softmax_of_logarithms_returns_the_shares() -> None:
    assert softmax(np.log([[1.0, 2.0, 5.0]]))[0] == pytest.approx([0.125, 0.25, 0.625])


def test_softmax_does_not_overflow() -> None:
    assert softmax(np.array([1e4, 0.0, -1e4])).tolist() == [1.0, 0.0, 0.0]
    assert softmax(np.array([-1e4, -1e4])).tolist() == [0.5, 0.5]


def test_temperature_divides_the_logits() -> None:
    # the square roots of 0.1, 0.8, 0.1 over their sum: 0.3162, 0.8944, 0.3162 over 1.5269
    warm = classifier(TAUGHT, temperature=2)
    assert warm.probabilities(warm.featurize("prove it")) == pytest.approx([0.2071, 0.5858, 0.2071], abs=1e-4)


def test_a_first_tier_gives_the_probabilities_of_its_linear_layer() -> None:
    assert first_tier(TAUGHT).probabilities("prove it") == pytest.approx([0.1, 0.8, 0.1])
    assert first_tier(TAUGHT).probabilities("never seen") == pytest.approx([1 / 3] * 3)


def test_continues_is_a_label_but_not_a_task() -> None:
    assert classifier({}, labels=("coding", CONTINUES, "math")).tasks == ("coding", "math")


def test_the_column_of_continues_is_split_off() -> None:
    tasks, continues = split_continues(("coding", CONTINUES, "math"), np.array([[0.5, 0.2, 0.3], [0.0, 1.0, 0.0]]))
    assert tasks.tolist() == [[0.5, 0.3], [0.0, 0.0]]
    assert continues.tolist() == [0.2, 1.0]


def test_without_the_label_no_turn_continues() -> None:
    probabilities = np.array([[0.5, 0.2, 0.3]])
    tasks, continues = split_continues(LABELS, probabilities)
    assert tasks.tolist() == probabilities.tolist()
    assert continues.tolist() == [0.0]
