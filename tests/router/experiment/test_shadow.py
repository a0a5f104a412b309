import asyncio
import pickle
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from router import (
    CallError,
    CallRequest,
    Endpoint,
    FakeExecutor,
    InputError,
    OpenAIExecutor,
    Reply,
    Router,
    Serving,
    Shadow,
    ShadowAnswer,
    SpendCap,
)
from router.calls import Usage
from tests.loopback import Body, LoopbackServer, Response
from tests.router.fakes import model

PRICES: dict[str, Any] = {"input_usd_per_mtok": 1.0, "output_usd_per_mtok": 1.0}
PROFILES = [model("served", 0.9, cost_usd=0.001), model("second", 0.6, **PRICES, output_tokens={"math": 1000.0})]
ANSWER = b"""{"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [{"index": 0, "finish_reason":
"stop", "message": {"role": "assistant", "content": "Tea."}}], "usage": {"prompt_tokens": 9, "completion_tokens": 4}}"""
Answers = list[ShadowAnswer]


def make(executor: Any, *, spend: SpendCap | None = None, **limits: Any) -> tuple[Router, Answers]:
    pairs: Answers = []
    shadow = Shadow(**({"model": "second", "usd": 1.0, "tell": pairs.append} | limits))
    return Router(PROFILES, serving=Serving(executor=executor, spend=spend), experiment=shadow, prefer="quality"), pairs


def test_the_second_model_gets_the_same_request_and_its_answer_is_not_shown() -> None:
    executor = FakeExecutor({"served": ["Tea."], "second": ["Coffee."]})
    router, pairs = make(executor)
    with router:
        answer = router.complete("coffee or tea?", temperature=0.2)
    assert answer.text == "Tea."
    served, second = sorted(executor.requests, key=lambda request: request.model != "served")
    assert (second.model, second.messages, second.options) == ("second", served.messages, served.options)
    assert [(pair.served.text, pair.shadow and pair.shadow.text) for pair in pairs] == [("Tea.", "Coffee.")]
    assert pairs[0].served == answer


def test_a_stream_is_followed_by_a_whole_answer() -> None:
    executor = FakeExecutor({"served": ["Tea, please."], "second": ["Coffee."]})
    router, pairs = make(executor)
    with router:
        chunks = list(router.complete("coffee or tea?", stream=True))
    assert "".join(chunk.text for chunk in chunks) == "Tea, please."
    assert [(request.model, request.stream) for request in executor.requests] == [("served", True), ("second", False)]
    assert pairs[0].shadow is not None


def test_a_call_of_acomplete_is_followed_by_a_task() -> None:
    executor = FakeExecutor({"served": ["Tea."], "second": ["Coffee."]})
    router, pairs = make(executor)

    async def ask() -> str:
        async with router:
            return (await router.acomplete("coffee or tea?")).text

    assert asyncio.run(ask()) == "Tea."
    assert pairs[0].shadow is not None
    assert pairs[0].shadow.text == "Coffee."


def test_a_shadow_that_fails_or_raises_changes_nothing() -> None:
    for act in (CallError("transient", "503", status=503), ValueError("broken executor")):

        def answer(request: CallRequest, act: Exception = act) -> str:
            if request.model == "second":
                raise act
            return "Tea."

        router, pairs = make(answer)
        with router:
            assert router.complete("coffee or tea?").text == "Tea."
        assert [(pair.shadow, pair.problem) for pair in pairs] == [
            (None, "AllAttemptsFailedError" if isinstance(act, CallError) else "ValueError")
        ]


def test_a_listener_that_raises_changes_nothing() -> None:
    def fail(pair: ShadowAnswer) -> None:
        raise ValueError(pair)

    router, _ = make(FakeExecutor(), tell=fail)
    with router:
        assert [router.complete("hello").model for _ in range(5)] == ["served"] * 5


@pytest.mark.parametrize("forbids", [{"allowed": {"served"}}, {"max_cost_usd": 0.001}])
def test_a_model_that_the_request_forbids_is_not_asked(forbids: dict[str, Any]) -> None:
    executor = FakeExecutor()
    router, _ = make(executor)
    with router:
        router.complete("prove it", **forbids)
    assert [request.model for request in executor.requests] == ["served"]


