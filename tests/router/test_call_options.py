"""Calls as in the SDK: its parameters, its objects, a deadline, a function that accepts, feedback for the answer."""

import io
import json
import traceback
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from router import (
    AllAttemptsFailedError,
    CallError,
    CallRequest,
    FakeExecutor,
    InputError,
    NoCandidateError,
    Router,
    Serving,
)
from router.call_options import RequestKeywords
from router.options import RouteKeywords
from tests.router.fakes import model


def pair(script: dict[str, list[Any]] | None = None, **options: Any) -> tuple[Router, FakeExecutor]:
    executor = FakeExecutor(script)
    return Router(
        [model("a", 0.9), model("b", 0.5)], serving=Serving(executor=executor), prefer="quality", **options
    ), executor


def test_the_parameters_of_the_sdk_reach_the_model_and_the_options_of_the_router_do_not() -> None:
    router, executor = pair()
    router.complete("hi", temperature=0.2, max_tokens=5, seed=None, prefer="cheap", request={"top_k": 4}, timeout=5)
    (request,) = executor.requests
    assert request.options == {"temperature": 0.2, "max_tokens": 5, "top_k": 4}
    # Three quarters of it, because "b" could still be asked.
    assert request.timeout_s == pytest.approx(3.75, abs=0.75)


@pytest.mark.parametrize("limit", [10**400, 1e999, -5, "many"])
def test_an_odd_length_of_the_answer_is_the_models_to_refuse(limit: object) -> None:
    router, executor = pair()
    router.complete("hi", request={"max_tokens": limit})
    assert executor.requests[0].options == {"max_tokens": limit}


def test_numbers_of_numpy_and_decimals_count_as_numbers() -> None:
    router, executor = pair()
    options: dict[str, Any] = {"seed": np.int64(3), "temperature": np.float32(0.5), "top_p": Decimal("0.25")}
    router.complete("hi", **options, quality_floor=np.float64(0.5), timeout=np.int64(5))
    assert json.dumps(executor.requests[0].options) == '{"seed": 3, "temperature": 0.5, "top_p": 0.25}'


def test_functions_need_a_model_with_tools() -> None:
    router = Router([model("a", 0.9), model("b", 0.5, capabilities={"tools"})], serving=Serving(executor=FakeExecutor()))
    assert router.complete("hi", functions=[{"name": "add"}]).model == "b"


def test_the_known_parameters_are_those_of_the_sdk() -> None:
    from inspect import signature

    from openai.resources.chat import Completions

    ours = set(RequestKeywords.__annotations__)
    theirs = set(signature(Completions.create).parameters) - {"self", "messages", "model", "stream", "timeout"}
    assert ours == theirs
    # A name must not mean two things.
    assert not ours & set(RouteKeywords.__annotations__)


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({"temprature": 0.2}, "unknown option 'temprature'; the nearest one is 'temperature'"),
        ({"quality_flor": 0.2}, "the nearest one is 'quality_floor'"),
        ({"top_k": 4}, r"extra_body=\{"),
        ({"model": "a"}, r"write allowed=\{"),
        ({"timeout": 0}, "timeout must be a number of seconds above 0, got 0"),
        ({"timeout": "5"}, "timeout must be a number of seconds above 0, got '5'"),
        ({"timeout": True}, "timeout must be"),
        ({"timeout": float("nan")}, "timeout must be"),
        ({"stream": "yes"}, "stream must be True or False, got 'yes'"),
        ({"accept": 5}, "accept must be a plain function"),
        ({"accept": bool, "stream": True}, "needs stream=False"),
        ({"request": "x"}, "request must map"),
        ({"fallbacks": "b"}, r"fallbacks must be a sequence of models, such as \['a', 'b'\], got 'b'"),
        ({"fallbacks": [1]}, "fallbacks must be a sequence of models"),
        ({"fallbacks": ["c"]}, r"fallbacks must name models that exist and have an endpoint, got \['c'\]"),
    ],
)
def test_a_wrong_keyword_is_an_input_error_and_nothing_is_called(options: dict[str, Any], rule: str) -> None:
    router, executor = pair()
    with pytest.raises(InputError, match=rule):
        router.complete("hi", **options)
    assert executor.requests == []


def test_a_reply_that_is_not_accepted_goes_to_the_next_model_and_its_cost_is_recorded() -> None:
    router, _ = pair({"a": ["I cannot help."], "b": ["Gladly."]})
    answer = router.complete("hi", accept=lambda reply: not reply.text.startswith("I cannot"))
    assert answer.text == "Gladly."
    assert [(a.endpoint, a.failure, a.error) for a in answer.attempts] == [
        ("a", "rejected", "the answer was not accepted"),
        ("b", None, ""),
    ]
    health = router.fleet.live.snapshot()["a"]
    assert (health.completed, sum(health.failures.values()), health.state) == (1, 0, "closed")


def test_if_no_reply_is_accepted_the_call_fails() -> None:
    router, executor = pair()
    with pytest.raises(AllAttemptsFailedError, match="the answer was not accepted"):
        router.complete("hi", accept=lambda _: False)
    assert [request.endpoint for request in executor.requests] == ["a", "b"]


