"""Messages of LangChain in, its answer from the model that the router chose out, whole or as a stream."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LangSmithParams, LanguageModelInput
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    InvalidToolCall,
    ToolCall,
    UsageMetadata,
    convert_to_openai_messages,
)
from langchain_core.messages.ai import InputTokenDetails, OutputTokenDetails
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.output_parsers.openai_tools import make_invalid_tool_call, parse_tool_call
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool

from router.calls import Chunk, Completion
from router.plugins.calls import describe_call, read_message, read_usage_details
from router.plugins.options import RouterFields

# Servers that think in the open want their thoughts back together with the results of tools.
_REASONING = "reasoning_content"
_CHOICES: Mapping[object, object] = {"any": "required", True: "required", False: "none"}


class RouterChatModel(RouterFields, BaseChatModel):
    """A chat model of LangChain. The router chooses the model of each call and makes the call.

    Failover, deadlines, rate limits and budgets are those of the router. `response_metadata["router"]` says how the answer
    came about: model, endpoint, task, reasons, cost and attempts.

    Args:
        router: A router that can call models, such as `Router.from_config("router.toml")`.
        streaming: Whether `invoke` streams too, so that callbacks get the answer word by word.
        **options: Any option of `Router.complete` as a default: `prefer`, `allowed`, `temperature`, `max_tokens`, … One
            call can have others: `model.invoke("hello", prefer="quality")`, or `model.bind(key=user_id)`. `model="gpt-5.5"`
            in a call allows only that model.

    Raises:
        InputError: If an option is unknown.
        ServingError: A call raises it if there is no answer, as `Router.complete`.

    >>> from router import FakeExecutor, Router, Serving
    >>> router = Router.load(serving=Serving(executor=FakeExecutor({"gpt-5.5": ["Tea, please."]})))
    >>> answer = RouterChatModel(router=router, allowed={"gpt-5.5"}).invoke("coffee or tea?")
    >>> answer.content, answer.response_metadata["router"]["model"]
    ('Tea, please.', 'gpt-5.5')
    """

    streaming: bool = False

    @property
    def _llm_type(self) -> str:
        return "contextual-llm-router"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        hidden = {name: value for name, value in self.options.items() if not name.startswith("extra_")}
        return {"router": repr(self.router), **hidden}

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        options = self._merge(stop, kwargs)
        told = {
            f"ls_{name}": options[name] for name in ("temperature", "max_tokens", "stop") if options.get(name) is not None
        }
        return LangSmithParams(
            **{
                "ls_provider": self._llm_type,
                "ls_model_name": kwargs.get("model") or "auto",
                "ls_model_type": "chat",
                **told,
            }
        )

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: Any = None,
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Return this model with tools that it may call.

        Args:
            tools: Functions, pydantic models, tools of LangChain or schemas.
            tool_choice: `auto`, `none`, `any`, the name of a tool, or a mapping in the OpenAI form.
            strict: Whether calls must have the exact form of the schema. None: the server decides.
            **kwargs: More options of each call.
        """
        schemas = [convert_to_openai_tool(tool, strict=strict) for tool in tools]
        named = tool_choice in [schema.get("function", {}).get("name") for schema in schemas]
        choice = {"type": "function", "function": {"name": tool_choice}} if named else _find_choice(tool_choice)
        return self.bind(tools=schemas, **({} if choice is None else {"tool_choice": choice}), **kwargs)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        del run_manager
        return _make_result(self.router.complete(write_messages(messages), **self._merge(stop, kwargs)))

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        del run_manager
        return _make_result(await self.router.acomplete(write_messages(messages), **self._merge(stop, kwargs)))

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        # The base class reports each chunk to the callbacks.
        del run_manager
        with self.router.complete(write_messages(messages), stream=True, **self._merge(stop, kwargs)) as chunks:
            yield from map(_make_chunk, chunks)
        yield _make_end(chunks.completion)

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        del run_manager
        options = self._merge(stop, kwargs)
        async with await self.router.acomplete(write_messages(messages), stream=True, **options) as chunks:
            async for chunk in chunks:
                yield _make_chunk(chunk)
        yield _make_end(chunks.completion)

    def _merge(self, stop: list[str] | None, keywords: Mapping[str, Any]) -> dict[str, Any]:
        """Return the options of a call. LangChain names one model as `model`."""
        model = keywords.get("model")
        given = {name: value for name, value in keywords.items() if name != "model"}
        given |= {**({"stop": stop} if stop else {}), **({"allowed": {model}} if model else {})}
        return self._merge_options(given)


