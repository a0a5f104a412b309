"""Parameters that a server knows by another name, or does not take."""

import asyncio

import pytest

from router.calls import CallTarget
from router.errors import CallError
from router.execution.adaptation import Adapter
from router.execution.endpoint import Endpoint
from router.execution.openai import OpenAIExecutor
from tests.router.execution.faulty_server import ANSWER
from tests.router.execution.openai_lab import Caller, Lab, in_every_way, streaming

LENGTHS = ("max_tokens", "max_completion_tokens")


def new_executor(lab: Lab, fault: str, **fields: object) -> OpenAIExecutor:
    """An executor that has learned nothing yet. Only other endpoints come from the lab."""
    return OpenAIExecutor({fault: lab.endpoint(fault, **fields), "ok": lab.endpoint("ok")})


def sent_lengths(lab: Lab) -> list[dict[str, object]]:
    return [{name: body[name] for name in LENGTHS if name in body} for _, body, _ in lab.server.asked]


@in_every_way
@pytest.mark.parametrize(
    ("fault", "given", "other"),
    [
        ("no-max-tokens", "max_tokens", "max_completion_tokens"),
        ("no-max-completion-tokens", "max_completion_tokens", "max_tokens"),
    ],
)
def test_a_length_that_a_server_refuses_is_sent_under_its_other_name_and_the_attempt_says_so(
    lab: Lab, way: str, fault: str, given: str, other: str
) -> None:
    caller = Caller(lab, way, fault, "ok", executor=new_executor(lab, fault))
    completion = caller.ask(options={given: 50}).completion
    assert completion is not None
    assert completion.text == ANSWER
    (attempt,) = completion.attempts
    assert (attempt.endpoint, attempt.changes) == (fault, (f"{given} sent as {other}",))
    assert sent_lengths(lab) == [{given: 50}, {other: 50}]
    assert caller.endpoints.failures(fault) == {}


def test_a_change_is_remembered_for_the_endpoint_and_model_that_asked_for_it(lab: Lab) -> None:
    caller = Caller(lab, "sync", "no-max-tokens", executor=new_executor(lab, "no-max-tokens"))
    targets = [CallTarget(model=model, endpoint="no-max-tokens", shared=False) for model in ("m", "m", "other")]
    for target in targets:
        completion = caller.ask(target, options={"max_tokens": 50}).completion
        assert completion is not None
        assert completion.attempts[0].changes == ("max_tokens sent as max_completion_tokens",)
    # The second request to the first model needs no refusal. The other model may differ, so it is asked as usual.
    refused, adapted = {"max_tokens": 50}, {"max_completion_tokens": 50}
    assert sent_lengths(lab) == [refused, adapted, adapted, refused, adapted]


@streaming
def test_a_stream_is_asked_again_without_its_usage_if_the_server_refuses_that(lab: Lab, way: str) -> None:
    fault = "no-stream-options"
    completion = Caller(lab, way, fault, executor=new_executor(lab, fault)).ask().completion
    assert completion is not None
    assert completion.text == ANSWER
    assert completion.attempts[0].changes == ("stream_options dropped",)
    assert ["stream_options" in body for _, body, _ in lab.server.asked] == [True, False]


@in_every_way
def test_declared_changes_are_made_from_the_first_request_on(lab: Lab, way: str) -> None:
    fields = {"rename": {"max_tokens": "max_completion_tokens"}, "drop": {"seed", "stream_options"}}
    caller = Caller(lab, way, "no-max-tokens", executor=new_executor(lab, "no-max-tokens", **fields))
    completion = caller.ask(options={"max_tokens": 50, "seed": 7, "temperature": 0.5}).completion
    assert completion is not None
    assert {"max_tokens sent as max_completion_tokens", "seed dropped"} <= set(completion.attempts[0].changes)
    ((_, body, _),) = lab.server.asked
    assert (body["max_completion_tokens"], body["temperature"]) == (50, 0.5)
    assert body.keys().isdisjoint({"max_tokens", "seed", "stream_options"})


