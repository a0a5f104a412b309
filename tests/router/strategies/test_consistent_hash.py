import json
import math
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.strategies.consistent_hash import consistent_hash, hash_to_unit
from tests.router.strategies.fleets import fits, fleet

ROOT = Path(__file__).parents[3]
NAMES = st.lists(st.text(max_size=8), min_size=2, max_size=6, unique=True)
WEIGHT = st.sampled_from([0.1, 0.5, 1.0, 2.0, 5.0])
WEIGHTED = st.dictionaries(st.text(max_size=8), WEIGHT, min_size=2, max_size=6)
KEYS = [f"user-{number}" for number in range(1000)]
statistical = settings(derandomize=True, max_examples=15, deadline=None)


def rank(key: str, weights: Mapping[str, float]) -> list[str]:
    return consistent_hash(fleet(list(weights), weights=weights, key=key))


def owners(weights: Mapping[str, float]) -> dict[str, str]:
    return {key: rank(key, weights)[0] for key in KEYS}


# Hashes by another program, of lengths and texts written out: printf '\0\0\0\0\0\0\0\3gpt\0\0\0\0\0\0\0\0' | b2sum -l 64
@pytest.mark.parametrize(
    ("model", "key", "hashed"),
    [
        ("model-a", "user-1", 0x8C1EA78EDF790016),
        ("gpt", "", 0xF1F3258E38494A26),
        ("模型", "Zoë", 0x14F25521EAAE3347),
    ],
)
def test_the_hash_is_the_documented_one(model: str, key: str, hashed: int) -> None:
    assert hash_to_unit(model, key) == ((hashed >> 11) + 0.5) / 2**53


# With the weights below, by the formula and that other program; the last by the prompt "any".
GOLDEN = {"user-1": "dacb", "user-2": "cbad", "Zoë": "cbda", "": "bcda"}
SCRIPT = """
import json, sys
from router.strategies import consistent_hash
from tests.router.strategies.fleets import fleet
weights = {"a": 1.0, "b": 1.0, "c": 2.0, "d": 0.5}
asked = [fleet("abcd", weights=weights, key=key) for key in json.loads(sys.argv[1])]
print(json.dumps(["".join(consistent_hash(context)) for context in asked]))
"""


@pytest.mark.parametrize("seed", ["0", "1", "random"])
def test_every_process_ranks_the_same_way_whatever_its_hash_seed(seed: str) -> None:
    command = [sys.executable, "-c", SCRIPT, json.dumps(list(GOLDEN))]
    environment = os.environ | {"PYTHONHASHSEED": seed}
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, check=True, text=True)
    assert json.loads(done.stdout) == list(GOLDEN.values())


def test_the_boundary_between_model_and_key_changes_the_hash() -> None:
    assert hash_to_unit("ab", "c") != hash_to_unit("a", "bc")


def test_a_lone_surrogate_is_a_key_like_any_other() -> None:
    assert sorted(rank("\ud800", {"a": 1.0, "\udfff": 1.0})) == ["a", "\udfff"]


