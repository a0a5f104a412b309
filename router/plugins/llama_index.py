"""Messages of LlamaIndex in, its response from the model that the router chose out, whole or as a stream."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from llama_index.core.base.llms.generic_utils import (
    astream_chat_response_to_completion_response,
    chat_response_to_completion_response,
    prompt_to_messages,
    stream_chat_response_to_completion_response,
)
from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ChatResponseAsyncGen,
    ChatResponseGen,
    CompletionResponse,
    CompletionResponseAsyncGen,
    CompletionResponseGen,
    LLMMetadata,
    ToolCallBlock,
)
from llama_index.core.constants import DEFAULT_CONTEXT_WINDOW, DEFAULT_NUM_OUTPUTS
from llama_index.core.llms.callbacks import llm_chat_callback, llm_completion_callback
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.llms.llm import ToolSelection
from llama_index.core.tools.types import BaseTool

from router.calls import Chunk, Completion
from router.plugins.calls import describe_call, read_message
from router.plugins.llama_index_messages import make_message, read_arguments, write_messages
from router.plugins.options import RouterFields


class RouterLLM(RouterFields, FunctionCallingLLM):
    """An LLM of LlamaIndex. The router chooses the model of each call and makes the call.

    Failover, deadlines, rate limits and budgets are those of the router. `response.additional_kwargs["router"]` says how the
    answer came about: model, endpoint, task, reasons, cost and attempts.

    Args:
        router: A router that can call models, such as `Router.from_config("router.toml")`.
        **options: Any option of `Router.complete` as a default: `prefer`, `allowed`, `temperature`, `max_tokens`, … One
            call can have others: `llm.chat(messages, prefer="quality")`.

    Raises:
        InputError: If an option is unknown.
        ServingError: A call raises it if there is no answer, as `Router.complete`.

    >>> from router import FakeExecutor, Router, Serving
    >>> router = Router.load(serving=Serving(executor=FakeExecutor({"gpt-5.5": ["Tea, please."]})))
    >>> answer = RouterLLM(router=router, allowed={"gpt-5.5"}).complete("coffee or tea?")
    >>> answer.text, answer.additional_kwargs["router"]["model"]
    ('Tea, please.', 'gpt-5.5')
    """

    @classmethod
    def class_name(cls) -> str:
        """Return the name that LlamaIndex shows."""
        return "contextual_llm_router"

    @property
    def metadata(self) -> LLMMetadata:
        """What LlamaIndex plans with. The window is the largest, because the router excludes models with too small a one."""
        allowed = self.options.get("allowed") or self.router.defaults.allowed
        windows = [p.context_window for p in self.router.profiles if allowed is None or p.name in allowed]
        return LLMMetadata(
            context_window=max((window for window in windows if window), default=DEFAULT_CONTEXT_WINDOW),
            num_output=self.options.get("max_tokens") or DEFAULT_NUM_OUTPUTS,
            is_chat_model=True,
            is_function_calling_model=True,
            model_name="auto",
        )

    @llm_chat_callback()
    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Return the answer to messages."""
        return self._chat(messages, kwargs)

    @llm_chat_callback()
    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseGen:
        """Yield the answer to messages as it grows."""
        return self._stream(messages, kwargs)

    @llm_chat_callback()
    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Like `chat`, without blocking the event loop."""
        return await self._achat(messages, kwargs)

    @llm_chat_callback()
    async def astream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseAsyncGen:
        """Like `stream_chat`, without blocking the event loop."""
        return self._astream(messages, kwargs)

    @llm_completion_callback()
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """Return the answer to a prompt."""
        del formatted
        return chat_response_to_completion_response(self._chat(prompt_to_messages(prompt), kwargs))

    @llm_completion_callback()
    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseGen:
        """Yield the answer to a prompt as it grows."""
        del formatted
        return stream_chat_response_to_completion_response(self._stream(prompt_to_messages(prompt), kwargs))

    @llm_completion_callback()
    async def acomplete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """Like `complete`, without blocking the event loop."""
        del formatted
        return chat_response_to_completion_response(await self._achat(prompt_to_messages(prompt), kwargs))

    @llm_completion_callback()
    async def astream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseAsyncGen:
        """Like `stream_complete`, without blocking the event loop."""
        del formatted
        return astream_chat_response_to_completion_response(self._astream(prompt_to_messages(prompt), kwargs))

    def get_tool_calls_from_response(
        self, response: ChatResponse, error_on_no_tool_call: bool = True, **kwargs: Any
    ) -> list[ToolSelection]:
        """Return the calls of tools in a response. Arguments that are no JSON object count as none.

        Raises:
            ValueError: If there is no call, and `error_on_no_tool_call` is true.
        """
        del kwargs
        calls = [block for block in response.message.blocks if isinstance(block, ToolCallBlock)]
        if not calls and error_on_no_tool_call:
            raise ValueError(f"the answer must call a tool, got {len(response.message.blocks)} blocks without a call")
        return [
            ToolSelection(tool_id=call.tool_call_id or "", tool_name=call.tool_name, tool_kwargs=read_arguments(call))
            for call in calls
        ]

    def _prepare_chat_with_tools(
        self,
        tools: Sequence[BaseTool],
        user_msg: str | ChatMessage | None = None,
        chat_history: list[ChatMessage] | None = None,
        verbose: bool = False,
        allow_parallel_tool_calls: bool = False,
        tool_required: bool = False,
        **kwargs: Any,
    ) -> dict[str, Any]:
        del verbose, allow_parallel_tool_calls
        asked = ChatMessage(content=user_msg) if isinstance(user_msg, str) else user_msg
        choice = {"tool_choice": "required"} if tool_required else {}
        schemas = {"tools": [tool.metadata.to_openai_tool(skip_length_check=True) for tool in tools], **choice}
        return {"messages": [*(chat_history or []), *([asked] if asked else [])], **(schemas if tools else {}), **kwargs}

    def _validate_chat_with_tools_response(
        self, response: ChatResponse, tools: Sequence[BaseTool], allow_parallel_tool_calls: bool = False, **kwargs: Any
    ) -> ChatResponse:
        del tools, kwargs
        if not allow_parallel_tool_calls:
            # Not every server knows the parameter for this, so the first call counts.
            calls = [block for block in response.message.blocks if isinstance(block, ToolCallBlock)]
            response.message.blocks = [block for block in response.message.blocks if block not in calls[1:]]
        return response

    def _chat(self, messages: Sequence[ChatMessage], keywords: Mapping[str, Any]) -> ChatResponse:
        return _make_response(self.router.complete(write_messages(messages), **self._merge_options(keywords)))

    async def _achat(self, messages: Sequence[ChatMessage], keywords: Mapping[str, Any]) -> ChatResponse:
        return _make_response(await self.router.acomplete(write_messages(messages), **self._merge_options(keywords)))

    def _stream(self, messages: Sequence[ChatMessage], keywords: Mapping[str, Any]) -> ChatResponseGen:
        sent, options = write_messages(messages), self._merge_options(keywords)
        with self.router.complete(sent, stream=True, **options) as chunks:
            growing = _Growing()
            yield from map(growing.add, chunks)
        yield growing.end(chunks.completion)

    async def _astream(self, messages: Sequence[ChatMessage], keywords: Mapping[str, Any]) -> ChatResponseAsyncGen:
        sent, options = write_messages(messages), self._merge_options(keywords)
        async with await self.router.acomplete(sent, stream=True, **options) as chunks:
            growing = _Growing()
            async for chunk in chunks:
                yield growing.add(chunk)
        yield growing.end(chunks.completion)


class _Growing:
    """The answer of a stream so far."""

    def __init__(self) -> None:
        self._text = self._thoughts = ""
        self._calls: dict[int, dict[str, Any]] = {}

    def add(self, chunk: Chunk) -> ChatResponse:
        """Return the answer with one more chunk."""
        delta = read_message(chunk.raw)
        self._text += chunk.text
        self._thoughts += delta.get("reasoning_content") or ""
        for position, piece in enumerate(delta.get("tool_calls") or []):
            call = self._calls.setdefault(piece.get("index", position), {"type": "function", "function": {}})
            call["id"] = call.get("id") or piece.get("id")
            for name, text in (piece.get("function") or {}).items():
                call["function"][name] = (call["function"].get(name) or "") + (text or "")
        return ChatResponse(message=self._make_message(), delta=chunk.text, raw=chunk.raw)

    def end(self, completion: Completion) -> ChatResponse:
        """Return the whole answer, with what is only known at the end."""
        told = _describe(completion)
        return ChatResponse(message=self._make_message(), delta="", raw={"usage": told}, additional_kwargs=told)

    def _make_message(self) -> ChatMessage:
        calls = [self._calls[index] for index in sorted(self._calls)]
        return make_message(self._text, {"reasoning_content": self._thoughts, "tool_calls": calls})


def _make_response(completion: Completion) -> ChatResponse:
    message = make_message(completion.text, read_message(completion.raw))
    return ChatResponse(message=message, raw=completion.raw, additional_kwargs=_describe(completion))


def _describe(completion: Completion) -> dict[str, Any]:
    usage = completion.usage
    counted = {"prompt_tokens": usage.input_tokens, "completion_tokens": usage.output_tokens}
    return {
        **{name: tokens for name, tokens in counted.items() if tokens is not None},
        "finish_reason": completion.finish_reason,
        "router": describe_call(completion),
    }
