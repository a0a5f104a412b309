from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.typing import NDArray

from router import InputError, Router
from router.cache import CachedOracle
from router.classifier import TaskClassifier, TaskOracle
from router.keywords import default_rules
from tests.router.fakes import LABELS, classifier, first_tier, model

TAUGHT = {"one": (0.8, 0.1, 0.1), "two": (0.1, 0.8, 0.1), "three": (0.1, 0.1, 0.8)}


class CountingEncoder:
    """Counts how often it is asked for each text."""

    name = "counting"

    def __init__(self, taught: TaskClassifier) -> None:
        self.dim, self.asked, self._encoder = taught.encoder.dim, list[str](), taught.encoder

    def encode(self, texts: Sequence[str], /) -> NDArray[np.float32]:
        self.asked += texts
        return self._encoder.encode(texts)


def counted(size: int) -> tuple[CachedOracle, CountingEncoder]:
    taught = classifier(TAUGHT)
    encoder = CountingEncoder(taught)
    counting = TaskClassifier(labels=LABELS, encoder=encoder, heads=taught.heads, temperature=1.0, threshold=0.6)
    return CachedOracle(TaskOracle(labels=LABELS, classifier=counting, rules=default_rules()), size=size), encoder


def test_the_same_turns_are_read_once_and_the_longest_unread_go_first() -> None:
    cached, encoder = counted(2)
    for text in ("one", "two", "one", "three", "one", "two"):
        cached.read((text,))
    assert encoder.asked == ["one", "two", "three", "two"]


def test_without_a_size_nothing_is_kept() -> None:
    cached, encoder = counted(0)
    assert cached.read(("one",)).prediction == cached.read(("one",)).prediction
    assert encoder.asked == ["one", "one"]


def test_what_is_remembered_is_what_was_read() -> None:
    cached, _ = counted(8)
    for turns in (("one",), ("two", "one"), ("onetwo",), ("one", "two")):
        fresh = cached.oracle.read(turns[0], turns[1:]).prediction
        assert [cached.read(turns).prediction, cached.read(turns).prediction] == [fresh, fresh]


def test_a_caller_who_changes_its_decision_changes_no_later_one() -> None:
    cached, _ = counted(2)
    probabilities = cached.read(("one",)).prediction.probabilities
    assert isinstance(probabilities, dict)
    probabilities.clear()
    assert cached.read(("one",)).prediction.probabilities["coding"] == pytest.approx(0.8)


def test_threads_that_evict_each_others_readings_read_right() -> None:
    cached, _ = counted(2)
    with ThreadPoolExecutor(8) as pool:
        read = list(pool.map(lambda text: cached.read((text,)).prediction.task, list(TAUGHT) * 200))
    assert read == list(LABELS) * 200


def test_options_and_live_state_choose_anew_for_a_remembered_prompt() -> None:
    router = Router([model("good", 0.9), model("bad", 0.1)], classifier(TAUGHT))
    assert router.route("one").model == "good"
    assert router.route("one", allowed={"bad"}).model == "bad"
    for _ in range(5):
        router.fleet.live.begin("good").fail("transient")
    assert router.route("one").model == "bad"


@pytest.mark.parametrize("size", [-1, True, 1.5, "many"])
def test_a_size_is_a_whole_number_not_below_zero(size: object) -> None:
    with pytest.raises(InputError, match="cache_size must be a whole number that is not negative"):
        Router([model("good")], cache_size=size)  # type: ignore[arg-type]


def test_several_are_read_as_one_each_and_equal_ones_once() -> None:
    cached, encoder = counted(8)
    several = [(text,) for text in ("one", "two", "three", "other", "another", "one", "two")]
    readings = cached.read_many(several)
    assert sorted(encoder.asked) == ["another", "one", "other", "three", "two"]
    single = counted(0)[0]
    assert [r.prediction for r in readings] == [single.read(turns).prediction for turns in several]
    assert readings[0].prediction.probabilities is not readings[5].prediction.probabilities
    assert cached.read_many([]) == []


def test_tiers_are_remembered_apart() -> None:
    quick = first_tier({"one": (0.1, 0.8, 0.1)})
    oracle = TaskOracle(labels=LABELS, classifier=classifier(TAUGHT, first=quick), rules=default_rules())
    cached = CachedOracle(oracle, size=8)
    for _ in range(2):
        assert cached.read(("one",)).prediction.tier == "first"
        assert cached.read(("one",), tier="full").prediction.tier == "full"
        assert [r.prediction.tier for r in cached.read_many([("one",)] * 5, tier="full")] == ["full"] * 5
