"""What the SDK hands out can be sent again."""

import asyncio

import pytest
from openai import OpenAI

from router import ModelProfile, Router, Serving
from router.execution.openai import Endpoint, OpenAIExecutor
from tests.router.execution.faulty_server import FaultyServer
from tests.router.execution.openai_lab import Lab


def sent(server: FaultyServer) -> object:
    return server.asked[-1][1]["messages"]


@pytest.mark.parametrize("way", ["sync", "async"])
def test_an_answer_of_the_sdk_is_sent_again_with_the_result_of_the_tool(lab: Lab, way: str) -> None:
    url = lab.server.url("ok")
    with OpenAI(base_url=url, api_key="none") as client:
        answer = client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}]).choices[0].message
    history = [{"role": "user", "content": "hi"}, answer, {"role": "tool", "tool_call_id": "c1", "content": "42"}]
    executor = OpenAIExecutor({"a": Endpoint(base_url=url, key_env=None)})
    router = Router([ModelProfile(name="a")], serving=Serving(executor=executor))

    async def call() -> None:
        async with router:
            await router.acomplete(history)

    if way == "async":
        asyncio.run(call())
    else:
        with router:
            router.complete(history)
    assert sent(lab.server) == [history[0], {"role": "assistant", "content": answer.content}, history[2]]


def test_long_tools_exclude_a_model_with_a_small_window(lab: Lab) -> None:
    tools = [{"type": "function", "function": {"name": "f", "description": "sort it. " * 53_334}}]  # 480,000 characters
    executor = OpenAIExecutor({name: Endpoint(base_url=lab.server.url("ok"), key_env=None) for name in ("a", "b")})
    profiles = [ModelProfile(name="a", context_window=128_000), ModelProfile(name="b", context_window=1_000_000)]
    with Router(profiles, serving=Serving(executor=executor)) as router:
        completion = router.complete("hi", request={"tools": tools})
    assert completion.model == "b"
    assert "its context window has 128000" in completion.decision.excluded["a"]
