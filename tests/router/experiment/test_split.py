import json
import subprocess
import sys
from collections import Counter
from itertools import count

import pytest

from router import AbTest, InputError, Router
from router.experiment.split import Split
from router.options import RouteOptions
from tests.router.fakes import model

PROFILES = [model("dear", 0.9, cost_usd=0.01), model("cheap", 0.6, cost_usd=0.001)]
DIAL = AbTest(name="dial", arms={"control": {}, "cheap": {"prefer": "cheap"}})
ONE = AbTest(name="one", arms={"control": {}, "one": {"allowed": ("cheap",)}})
USERS = [f"user-{n}" for n in range(4000)]


def split(test: AbTest, defaults: RouteOptions | None = None) -> Split:
    numbers = count()
    return Split(test, defaults or RouteOptions(), check=lambda _: None, draw=lambda: f"request-{next(numbers)}")


def arms(test: AbTest) -> list[str]:
    assigns = split(test)
    return [assigns.find_arm(user) for user in USERS]


def test_the_same_key_gets_the_same_arm_also_in_another_process() -> None:
    code = (
        "import json; from router import AbTest; from router.experiment.split import Split; from router.options import *;"
        "t = AbTest(name='dial', arms={'control': {}, 'cheap': {'prefer': 'cheap'}});"
        "s = Split(t, RouteOptions(), check=lambda _: None);"
        "print(json.dumps([s.find_arm(f'user-{n}') for n in range(50)]))"
    )
    other = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert json.loads(other.stdout) == arms(DIAL)[:50]


def test_the_arms_get_their_shares() -> None:
    test = AbTest(name="dial", arms=DIAL.arms, shares={"cheap": 0.25})  # of 1.25, so a fifth
    # Four standard errors of a share of 0.2 among 4,000 keys are 0.025.
    assert Counter(arms(test))["cheap"] / len(USERS) == pytest.approx(0.2, abs=0.025)


def test_an_arm_that_grows_keeps_its_keys() -> None:
    before, after = (arms(AbTest(name="dial", arms=DIAL.arms, shares={"cheap": share})) for share in (0.1, 0.5))
    assert all(later == "cheap" for early, later in zip(before, after, strict=True) if early == "cheap")
    assert Counter(after)["cheap"] > Counter(before)["cheap"]


def test_two_tests_split_the_keys_independently() -> None:
    pairs = Counter(zip(arms(DIAL), arms(AbTest(name="other", arms=DIAL.arms)), strict=True))
    assert all(n == pytest.approx(1000, abs=120) for n in pairs.values())  # more than four standard errors of 27


def test_without_a_key_the_conversation_is_split_and_without_one_the_request() -> None:
    assigns = split(DIAL)
    entries = [
        assigns.enter(RouteOptions(), key=key, conversation=conversation)
        for key, conversation in (("anna", "c1"), ("anna", "c2"), ("", "c1"), ("", "c1"), ("", ""), ("", ""))
    ]
    found = [entry.assignment for entry in entries if entry is not None]
    assert [one.by for one in found] == ["key", "key", "conversation", "conversation", "request", "request"]
    first, second, *_ = found
    assert first == second
    assert found[2] == found[3]
    assert found[4].unit != found[5].unit
    assert "anna" not in str(found)


@pytest.mark.parametrize(
    ("test", "options"),
    [
        (DIAL, RouteOptions(prefer="quality")),
        (DIAL, RouteOptions(quality_floor=0.9)),
        (DIAL, RouteOptions(allowed=("dear",))),
        (ONE, RouteOptions(allowed=("dear", "cheap"))),
    ],
)
def test_a_request_that_chooses_itself_takes_no_part(test: AbTest, options: RouteOptions) -> None:
    assert split(test).enter(options, key="anna", conversation="") is None


def test_the_defaults_of_the_router_take_part() -> None:
    defaults = RouteOptions(prefer="quality", max_cost_usd=1.0)
    options = {
        entry.assignment.arm: entry.options
        for user in USERS[:50]
        if (entry := split(DIAL, defaults).enter(defaults, key=user, conversation=""))
    }
    assert options == {"control": defaults, "cheap": RouteOptions(prefer="cheap", max_cost_usd=1.0)}


def test_the_arm_decides_and_the_decision_says_so() -> None:
    router = Router(PROFILES, experiment=ONE, prefer="quality")
    models: dict[str, set[str]] = {"control": set(), "one": set()}
    for user in USERS[:50]:
        decision = router.route("go on", key=user)
        assert decision.assignment is not None
        models[decision.assignment.arm].add(decision.model)
        assert decision.reasons[-1] == f"experiment one: arm {decision.assignment.arm}, split by key"
    assert models == {"control": {"dear"}, "one": {"cheap"}}


def test_an_arm_without_a_model_for_the_request_does_not_fail_it() -> None:
    profiles = [model("dear", 0.9, capabilities=frozenset({"vision"})), model("cheap", 0.6)]
    router = Router(profiles, experiment=ONE)
    user = next(user for user in USERS if split(ONE).find_arm(user) == "one")
    decision = router.route("go on", key=user, needs={"vision"})
    assert (decision.model, decision.assignment and decision.assignment.arm) == ("dear", "one")
    assert decision.reasons[-1].endswith("which has no model for this request")


@pytest.mark.parametrize(
    ("arms", "shares", "message"),
    [
        ({"control": {}}, {}, "two or more, one of them named 'control'"),
        ({"a": {}, "b": {}}, {}, "one of them named 'control'"),
        ({"control": {}, "b": {"prefr": "cheap"}}, {}, "arms.b: unknown option 'prefr'; the nearest one is 'prefer'"),
        ({"control": {}, "b": {"key": "x"}}, {}, "arms.b must not set key"),
        ({"control": {}, "b": {}}, {"c": 1.0}, r"shares must name arms, .*got \['c'\]"),
        ({"control": {}, "b": {}}, {"b": 0}, "shares.b must be a number above 0, got 0"),
        ({"control": {}, "b": 1}, {}, "arms must map names to options"),
    ],
)
def test_a_faulty_test_is_refused(arms: dict[str, dict[str, str]], shares: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        AbTest(name="dial", arms=arms, shares=shares)  # type: ignore[arg-type]


def test_an_arm_that_names_something_unknown_is_refused() -> None:
    with pytest.raises(InputError, match=r"arms\.one: allowed names unknown models"):
        Router(PROFILES, experiment=AbTest(name="one", arms={"control": {}, "one": {"allowed": {"gone"}}}))