def write_messages(messages: Sequence[BaseMessage]) -> list[dict[str, Any]]:
    """Return messages of LangChain in the OpenAI form, with the thoughts that a server wants back."""
    written: list[dict[str, Any]] = []
    for message in messages:
        # A message of another provider may hold results of tools, which become messages of their own.
        made = convert_to_openai_messages([message])
        if isinstance(message, AIMessage) and message.additional_kwargs.get(_REASONING):
            made[0][_REASONING] = message.additional_kwargs[_REASONING]
        written += made
    return written


def _find_choice(tool_choice: Any) -> object:
    return tool_choice if isinstance(tool_choice, dict) else _CHOICES.get(tool_choice, tool_choice)


def _make_result(completion: Completion) -> ChatResult:
    message = read_message(completion.raw)
    calls, invalid = _read_calls(message.get("tool_calls") or [])
    answer = AIMessage(
        content=completion.text,
        tool_calls=calls,
        invalid_tool_calls=invalid,
        additional_kwargs=_read_reasoning(message),
        usage_metadata=_make_usage(completion),
        response_metadata=_describe(completion),
    )
    return ChatResult(generations=[ChatGeneration(message=answer)])


def _make_chunk(chunk: Chunk) -> ChatGenerationChunk:
    delta = read_message(chunk.raw)
    calls = [_make_call_chunk(call, position) for position, call in enumerate(delta.get("tool_calls") or [])]
    reasoning = _read_reasoning(delta)
    return ChatGenerationChunk(
        message=AIMessageChunk(content=chunk.text, tool_call_chunks=calls, additional_kwargs=reasoning)
    )


def _make_end(completion: Completion) -> ChatGenerationChunk:
    """Return what is only known at the end of a stream."""
    usage, described = _make_usage(completion), _describe(completion)
    return ChatGenerationChunk(
        message=AIMessageChunk(content="", usage_metadata=usage, response_metadata=described, chunk_position="last")
    )


def _make_call_chunk(call: Mapping[str, Any], position: int) -> Any:
    function = call.get("function") or {}
    return tool_call_chunk(
        name=function.get("name"), args=function.get("arguments"), id=call.get("id"), index=call.get("index", position)
    )


def _read_calls(calls: Sequence[dict[str, Any]]) -> tuple[list[ToolCall], list[InvalidToolCall]]:
    """Return the calls of tools, and those whose arguments are no JSON."""
    valid, invalid = [], []
    for call in calls:
        try:
            valid.append(parse_tool_call(call, return_id=True))
        except Exception as error:  # noqa: BLE001 - as LangChain's own models do, since the parser may raise anything
            invalid.append(make_invalid_tool_call(call, str(error)))
    return [call for call in valid if call is not None], invalid


def _read_reasoning(message: Mapping[str, Any]) -> dict[str, Any]:
    return {_REASONING: message[_REASONING]} if message.get(_REASONING) else {}


def _make_usage(completion: Completion) -> UsageMetadata | None:
    read, written = completion.usage.input_tokens, completion.usage.output_tokens
    if read is None or written is None:
        return None
    usage = UsageMetadata(input_tokens=read, output_tokens=written, total_tokens=read + written)
    cached, reasoning = read_usage_details(completion.raw)
    if cached is not None:
        usage["input_token_details"] = InputTokenDetails(cache_read=cached)
    if reasoning is not None:
        usage["output_token_details"] = OutputTokenDetails(reasoning=reasoning)
    return usage


def _describe(completion: Completion) -> dict[str, Any]:
    return {
        "model_name": completion.model,
        "finish_reason": completion.finish_reason,
        "router": describe_call(completion),
    }
