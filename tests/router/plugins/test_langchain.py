"""The chat model and the middleware of LangChain, in front of a server."""

import asyncio
from collections.abc import Callable
from functools import reduce
from operator import add

import pytest

pytest.importorskip("langchain", reason="langchain is not installed")

from langchain.agents import create_agent
from langchain_core.language_models import FakeListChatModel, GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.errors import GraphInterrupt
from pydantic import BaseModel, ValidationError

from router import AllAttemptsFailedError, BudgetExceededError, InputError, Router, Serving, SpendCap
from router.plugins.langchain import RouterChatModel, write_messages
from router.plugins.langchain_middleware import RouterMiddleware
from tests.loopback import LoopbackServer
from tests.router.plugins.tool_model import TEXT

MakeRouter = Callable[..., Router]
ASK = [{"role": "user", "content": "fix the failing unit test in parser.py"}]


class Weather(BaseModel):
    """Returns the weather."""

    location: str


def weather(location: str) -> str:
    """Return the weather of a location."""
    return f"sun in {location}"


@pytest.fixture
def model(make_router: MakeRouter) -> RouterChatModel:
    return RouterChatModel(router=make_router(prefer="quality"))


def test_an_answer_says_how_it_came_about(model: RouterChatModel) -> None:
    answer = model.invoke("write a haiku about rain")
    assert answer.content == TEXT
    assert answer.usage_metadata["input_token_details"] == {"cache_read": 5}
    assert answer.usage_metadata["output_token_details"] == {"reasoning": 2}
    told = answer.response_metadata
    assert (told["model_name"], told["finish_reason"], told["router"]["task"]) == ("gpt-4.1-mini", "stop", "writing")
    assert [(each["model"], each["failure"]) for each in told["router"]["attempts"]] == [
        ("gpt-5.5", "transient"),
        ("gpt-4.1-mini", None),
    ]


def test_all_ways_of_calling_give_the_same_answer(model: RouterChatModel) -> None:
    async def ask() -> tuple[AIMessage, AIMessage]:
        async with model.router:
            chunks = [chunk async for chunk in model.bind_tools([weather]).astream("weather in Paris?")]
            return reduce(add, chunks), await model.ainvoke("hello")

    whole = model.bind_tools([weather]).invoke("weather in Paris?")
    streamed, awaited = asyncio.run(ask())
    assert whole.tool_calls == streamed.tool_calls
    assert whole.tool_calls[0]["args"] == {"location": "Paris"}
    assert streamed.response_metadata["router"]["model"] == "gpt-4.1-mini"
    assert streamed.usage_metadata == whole.usage_metadata
    assert "".join(chunk.content for chunk in model.stream("hello")) == TEXT
    assert awaited.content == TEXT


def test_options_tools_and_messages_reach_the_server(model: RouterChatModel, server: LoopbackServer) -> None:
    image = {"type": "image", "base64": "aGk=", "mime_type": "image/png"}
    call = {"name": "weather", "args": {"location": "Rome"}, "id": "7", "type": "tool_call"}
    thinking = AIMessage(content="", tool_calls=[call], additional_kwargs={"reasoning_content": "Rome it is."})
    messages = [
        SystemMessage("Be brief."),
        HumanMessage([{"type": "text", "text": "what is this?"}, image]),
        thinking,
        ToolMessage("rain", tool_call_id="7"),
    ]
    model.bind_tools([weather], tool_choice="any").invoke(messages, temperature=0.5, stop=["scones"])
    sent = server.bodies[-1]
    assert (sent["temperature"], sent["stop"], sent["tool_choice"]) == (0.5, ["scones"], "required")
    assert sent["tools"][0]["function"]["name"] == "weather"
    assert sent["messages"] == write_messages(messages)
    assert sent["messages"][1]["content"][1] == {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}
    assert sent["messages"][2]["reasoning_content"] == "Rome it is."


def test_structured_output(model: RouterChatModel) -> None:
    assert model.with_structured_output(Weather).invoke("weather in Paris?") == Weather(location="Paris")