@pytest.mark.parametrize("bug", [KeyError("nope"), TypeError("x"), AttributeError("y"), ZeroDivisionError()])
def test_a_mistake_in_the_users_function_surfaces_at_once_with_its_traceback(bug: Exception) -> None:
    asked = []

    def broken(request: CallRequest) -> str:
        asked.append(request.endpoint)
        raise bug

    router = Router([model("a"), model("b")], serving=Serving(executor=broken))
    with pytest.raises(type(bug)) as raised:
        router.complete("hi")
    assert traceback.extract_tb(raised.value.__traceback__)[-1].name == "broken"
    assert len(asked) == 1
    assert router.fleet.live.snapshot()[asked[0]].inflight == 0


def test_an_error_carries_the_servers_facts_and_its_text_is_in_the_detail_alone() -> None:
    refusal = CallError("request", "400", status=400, code="invalid", param="messages", detail="a secret")
    router, _ = pair({"a": [refusal]})
    with pytest.raises(AllAttemptsFailedError) as failed:
        router.complete("hi")
    error = failed.value
    assert (error.status, error.code, error.param, error.detail) == (400, "invalid", "messages", "a secret")
    assert error.failure is refusal
    assert "secret" not in f"{error} {error!r} {error.attempts} {refusal} {refusal!r}"


def test_feedback_for_an_answer_moves_the_model_that_answered() -> None:
    router, _ = pair({"a": [CallError("transient", "503", status=503)]}, learn=True)

    def qualities() -> dict[str, float]:
        return {name: score.quality for name, score in router.route("hi").scores.items()}

    answer, before = router.complete("hi"), qualities()
    assert answer.model == "b"
    router.feedback(answer, 0.0)
    assert qualities()["b"] < before["b"]
    assert qualities()["a"] == before["a"]
    with pytest.raises(InputError, match="feedback needs a completion or a decision"):
        router.feedback("b", 0.0)  # type: ignore[arg-type]


@pytest.mark.parametrize("prompts", ["hello", b"hello", {"role": "user", "content": "hello"}, None, 5])
def test_many_prompts_are_a_list(prompts: Any) -> None:
    with pytest.raises(InputError, match=r"route_many needs a list of prompts, got .*; write \[prompt\] for one"):
        pair()[0].route_many(prompts)


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_a_printed_decision_needs_no_other_letters_than_a_terminal_has(encoding: str, shipped: Router) -> None:
    for dial in ({"prefer": "balanced"}, {"quality_floor": 0.9}, {"prefer": "fast"}):
        decision = shipped.route("translate 東京 to german", **dial)  # type: ignore[arg-type]
        for text in (decision.explain(), str(decision), repr(shipped)):
            print(text, file=io.TextIOWrapper(io.BytesIO(), encoding=encoding))


def knows(*endpoints: str) -> Any:
    class Known(FakeExecutor):
        pass

    executor = Known()
    executor.endpoints = endpoints  # type: ignore[attr-defined]
    return executor


def test_a_model_without_an_endpoint_is_no_candidate_and_the_decision_says_so() -> None:
    router = Router([model("a", 0.9), model("b", 0.5)], serving=Serving(executor=knows("b")), prefer="quality")
    decision = router.route("hi")
    assert decision.ranking == ("b",)
    assert decision.excluded == {"a": "the executor has no endpoint for it"}
    assert router.complete("hi").model == "b"
    with pytest.raises(NoCandidateError, match="the executor has no endpoint for it"):
        router.route("hi", allowed={"a"})
    with pytest.raises(InputError, match=r"fallbacks must name models that exist and have an endpoint, got \['a'\]"):
        router.complete("hi", fallbacks=["a"])


@pytest.mark.parametrize(
    ("make", "rule"),
    [
        (lambda: Serving(executor=knows("x")), r"no model has an endpoint: the executor has \['x'\], the models are a, b"),
        (lambda: Serving(executor=knows("a", "x")), r"the executor's endpoints \['x'\] serve no model"),
        (
            lambda: Serving(executor=knows("a"), endpoints={"a": {"y": 1.0}}),
            r"endpoints\['a'\] must name endpoints of the executor, got \['y'\]; it has: a",
        ),
        (
            lambda: Serving(executor=knows("a"), fallbacks={"a": ["b"]}),
            "fallbacks must name models that exist and have an endpoint",
        ),
    ],
)
def test_endpoints_that_do_not_fit_the_models_are_refused_at_construction(make: Callable[[], Serving], rule: str) -> None:
    with pytest.raises(InputError, match=rule):
        Router([model("a"), model("b")], serving=make())


def test_one_endpoint_serves_several_models_whose_live_state_stays_apart() -> None:
    serving = Serving(executor=knows("one"), endpoints={"a": {"one": 1.0}, "b": {"one": 2.0}})
    router = Router([model("a", 0.9), model("b", 0.5)], serving=serving, prefer="quality")
    answer = router.complete("hi")
    assert (answer.model, answer.endpoint) == ("a", "one")
    snapshot = router.fleet.live.snapshot()
    assert {name: health.completed for name, health in snapshot.items()} == {"one/a": 1, "one/b": 0}
    assert router.fleet.weights(["a", "b"]) == {"a": 1.0, "b": 2.0}


@pytest.mark.parametrize(
    ("defaults", "rule"),
    [
        ({"allowed": {"c"}}, r"allowed names unknown models \['c'\]"),
        ({"focus": "cooking"}, "focus must be one of"),
        ({"allowed": {"a"}}, "no model is left: .*the executor has no endpoint for it"),
    ],
)
def test_defaults_that_no_call_could_use_are_refused_at_construction(defaults: dict[str, Any], rule: str) -> None:
    with pytest.raises(InputError, match=rule):
        Router([model("a"), model("b")], serving=Serving(executor=knows("b")), **defaults)