@pytest.mark.parametrize("byte", [b"\0", b"\xff"])
def test_the_smallest_and_the_largest_hash_have_a_rank(byte: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    class Digest:
        def copy(self) -> "Digest":
            return self

        def update(self, _: bytes) -> None: ...

        def digest(self) -> bytes:
            return byte * 8

    monkeypatch.setattr(sys.modules[hash_to_unit.__module__], "_EMPTY_HASH", Digest())
    assert 0 < hash_to_unit("a", "user-1") < 1
    assert rank("user-1", {"a": 1.0, "b": 2.0}) == ["b", "a"]


@statistical
@given(WEIGHTED)
def test_keys_are_shared_by_weight(weights: dict[str, float]) -> None:
    assert fits(Counter(owners(weights).values()), weights)


@given(weights=WEIGHTED, key=st.text())
def test_the_order_of_the_candidates_does_not_matter(weights: dict[str, float], key: str) -> None:
    assert rank(key, weights) == rank(key, dict(reversed(weights.items())))


@given(weights=WEIGHTED, key=st.text(), data=st.data())
def test_losing_any_model_leaves_the_order_of_the_others(weights: dict[str, float], key: str, data: st.DataObject) -> None:
    lost = data.draw(st.sampled_from(list(weights)))
    left = {name: weight for name, weight in weights.items() if name != lost}
    assert rank(key, left) == [name for name in rank(key, weights) if name != lost]


@statistical
@given(NAMES)
def test_losing_a_model_moves_exactly_its_own_keys_and_each_to_the_next_in_its_rank(names: list[str]) -> None:
    weights, left = dict.fromkeys(names, 1.0), dict.fromkeys(names[1:], 1.0)
    before, after = owners(weights), owners(left)
    for key in KEYS:
        lost = before[key] == names[0]
        assert (after[key] != before[key]) == lost
        assert after[key] == rank(key, weights)[1 if lost else 0]


@statistical
@given(weights=WEIGHTED, weight=WEIGHT)
def test_a_new_model_takes_its_share_within_six_sigma_and_moves_no_key_between_others(
    weights: dict[str, float], weight: float
) -> None:
    new = "a model that is new"
    before, after = owners(weights), owners(weights | {new: weight})
    moved = [key for key in KEYS if before[key] != after[key]]
    assert all(after[key] == new for key in moved)
    share = weight / (weight + sum(weights.values()))
    assert abs(len(moved) - share * len(KEYS)) <= 6 * math.sqrt(len(KEYS) * share * (1 - share))


def test_with_ten_models_one_more_moves_an_eleventh_of_the_keys() -> None:
    ten = dict.fromkeys("abcdefghij", 1.0)
    before, after = owners(ten), owners(ten | {"k": 1.0})
    moved = sum(before[key] != after[key] for key in KEYS)
    assert abs(moved - 1000 / 11) <= 6 * math.sqrt(1000 * 10 / 121)


def most_allowed(name: str, inflight: Mapping[str, int], weights: Mapping[str, int]) -> int:
    """Return ⌈1.25 · (Σ + 1) · w / Σw⌉, without rounding."""
    return math.ceil(Fraction(5, 4) * (sum(inflight.values()) + 1) * weights[name] / sum(weights.values()))


@given(
    weights=st.dictionaries(st.sampled_from("abcde"), st.integers(1, 5), min_size=1),
    requests=st.lists(st.tuples(st.sampled_from(["u", "v", "w"]), st.booleans()), max_size=60),
)
def test_no_model_ever_takes_more_than_a_quarter_over_its_share(
    weights: dict[str, int], requests: list[tuple[str, bool]]
) -> None:
    inflight, running = dict.fromkeys(weights, 0), list[str]()
    for key, ends_oldest in requests:
        if ends_oldest and running:
            inflight[running.pop(0)] -= 1
        first = consistent_hash(fleet(list(weights), key=key, inflight=inflight, weights=weights))[0]
        assert inflight[first] + 1 <= most_allowed(first, inflight, weights)
        inflight[first] += 1
        running.append(first)


@given(
    weights=st.dictionaries(st.sampled_from("abcde"), st.integers(1, 5), min_size=1),
    counts=st.lists(st.integers(0, 20), min_size=5, max_size=5),
    key=st.text(max_size=5),
)
def test_models_over_the_bound_go_to_the_end_and_no_other_moves(
    weights: dict[str, int], counts: Sequence[int], key: str
) -> None:
    inflight = dict(zip(weights, counts, strict=False))
    over = {name for name in weights if inflight[name] + 1 > most_allowed(name, inflight, weights)}
    idle = rank(key, weights)
    ranking = consistent_hash(fleet(list(weights), key=key, inflight=inflight, weights=weights))
    assert ranking == [name for name in idle if name not in over] + [name for name in idle if name in over]
    assert len(over) < len(weights)


def test_a_hot_key_moves_to_its_next_model_and_returns() -> None:
    first, second, *rest = rank("hot", dict.fromkeys("abcd", 1.0))
    # ⌈1.25 · 4 / 4⌉ = 2 with three in flight: first may have a second, not a third
    assert consistent_hash(fleet("abcd", key="hot", inflight={first: 1, rest[0]: 1, rest[1]: 1}))[0] == first
    assert consistent_hash(fleet("abcd", key="hot", inflight={first: 2, rest[0]: 1})) == [second, *rest, first]
    assert consistent_hash(fleet("abcd", key="hot"))[0] == first


def test_requests_of_models_that_are_no_candidates_do_not_count() -> None:
    first, second = rank("hot", dict.fromkeys("ab", 1.0))
    # ⌈1.25 · 3 / 2⌉ = 2
    assert consistent_hash(fleet("ab", key="hot", inflight={first: 2, "gone": 90})) == [second, first]


def test_without_a_key_the_prompt_is_the_key() -> None:
    asked = [fleet("abcdef", key="", prompt=f"prompt {number}") for number in range(50)]
    assert len({consistent_hash(context)[0] for context in asked}) == 6
    assert [consistent_hash(context) for context in asked] == [consistent_hash(context) for context in asked]
    assert len({tuple(consistent_hash(fleet("abcdef", key="u", prompt=f"prompt {number}"))) for number in range(50)}) == 1
