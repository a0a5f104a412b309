import numpy as np
import pytest

from router.classify.classifier import CONTINUES, softmax
from training.classifier.calibrate import choose_unsure_threshold, fit_mixture, fit_temperature, spread_continues


def test_the_temperature_of_logits_that_are_three_times_too_large_is_three_times_as_large() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(4000, 5)) * 2
    targets = np.array([rng.choice(5, p=p) for p in softmax(logits)])
    assert fit_temperature(logits, targets) == pytest.approx(1, abs=0.1)
    assert fit_temperature(3 * logits, targets) == pytest.approx(3 * fit_temperature(logits, targets), rel=1e-3)


def test_the_mixture_finds_the_weights_and_the_temperature_that_drew_the_tasks() -> None:
    rng = np.random.default_rng(0)
    embedding, words = rng.normal(size=(2, 20_000, 4))
    targets = np.array([rng.choice(4, p=p) for p in softmax(1.5 * embedding + 0.5 * words)])
    mixture, temperature = fit_mixture({"embedding": embedding, "words": words}, targets)
    assert mixture == pytest.approx({"embedding": 0.75, "words": 0.25}, abs=0.02)
    assert temperature == pytest.approx(0.5, abs=0.02)


def test_a_misleading_part_has_no_weight() -> None:
    rng, targets = np.random.default_rng(0), np.arange(1000) % 2
    right, wrong = (np.eye(2)[targets] * rng.normal(mean, 3, size=(1000, 1)) for mean in (2, -2))
    mixture, _ = fit_mixture({"embedding": right, "words": wrong}, targets)
    assert mixture == pytest.approx({"embedding": 1.0, "words": 0.0}, abs=0.1)


def test_the_threshold_is_the_highest_below_which_at_most_a_third_is_right() -> None:
    # The predictions at 0.6, 0.8 and 0.9 are right. Below 0.71 one of three is right, below 0.81 two of four are.
    confidence = np.array([0.5, 0.6, 0.7, 0.8, 0.9])
    right = np.array([False, True, False, True, True])
    none = np.empty(0)
    assert choose_unsure_threshold(confidence, right, none) == 0.8
    assert choose_unsure_threshold(confidence[[1, 2, 3]], right[[1, 2, 3]], none) == 0.0
    # Three outliers weigh a hundredth of the four prompts. Below 0.6 are only outliers. The right one at 0.6 outweighs them.
    assert choose_unsure_threshold(confidence[1:], right[1:], np.array([0.55, 0.58, 0.59])) == 0.6


def test_the_probability_of_continuing_is_spread_evenly_over_the_tasks() -> None:
    spread = spread_continues(("a", CONTINUES, "b"), np.array([[0.5, 0.2, 0.3], [0.0, 1.0, 0.0]]))
    assert spread == pytest.approx(np.array([[0.6, 0.4], [0.5, 0.5]]))


def test_a_prompt_that_may_continue_a_turn_counts_less_for_the_threshold() -> None:
    confidence, none = np.array([0.15, 0.15, 0.25, 0.25]), np.array([])
    right = np.array([True, False, False, False])
    assert choose_unsure_threshold(confidence, right, none) == 0.99
    # Of the first two, one is right. If both probably continue, the wrong ones above them decide.
    right = np.array([True, True, False, False])
    assert choose_unsure_threshold(confidence, right, none) == 0.0
    assert choose_unsure_threshold(confidence, right, none, np.array([0.9, 0.9, 0.0, 0.0])) == 0.99