@in_every_way
@pytest.mark.parametrize("given", LENGTHS)
def test_a_server_that_refuses_both_names_is_asked_twice_and_the_next_model_answers(lab: Lab, way: str, given: str) -> None:
    caller = Caller(lab, way, "no-length", "ok", executor=new_executor(lab, "no-length"))
    result = caller.ask(options={given: 50})
    assert result.attempts == [("no-length", "unable"), ("ok", None)]
    assert lab.server.faults_asked() == ["no-length", "no-length", "ok"]
    assert [list(lengths) for lengths in sent_lengths(lab)[:2]] == [[given], [name for name in LENGTHS if name != given]]


@in_every_way
@pytest.mark.parametrize(
    ("fault", "options"),
    [("max-tokens-too-large", {"max_tokens": 100_000}), ("no-temperature", {"temperature": 0.2})],
    ids=["the value is too large", "no other name is known"],
)
def test_a_value_that_a_server_refuses_is_not_sent_under_another_name(
    lab: Lab, way: str, fault: str, options: dict[str, object]
) -> None:
    caller = Caller(lab, way, fault, "ok", executor=new_executor(lab, fault))
    result = caller.ask(options=options)
    assert result.attempts == [(fault, "unable"), ("ok", None)]
    assert lab.server.faults_asked() == [fault, "ok"]
    assert result.completion is not None
    assert [attempt.changes for attempt in result.completion.attempts] == [(), ()]


def test_a_failed_attempt_says_what_was_changed_too(lab: Lab) -> None:
    error = Caller(lab, "sync", "no-length", executor=new_executor(lab, "no-length")).ask(options={"max_tokens": 50}).error
    assert error is not None
    assert error.attempts[0].changes == ("max_tokens sent as max_completion_tokens",)


@in_every_way
def test_a_parameter_of_the_server_that_the_sdk_does_not_know_goes_into_the_body(lab: Lab, way: str) -> None:
    endpoint = lab.endpoint("ok", rename={"max_tokens": "max_new_tokens"}, drop=("top_k",))
    executor = OpenAIExecutor({"ok": endpoint})
    options = {"max_tokens": 5, "extra_body": {"top_k": 4, "min_p": 0.1}}
    assert Caller(lab, way, "ok", executor=executor).ask(options=options).error is None
    (_, body, _) = lab.server.asked[-1]
    assert {name: body.get(name) for name in ("max_new_tokens", "max_tokens", "top_k", "min_p")} == {
        "max_new_tokens": 5,
        "max_tokens": None,
        "top_k": None,
        "min_p": 0.1,
    }


def test_a_change_that_did_not_help_is_forgotten() -> None:
    adapter, endpoint, place = Adapter(), Endpoint(base_url="http://127.0.0.1:9/v1"), ("up", "m")
    sent: list[dict[str, object]] = []

    async def refuse(fields: dict[str, object]) -> None:
        # The server repeats what the request holds, here a field that its sender chose with care.
        sent.append(fields)
        raise CallError("unable", "refused", status=400, detail="extra inputs are not permitted: {'zzz': 'max_tokens'}")

    async def accept(fields: dict[str, object]) -> None:
        sent.append(fields)

    with pytest.raises(CallError):
        asyncio.run(adapter.send(place, endpoint, {"max_tokens": 9, "zzz": "max_tokens"}, [], refuse))
    asyncio.run(adapter.send(place, endpoint, {"max_tokens": 9}, [], accept))
    assert sent[-1] == {"max_tokens": 9}
    assert {"max_completion_tokens": 9, "zzz": "max_tokens"} in sent


def test_names_of_another_protocol_are_not_changed() -> None:
    async def refuse(fields: dict[str, object]) -> None:
        assert fields == {"max_tokens": 9}
        raise CallError("unable", "refused", status=400, detail="unsupported parameter: max_tokens")

    send = Adapter().send(
        ("up", "m"), Endpoint(base_url="http://127.0.0.1:9/v1"), {"max_tokens": 9}, changes := [], refuse, learn=False
    )
    with pytest.raises(CallError):
        asyncio.run(send)
    assert changes == []