def test_a_fallback_to_the_second_model_is_not_repeated() -> None:
    executor = FakeExecutor({"served": [CallError("auth", "401", status=401)]})
    router, pairs = make(executor)
    with router:
        assert router.complete("hello").model == "second"
    assert pairs == []


def test_a_share_of_the_requests_is_followed() -> None:
    executor = FakeExecutor()
    router, pairs = make(executor, share=0.25)
    assert router.shadows is not None
    router.shadows._rng = random.Random(0)  # noqa: S311 - no secret depends on it
    with router:
        for _ in range(400):
            router.complete("hello")
            router.shadows.close()
    assert 70 < len(pairs) < 130  # 100 expected, standard error 8.7


def test_the_cost_stays_within_its_cap_and_counts_in_that_of_the_router() -> None:
    def answer(request: CallRequest) -> Reply:
        cost = 0.25 if request.model == "second" else 0.001
        return Reply(text="Tea.", usage=Usage(input_tokens=1, output_tokens=1, cost_usd=cost))

    router, pairs = make(answer, usd=0.6, spend=SpendCap(usd=100.0))
    assert router.shadows is not None
    with router:
        for _ in range(10):
            router.complete("hello")
            router.shadows.close()
    # After two answers 0.5 of 0.6 USD are spent. A third one, expected at about 0.0005, still fits.
    assert len(pairs) == 3
    assert router.fleet.spend_tracker is not None
    assert router.fleet.spend_tracker.used_usd() == pytest.approx(10 * 0.001 + 3 * 0.25)


def test_no_more_calls_run_at_once_than_allowed_and_none_waits() -> None:
    enough = threading.Event()

    def answer(request: CallRequest) -> str:
        if request.model == "second":
            enough.wait(30)
        return "Tea."

    router, pairs = make(answer, most_at_once=2)
    with router:
        for _ in range(5):
            router.complete("hello")
        enough.set()
    assert len(pairs) == 2


@contextmanager
def slow_server(held: threading.Event) -> Iterator[str]:
    """Serve a model that answers at once, and `second`, which answers only when `held` is set."""

    def respond(body: Body) -> Response:
        if body["model"] == "second":
            held.wait(30)
        return Response(content=ANSWER)

    with LoopbackServer(respond) as server:
        try:
            yield server.url
        finally:
            held.set()


@pytest.mark.parametrize("is_async", [False, True])
def test_a_server_that_holds_the_shadow_does_not_hold_the_request(is_async: bool) -> None:
    held = threading.Event()
    with slow_server(held) as url:
        executor = OpenAIExecutor({name: Endpoint(base_url=url) for name in ("served", "second")})
        router, pairs = make(executor)

        async def ask() -> list[str]:
            async with router:
                texts = [(await router.acomplete("coffee or tea?")).text for _ in range(3)]
                assert pairs == []
                held.set()
                return texts

        if is_async:
            assert asyncio.run(ask()) == ["Tea."] * 3
        else:
            with router:
                # All three answers are here while the server still holds the first call of the shadow.
                assert [router.complete("coffee or tea?").text for _ in range(3)] == ["Tea."] * 3
                assert pairs == []
                held.set()
        assert [pair.shadow and pair.shadow.text for pair in pairs] == ["Tea."] * 3


def test_a_router_with_a_shadow_pickles() -> None:
    router = Router(PROFILES, serving=Serving(executor=FakeExecutor()), experiment=Shadow(model="second", usd=1.0))
    copy: Router = pickle.loads(pickle.dumps(router))  # noqa: S301 - made on the line before
    with copy:
        assert copy.complete("hello").text


@pytest.mark.parametrize(
    ("shadow", "message"),
    [
        (lambda: Shadow(model="second", usd=0), "usd of a shadow must be a number above 0, got 0"),
        (lambda: Shadow(model="second", usd=1, share=1.5), "share of a shadow must be a number above 0 and at most 1"),
        (lambda: Shadow(model="second", usd=1, most_at_once=0), "most_at_once of a shadow must be a whole number"),
        (lambda: Router(PROFILES, experiment=Shadow(model="gone", usd=1)), r"one of \['served', 'second'\], got 'gone'"),
        (lambda: Router([model("free")], experiment=Shadow(model="free", usd=1)), "price of the shadow 'free' is unknown"),
    ],
)
def test_a_faulty_shadow_is_refused(shadow: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        shadow()