def test_a_call_can_have_other_options(model: RouterChatModel) -> None:
    with pytest.raises(AllAttemptsFailedError):
        model.invoke("hello", model="gpt-5.5")
    # A dial takes the place of the dial that the model was made with.
    assert RouterChatModel(router=model.router, prefer="cheap").invoke("hello", quality_floor=0.5).content == TEXT
    assert model.bind(allowed={"gpt-4.1-mini"}).invoke("hello").response_metadata["router"]["attempts"][0]["failure"] is None


def test_unknown_options_are_refused_at_once_and_no_key_is_shown(make_router: MakeRouter) -> None:
    router = make_router()
    with pytest.raises(ValidationError, match="unknown option 'tempreature'; the nearest one is 'temperature'") as error:
        RouterChatModel(router=router, tempreature=1, extra_headers={"Authorization": "s3cret"})
    model = RouterChatModel(router=router, extra_headers={"Authorization": "s3cret"})
    assert "s3cret" not in str(error.value) + repr(model) + str(model.asdict()) + str(model.model_dump())


def test_an_agent_takes_each_step_with_a_model_of_the_router(make_router: MakeRouter) -> None:
    models = {
        "gpt-5.5": RouterChatModel(router=make_router({"gpt-5.5": "down"})),
        "gpt-4.1-mini": RouterChatModel(router=make_router({"gpt-4.1-mini": "ok"})),
    }
    middleware = RouterMiddleware(models, prefer="quality")
    agent = create_agent(models["gpt-5.5"], tools=[weather], middleware=[middleware], checkpointer=InMemorySaver())

    async def ask_async(*given: object) -> dict[str, list[AIMessage]]:
        async with models["gpt-5.5"].router, models["gpt-4.1-mini"].router:
            return await agent.ainvoke(*given)

    for ask in (agent.invoke, lambda *given: asyncio.run(ask_async(*given))):
        thread = {"configurable": {"thread_id": str(ask)}}
        messages = ask({"messages": [{"role": "user", "content": "weather in Paris?"}]}, thread)["messages"]
        assert [type(message).__name__ for message in messages] == ["HumanMessage", "AIMessage", "ToolMessage", "AIMessage"]
        assert (messages[2].content, messages[3].content) == ("sun in Paris", TEXT)
        steps = [message.response_metadata["router"] for message in messages if isinstance(message, AIMessage)]
        assert [step["model"] for step in steps] == ["gpt-4.1-mini"] * 2
        assert steps[1]["strategy"] == "sticky"
        # The thread stays on the model that took its first step, so that no other model is asked inside the tool loop.
        assert "inside a tool call" in " ".join(steps[1]["reasons"])
    assert middleware.router.fleet.live.snapshot()["gpt-4.1-mini"].completed == 4


def test_what_stops_an_agent_is_no_failure_of_a_model() -> None:
    class Stops(GenericFakeChatModel):
        def _generate(self, *args: object, **kwargs: object) -> None:  # noqa: ARG002 - the arguments are LangChain's
            raise GraphInterrupt

    models = {"gpt-5.5": Stops(messages=iter([])), "gpt-4.1-mini": FakeListChatModel(responses=["hi"])}
    middleware = RouterMiddleware(models, prefer="quality")
    agent = create_agent(models["gpt-5.5"], middleware=[middleware], checkpointer=InMemorySaver())
    agent.invoke({"messages": ASK}, {"configurable": {"thread_id": "1"}})
    health = middleware.router.fleet.live.snapshot()
    assert (health["gpt-5.5"].completed, health["gpt-4.1-mini"].completed) == (0, 0)


def test_a_budget_holds_for_the_steps_of_agents() -> None:
    models = {"gpt-5.5": FakeListChatModel(responses=["hi"])}
    middleware = RouterMiddleware(models, serving=Serving(spend=SpendCap(usd=1e-9)))
    with pytest.raises(BudgetExceededError):
        create_agent(models["gpt-5.5"], middleware=[middleware]).invoke({"messages": ASK})


def test_models_must_be_named_as_in_the_model_folder() -> None:
    with pytest.raises(InputError, match=r"models must be named as in the model folder, got \['gpt5'\]; it has: claude"):
        RouterMiddleware({"gpt5": FakeListChatModel(responses=["hi"])})
