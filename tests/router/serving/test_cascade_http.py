"""Cascades through the SDK to a real server on loopback."""

import asyncio
from collections.abc import Callable, Iterator

import pytest

from router import Agreement, Cascade, Completion, Endpoint, Judge, OpenAIExecutor, Rates, Router, Serving, TokenProbability
from router.calls import Reply
from router.cascade import Verifier
from tests.router.serving.model_server import ModelServer
from tests.router.serving.test_cascade import CHEAP, OTHER, STRONG, ask_sync, read_sync, steps


def ask_async(router: Router) -> Completion:
    async def ask() -> Completion:
        async with router:
            return await router.acomplete("hello")

    return asyncio.run(ask())


def read_async(router: Router) -> Completion:
    async def read() -> Completion:
        async with router:
            stream = await router.acomplete("hello", stream=True)
            assert "".join([chunk.text async for chunk in stream]) == stream.completion.text
            return stream.completion

    return asyncio.run(read())


every_way = pytest.mark.parametrize("ask", [ask_sync, read_sync, ask_async, read_async])
Make = Callable[[ModelServer, Verifier], Router]


@pytest.fixture
def make() -> Iterator[Make]:
    made: list[Router] = []

    def begin(server: ModelServer, verifier: Verifier) -> Router:
        names = ("cheap", "strong", "other")
        executor = OpenAIExecutor({name: Endpoint(base_url=server.url) for name in names})
        cascade = Cascade(verifier=verifier, rates=Rates.of_accuracy(0.95), overlap=0.0)
        serving = Serving(executor=executor, cascade=cascade)
        made.append(Router([CHEAP, STRONG, OTHER], strategy="cascade", usd_per_point=0.002, serving=serving))
        return made[-1]

    yield begin
    for router in made:
        router.close()


@every_way
def test_a_rejected_first_answer_leads_to_the_second_model(ask: Callable[..., Completion], make: Make) -> None:
    def is_good(reply: Reply) -> bool:
        return "good" in reply.text

    with ModelServer({"cheap": "a bad answer", "strong": "a good answer"}) as server:
        completion = ask(make(server, is_good))
    assert (completion.text.replace(" ", ""), completion.model) == ("agoodanswer", "strong")
    assert (server.models, completion.total_cost_usd) == (["cheap", "strong"], pytest.approx(0.0011 + 0.055))


@every_way
def test_a_judge_gets_the_conversation_and_the_answer(ask: Callable[..., Completion], make: Make) -> None:
    with ModelServer({"cheap": "a fine answer", "other": "SCORE: 9"}) as server:
        completion = ask(make(server, Judge(model="other", request={"temperature": 0})))
    assert steps(completion) == [("cheap", None, "answer"), ("other", None, "check")]
    judged = server.bodies[1]
    assert (judged["temperature"], judged.get("stream") or False) == (0, False)
    text = judged["messages"][-1]["content"]
    assert "[user]\nhello" in text
    assert completion.text in text


@every_way
def test_a_second_opinion(ask: Callable[..., Completion], make: Make) -> None:
    with ModelServer({"cheap": "42", "other": "42.0", "strong": "43"}) as server:
        assert ask(make(server, Agreement(model="other"))).model == "cheap"
        server.answers["other"] = "41"
        assert ask(make(server, Agreement(model="other"))).text == "43"


@every_way
@pytest.mark.parametrize(("logprob", "model"), [(-0.01, "cheap"), (-2.0, "strong"), (None, "strong")])
def test_token_probabilities_of_a_server(
    ask: Callable[..., Completion], make: Make, logprob: float | None, model: str
) -> None:
    known = {} if logprob is None else {"cheap": logprob}
    with ModelServer({"cheap": "perhaps", "strong": "certainly"}, known) as server:
        completion = ask(make(server, TokenProbability(threshold=-0.5)))
    assert completion.model == model
    assert server.bodies[0]["logprobs"] is True
    assert "logprobs" not in server.bodies[-1] or model == "cheap"
