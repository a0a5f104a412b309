"""The steps of a LangChain agent in, the model of each step out of those that the user has."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Unpack, cast

from langchain.agents.middleware import AgentMiddleware, AgentState, ModelRequest, ModelResponse
from langchain.chat_models import init_chat_model
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.utils.function_calling import convert_to_openai_tool
from langgraph.errors import GraphBubbleUp

from router.calls import CallRequest, Completion, Reply, Usage
from router.core import Router, RouterKeywords
from router.errors import CallError, InputError, ServingError
from router.execution.conversion import errors_as_failures
from router.execution.policy import CallPolicy
from router.model_folder.load import find_model_folder, load_model_folder
from router.plugins.calls import describe_call
from router.plugins.langchain import write_messages
from router.serving.serving import Serving

# Agents let models think for minutes.
_PATIENT: Final = Serving(calls=CallPolicy(deadline_s=600.0, answer_s=300.0, first_token_s=120.0, chunk_s=60.0))
# The parameter that carries a step through the router to its executor.
_STEP: Final = "langchain_step"
# The request of a step, and what takes the step.
_Step = tuple[ModelRequest[Any], Callable[[ModelRequest[Any]], Any]]


class RouterMiddleware(AgentMiddleware[AgentState[Any], Any, Any]):
    """Chooses the model of each step of an agent. If it fails, the next model of the ranking takes the step.

    The thread of the agent is the session. With the strategy `sticky`, the default, it stays on its model inside a tool
    loop, and moves only if that pays. `response_metadata["router"]` of each answer says how it came about.

    Args:
        models: The models to choose from, by their names in the model folder. Each is a chat model of LangChain, or a name
            for `init_chat_model`, such as `openai:gpt-5.5`.
        path: The model folder. None: the same one as `Router.load`.
        **keywords: The keywords of `Router.load`, such as `prefer` and `strategy`. `serving` sets deadline, limits and
            budget of the steps. Its executor is not used.

    Attributes:
        router: The router.

    Raises:
        InputError: If a name is not in the model folder, or an option is unknown.
        ModelFolderError: As `Router.load`.
        ServingError: A step raises it if every model fails.

    >>> from langchain.agents import create_agent
    >>> from langchain_core.language_models import FakeListChatModel
    >>> models = {"gpt-5.5": FakeListChatModel(responses=["42"]), "gpt-4.1-mini": FakeListChatModel(responses=["Hi."])}
    >>> agent = create_agent(models["gpt-5.5"], middleware=[RouterMiddleware(models, prefer="cheap")])
    >>> agent.invoke({"messages": [{"role": "user", "content": "hello"}]})["messages"][-1].content
    'Hi.'
    """

    def __init__(
        self,
        models: Mapping[str, BaseChatModel | str],
        path: str | Path | None = None,
        **keywords: Unpack[RouterKeywords],
    ) -> None:
        super().__init__()
        made = {name: init_chat_model(model) if isinstance(model, str) else model for name, model in models.items()}
        serving = replace(keywords.get("serving") or _PATIENT, executor=_StepExecutor(made))
        given: RouterKeywords = {"strategy": "sticky", **keywords}
        given["serving"] = serving
        folder = load_model_folder(Path(path) if path is not None else find_model_folder())
        if unknown := sorted(made.keys() - {profile.name for profile in folder.profiles}):
            names = ", ".join(profile.name for profile in folder.profiles)
            raise InputError(f"models must be named as in the model folder, got {unknown}; it has: {names}")
        self.router = Router.from_model_folder(folder, **given)

    def wrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], ModelResponse[Any]]
    ) -> ModelResponse[Any]:
        """Take a step with the model that the router chooses."""
        return _finish(self.router.complete(_write_request(request), **_make_options(request, handler)))

    async def awrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]]
    ) -> ModelResponse[Any]:
        """Like `wrap_model_call`, without blocking the event loop."""
        return _finish(await self.router.acomplete(_write_request(request), **_make_options(request, handler)))


class _StepExecutor:
    """Takes a step of an agent with one of the models.

    Attributes:
        endpoints: Names of the models.
    """

    def __init__(self, models: Mapping[str, BaseChatModel]) -> None:
        self._models = models
        self.endpoints = frozenset(models)

    def call(self, request: CallRequest, /) -> Reply:
        step, handler = cast("_Step", request.options[_STEP])
        with _steps_as_attempts():
            return _make_reply(handler(step.override(model=self._models[request.endpoint])))

    async def acall(self, request: CallRequest, /) -> Reply:
        step, handler = cast("_Step", request.options[_STEP])
        with _steps_as_attempts():
            return _make_reply(await handler(step.override(model=self._models[request.endpoint])))


@contextmanager
def _steps_as_attempts() -> Iterator[None]:
    """Raise a `CallError` instead of an exception of a model. What ends or interrupts the graph is raised as it is."""
    try:
        with errors_as_failures():
            yield
    except CallError as failure:
        if isinstance(failure.__cause__, GraphBubbleUp):
            raise failure.__cause__ from None
        raise
    except ServingError as error:
        # One of the models is a `RouterChatModel`, and its router has no answer.
        raise CallError("transient", f"its router has no answer ({type(error).__name__})") from error


def _write_request(request: ModelRequest[Any]) -> list[dict[str, Any]]:
    system: list[BaseMessage] = [request.system_message] if request.system_message else []
    return write_messages([*system, *request.messages])


def _make_options(request: ModelRequest[Any], handler: Callable[..., Any]) -> dict[str, Any]:
    info = getattr(request.runtime, "execution_info", None)
    return {
        "tools": [convert_to_openai_tool(tool) for tool in request.tools] or None,
        "key": getattr(info, "thread_id", None) or "",
        "request": {_STEP: (request, handler)},
    }


def _make_reply(response: ModelResponse[Any]) -> Reply:
    answer = next(message for message in reversed(response.result) if isinstance(message, AIMessage))
    usage: Mapping[str, Any] = answer.usage_metadata or {}
    return Reply(
        text=answer.text,
        finish_reason=answer.response_metadata.get("finish_reason"),
        usage=Usage(
            input_tokens=usage.get("input_tokens"),
            output_tokens=usage.get("output_tokens"),
            cached_tokens=usage.get("input_token_details", {}).get("cache_read") or 0,
        ),
        raw=response,
    )


def _finish(completion: Completion) -> ModelResponse[Any]:
    """Return the answer of a step, with how it came about."""
    response = cast("ModelResponse[Any]", completion.raw)
    told = {"router": describe_call(completion)}
    result = [
        message.model_copy(update={"response_metadata": {**message.response_metadata, **told}})
        if isinstance(message, AIMessage)
        else message
        for message in response.result
    ]
    return replace(response, result=result)
