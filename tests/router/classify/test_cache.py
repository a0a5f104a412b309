from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.typing import NDArray

from router import InputError, Router
from router.classify.cache import CachedPredictor
from router.classify.classifier import TaskClassifier
from router.classify.keywords import default_rules
from router.classify.predictor import TaskPredictor
from router.classify.text import parse_prompt
from tests.router.fakes import LABELS, classifier, first_tier, model

TAUGHT = {"one": (0.8, 0.1, 0.1), "two": (0.1, 0.8, 0.1), "three": (0.1, 0.1, 0.8)}


class CountingEncoder:
    """An encoder that records the texts it encodes."""

    name = "counting"

    def __init__(self, taught: TaskClassifier) -> None:
        self.dim, self.encoded, self._encoder = taught.encoder.dim, list[str](), taught.encoder

    def encode(self, texts: Sequence[str], /) -> NDArray[np.float32]:
        self.encoded += texts
        return self._encoder.encode(texts)


def counted(size: int) -> tuple[CachedPredictor, CountingEncoder]:
    taught = classifier(TAUGHT)
    encoder = CountingEncoder(taught)
    counting = TaskClassifier(labels=LABELS, encoder=encoder, heads=taught.heads, temperature=1.0, threshold=0.6)
    return CachedPredictor(TaskPredictor(labels=LABELS, classifier=counting, rules=default_rules()), size=size), encoder


def test_equal_turns_are_classified_once_and_the_least_recently_used_are_dropped_first() -> None:
    cached, encoder = counted(2)
    for text in ("one", "two", "one", "three", "one", "two"):
        cached.classify((text,))
    assert encoder.encoded == ["one", "two", "three", "two"]


def test_with_size_zero_nothing_is_kept() -> None:
    cached, encoder = counted(0)
    assert cached.classify(("one",)).prediction == cached.classify(("one",)).prediction
    assert encoder.encoded == ["one", "one"]


def test_a_cached_classification_equals_a_fresh_one() -> None:
    cached, _ = counted(8)
    for turns in (("one",), ("two", "one"), ("onetwo",), ("one", "two")):
        fresh = cached.predictor.classify(turns[0], turns[1:]).prediction
        assert [cached.classify(turns).prediction, cached.classify(turns).prediction] == [fresh, fresh]


def test_a_caller_who_changes_a_decision_changes_no_later_one() -> None:
    cached, _ = counted(2)
    probabilities = cached.classify(("one",)).prediction.probabilities
    assert isinstance(probabilities, dict)
    probabilities.clear()
    assert cached.classify(("one",)).prediction.probabilities["coding"] == pytest.approx(0.8)


def test_threads_that_evict_each_others_entries_get_the_right_tasks() -> None:
    cached, _ = counted(2)
    with ThreadPoolExecutor(8) as pool:
        tasks = list(pool.map(lambda text: cached.classify((text,)).prediction.task, list(TAUGHT) * 200))
    assert tasks == list(LABELS) * 200


def test_options_and_live_state_still_decide_for_a_cached_prompt() -> None:
    router = Router([model("good", 0.9), model("bad", 0.1)], classifier(TAUGHT))
    assert router.route("one").model == "good"
    assert router.route("one", allowed={"bad"}).model == "bad"
    for _ in range(5):
        router.fleet.live.begin("good").fail("transient")
    assert router.route("one").model == "bad"


@pytest.mark.parametrize("size", [-1, True, 1.5, "many"])
def test_an_invalid_size_is_refused(size: object) -> None:
    with pytest.raises(InputError, match="cache_size must be a whole number of 0 or more"):
        Router([model("good")], cache_size=size)  # type: ignore[arg-type]


def test_many_prompts_are_classified_like_single_ones_and_equal_ones_once() -> None:
    cached, encoder = counted(8)
    prompts = [parse_prompt(text) for text in ("one", "two", "three", "other", "another", "one", "two")]
    classified = cached.classify_many(prompts)
    assert sorted(encoder.encoded) == ["another", "one", "other", "three", "two"]
    single = counted(0)[0]
    assert [r.prediction for r in classified] == [single.classify(prompt.turns).prediction for prompt in prompts]
    assert classified[0].prediction.probabilities is not classified[5].prediction.probabilities
    assert cached.classify_many([]) == []


def test_tiers_are_cached_separately() -> None:
    quick = first_tier({"one": (0.1, 0.8, 0.1)})
    predictor = TaskPredictor(labels=LABELS, classifier=classifier(TAUGHT, first=quick), rules=default_rules())
    cached = CachedPredictor(predictor, size=8)
    for _ in range(2):
        assert cached.classify(("one",)).prediction.tier == "first"
        assert cached.classify(("one",), tier="full").prediction.tier == "full"
        assert [r.prediction.tier for r in cached.classify_many([parse_prompt("one")] * 5, tier="full")] == ["full"] * 5


def test_more_turns_continue_in_the_session_of_an_agent() -> None:
    labels = ("coding", "writing", "continues")
    taught = {"go on": (0.55, 0.05, 0.4), "write a poem": (0.0001, 0.9998, 0.0001)}
    predictor = TaskPredictor(labels=labels[:2], classifier=classifier(taught, labels=labels), rules=default_rules())
    cached = CachedPredictor(predictor, size=8)
    turns = ("go on", "write a poem")
    # Odds of 4 to 6 that it continues become three times as high: 2 to 1.
    assert cached.classify(turns).prediction.task == "coding"
    found = cached.classify(turns, is_agent=True).prediction
    assert (found.task, round(found.inherited, 2)) == ("writing", 0.67)
    # The first turn continues nothing.
    first = cached.classify(("go on",), is_agent=True).prediction
    assert first.probabilities == cached.classify(("go on",)).prediction.probabilities
