"""The LLM of LlamaIndex, in front of a server."""

import asyncio
from collections.abc import Callable

import pytest

pytest.importorskip("llama_index", reason="llama-index-core is not installed")

from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.llms.types import ChatMessage, ImageBlock, TextBlock, ToolCallBlock, VideoBlock
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel

from router import InputError, Router
from router.plugins.llama_index import RouterLLM
from tests.loopback import LoopbackServer
from tests.router.plugins.tool_model import TEXT


class Weather(BaseModel):
    """Returns the weather."""

    location: str


def weather(location: str) -> str:
    """Return the weather of a location."""
    return f"sun in {location}"


@pytest.fixture
def llm(make_router: Callable[..., Router]) -> RouterLLM:
    return RouterLLM(router=make_router(prefer="quality"))


def test_an_answer_says_how_it_came_about(llm: RouterLLM) -> None:
    told = llm.complete("write a haiku about rain").additional_kwargs
    assert (told["prompt_tokens"], told["finish_reason"], told["router"]["task"]) == (11, "stop", "writing")
    assert [each["failure"] for each in told["router"]["attempts"]] == ["transient", None]


def test_all_ways_of_calling_give_the_same_answer(llm: RouterLLM) -> None:
    messages = [ChatMessage("hello")]

    async def ask() -> list[str | None]:
        async with llm.router:
            streamed = [piece async for piece in await llm.astream_chat(messages)]
            completed = [piece async for piece in await llm.astream_complete("hello")]
            whole = [(await llm.achat(messages)).message.content, (await llm.acomplete("hello")).text]
            return [streamed[-1].message.content, completed[-1].text, *whole]

    pieces = list(llm.stream_chat(messages))
    assert "".join(piece.delta for piece in pieces) == pieces[-1].message.content == TEXT
    assert pieces[-1].additional_kwargs["router"]["model"] == "gpt-4.1-mini"
    assert list(llm.stream_complete("hello"))[-1].text == llm.chat(messages).message.content == TEXT
    assert asyncio.run(ask()) == [TEXT] * 4


def test_messages_reach_the_server(llm: RouterLLM, server: LoopbackServer) -> None:
    call = ToolCallBlock(tool_call_id="7", tool_name="weather", tool_kwargs={"location": "Rome"})
    llm.chat(
        [
            ChatMessage(role="user", content=[TextBlock(text="what is this?"), ImageBlock(url="http://127.0.0.1/a.png")]),
            ChatMessage(role="assistant", content=[call]),
            ChatMessage(role="tool", content="rain", additional_kwargs={"tool_call_id": "7"}),
        ],
        temperature=0.5,
    )
    user, assistant, tool = server.bodies[-1]["messages"]
    assert server.bodies[-1]["temperature"] == 0.5
    assert user["content"][1] == {"type": "image_url", "image_url": {"url": "http://127.0.0.1/a.png"}}
    assert assistant["tool_calls"][0]["function"] == {"name": "weather", "arguments": '{"location": "Rome"}'}
    assert tool == {"role": "tool", "content": "rain", "tool_call_id": "7"}


def test_a_block_that_the_protocol_lacks_is_refused(llm: RouterLLM) -> None:
    with pytest.raises(InputError, match="got VideoBlock; turn it into one of these"):
        llm.chat([ChatMessage(role="user", content=[VideoBlock(url="http://127.0.0.1/a.mp4")])])


def test_tools_and_structured_output(llm: RouterLLM) -> None:
    tool = FunctionTool.from_defaults(weather)
    assert llm.predict_and_call([tool], "weather in Paris?").response == "sun in Paris"
    assert llm.as_structured_llm(Weather).complete("weather in Paris?").raw == Weather(location="Paris")


# LlamaIndex's workflows ask pydantic for attributes that it has deprecated.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_an_agent_uses_a_tool(llm: RouterLLM) -> None:
    async def ask() -> str:
        async with llm.router:
            return str(await FunctionAgent(tools=[weather], llm=llm).run("weather in Paris?"))

    assert asyncio.run(ask()) == TEXT


def test_it_plans_with_the_largest_window_of_the_models_that_may_answer(make_router: Callable[..., Router]) -> None:
    router = make_router()
    windows = {profile.name: profile.context_window for profile in router.profiles}
    assert RouterLLM(router=router, allowed={"gpt-4.1-mini"}).metadata.context_window == windows["gpt-4.1-mini"]
