"""Messages of LlamaIndex in, messages in the OpenAI form out, and back."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from llama_index.core.base.llms.types import (
    AudioBlock,
    ChatMessage,
    DocumentBlock,
    ImageBlock,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)

from router.errors import InputError

_ROLES: Mapping[MessageRole, str] = {MessageRole.CHATBOT: "assistant", MessageRole.MODEL: "assistant"}


def write_messages(messages: Sequence[ChatMessage]) -> list[dict[str, Any]]:
    """Return messages in the OpenAI form.

    Raises:
        InputError: If a message has a block that the form lacks, such as a video.
    """
    return [_write_message(message) for message in messages]


def make_message(text: str, message: Mapping[str, Any]) -> ChatMessage:
    """Return the message of an answer.

    Args:
        text: Its text.
        message: The message in the OpenAI form, for its thoughts and calls of tools.
    """
    calls, thoughts = message.get("tool_calls") or [], message.get("reasoning_content")
    blocks = [
        *([ThinkingBlock(content=thoughts)] if thoughts else []),
        *([TextBlock(text=text)] if text or not calls else []),
        *(
            ToolCallBlock(
                tool_call_id=call.get("id"),
                tool_name=call["function"].get("name") or "",
                tool_kwargs=call["function"].get("arguments") or "",
            )
            for call in calls
        ),
    ]
    # Streams of structured output look for the calls among the keywords, agents among the blocks.
    return ChatMessage(
        role=MessageRole.ASSISTANT, blocks=blocks, additional_kwargs={"tool_calls": list(calls)} if calls else {}
    )


def read_arguments(call: ToolCallBlock) -> dict[str, Any]:
    """Return the arguments of a call. Empty if they are no JSON object, so that the tool can report what is missing."""
    if isinstance(call.tool_kwargs, dict):
        return call.tool_kwargs
    try:
        arguments = json.loads(call.tool_kwargs)
    except ValueError:
        return {}
    return arguments if isinstance(arguments, dict) else {}


def _write_message(message: ChatMessage) -> dict[str, Any]:
    calls = [_write_call(block) for block in message.blocks if isinstance(block, ToolCallBlock)]
    calls = calls or message.additional_kwargs.get("tool_calls") or []
    thoughts = "".join(block.content or "" for block in message.blocks if isinstance(block, ThinkingBlock))
    written: dict[str, Any] = {"role": _ROLES.get(message.role, message.role.value), "content": _write_content(message)}
    if calls:
        written["tool_calls"] = calls
    if thoughts:
        # Servers that think in the open want their thoughts back together with the results of tools.
        written["reasoning_content"] = thoughts
    if message.role is MessageRole.TOOL:
        written["tool_call_id"] = message.additional_kwargs.get("tool_call_id", "")
    return written


def _write_content(message: ChatMessage) -> str | list[dict[str, Any]]:
    blocks = [block for block in message.blocks if not isinstance(block, ToolCallBlock | ThinkingBlock)]
    if all(isinstance(block, TextBlock) for block in blocks):
        return "\n".join(block.text for block in blocks if isinstance(block, TextBlock))
    return [_write_part(block) for block in blocks]


def _write_part(block: object) -> dict[str, Any]:
    if isinstance(block, TextBlock):
        return {"type": "text", "text": block.text}
    if isinstance(block, ImageBlock):
        image = {
            "url": str(block.url) if block.url else block.inline_url(),
            **({"detail": block.detail} if block.detail else {}),
        }
        return {"type": "image_url", "image_url": image}
    if isinstance(block, AudioBlock):
        data = block.resolve_audio(as_base64=True).read().decode()
        return {"type": "input_audio", "input_audio": {"data": data, "format": block.format or "wav"}}
    if isinstance(block, DocumentBlock):
        return {"type": "file", "file": {"filename": block.title or "file", "file_data": block.inline_url()}}
    raise InputError(
        f"a message must consist of texts, images, audio, documents and calls of tools, got {type(block).__name__}; "
        "turn it into one of these"
    )


def _write_call(block: ToolCallBlock) -> dict[str, Any]:
    arguments = block.tool_kwargs if isinstance(block.tool_kwargs, str) else json.dumps(block.tool_kwargs)
    return {
        "id": block.tool_call_id or "",
        "type": "function",
        "function": {"name": block.tool_name, "arguments": arguments or "{}"},
    }
