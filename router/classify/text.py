"""A string or chat messages come in, the texts that decide go out, cut to a length that keeps every later step cheap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from router.classify.messages import Message, Prompt, read_messages
from router.classify.parts import NO_MEDIA, Content, Media, add_media, read_content, write_json
from router.classify.request import Said, find_requests
from router.classify.session import NO_SESSION, Session, read_session
from router.classify.tokens import count_tokens

__all__ = ["HEAD_CHARS", "TAIL_CHARS", "Message", "ParsedPrompt", "Prompt", "cut", "parse_prompt"]

# 128 tokens are about 600 characters of English. The rest is room for white space and for scripts with long tokens.
HEAD_CHARS = TAIL_CHARS = 1500
# Role and separators of a message, in the templates of ChatML and of Llama.
_TOKENS_PER_MESSAGE = 5
# The texts of the first group that has a message decide. The last group is any other role.
_DECIDING_ROLES = (("user",), ("system", "developer"))
_TOOL_ROLES = ("tool", "function")


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedPrompt:
    """The parts of a prompt that the router needs.

    Attributes:
        turns: The person's own words in the turns that decide, newest first, each cut to head and tail. Turns without such
            words are left out. Never empty.
        tokens: Upper estimate of the size of all messages and tools, in tokens.
        media: How many of the tokens are audio and images.
        needs: Capabilities that the content needs: `vision`, `audio`, `video`, `file`.
        unknown_parts: Types of content parts that are not known, in alphabetical order. `other` if a type is no plain name.
        session: What the messages show of their session.
        is_agent: Whether the request offers tools, or its history has calls of tools.
    """

    turns: tuple[str, ...]
    tokens: int
    media: Media = NO_MEDIA
    needs: frozenset[str] = frozenset()
    unknown_parts: tuple[str, ...] = ()
    session: Session = NO_SESSION
    is_agent: bool = False


def cut(text: str) -> str:
    """Return the head and the tail of a long text, as valid UTF-8. Lone surrogates become `?`."""
    if len(text) > HEAD_CHARS + TAIL_CHARS:
        text = f"{text[:HEAD_CHARS]}\n{text[-TAIL_CHARS:]}"
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def parse_prompt(prompt: Prompt, *, tools: object = None) -> ParsedPrompt:
    """Return the parts of a prompt.

    The turns of the user decide. Without one, the system messages decide, and without these all other messages.
    A history with tool calls needs no capability by itself, because a server may take it without the tools.

    Args:
        prompt: A string, or chat messages in the OpenAI form, also as objects of the `openai` SDK. Their content is a string
            or a list of parts.
        tools: What a request sends besides the messages, such as the schemas of tools. It counts in tokens by its JSON.

    Raises:
        InputError: If the prompt has another type or no message. No text and no tools raise an error.

    >>> parse_prompt([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "prove it"}]).turns
    ('prove it',)
    """
    extra = 0 if tools is None else count_tokens(write_json(tools))
    if isinstance(prompt, str):
        turns = _find_turns([Said("user", [prompt])], agent=False)
        return ParsedPrompt(turns=turns, tokens=count_tokens(prompt) + _TOKENS_PER_MESSAGE + extra)
    messages = read_messages(prompt)
    contents = [read_content(message.get("content"), f"message {i}") for i, message in enumerate(messages)]
    said = [Said(message["role"], content.texts) for message, content in zip(messages, contents, strict=True)]
    is_agent = _offers_tools(tools) or any(map(_uses_tools, messages))
    turns = _find_turns(said, agent=is_agent)
    return ParsedPrompt(
        turns=turns,
        tokens=sum(map(_count_message, messages, contents)) + extra,
        media=add_media(content.media for content in contents),
        needs=frozenset().union(*(content.needs for content in contents)),
        unknown_parts=tuple(sorted(frozenset().union(*(content.unknown for content in contents)))),
        session=read_session(messages, [content.texts for content in contents], turns[0]),
        is_agent=is_agent,
    )


def _find_turns(messages: Sequence[Said], *, agent: bool) -> tuple[str, ...]:
    if requests := find_requests(messages, agent=agent):
        return tuple(map(cut, reversed(requests)))
    roles = {message.role for message in messages}
    deciding = next((group for group in _DECIDING_ROLES if not roles.isdisjoint(group)), roles)
    return tuple(cut("\n".join(message.texts)) for message in reversed(messages) if message.role in deciding)


def _offers_tools(sent: object) -> bool:
    return bool(sent.get("tools") or sent.get("functions")) if isinstance(sent, Mapping) else sent is not None


def _uses_tools(message: Mapping[str, Any]) -> bool:
    """Return whether a message calls a tool or holds the result of one."""
    if message["role"] in _TOOL_ROLES or any(message.get(name) for name in ("tool_calls", "function_call")):
        return True
    content = message.get("content")
    parts = content if isinstance(content, (list, tuple)) else ()
    return any(part.get("type") in ("tool_use", "tool_result") for part in parts)


def _count_message(message: dict[str, Any], content: Content) -> int:
    """Return an upper estimate of the tokens of a message, with its tool calls and other fields."""
    others = {key: value for key, value in message.items() if value and key not in ("role", "content")}
    return content.tokens + _TOKENS_PER_MESSAGE + (count_tokens(write_json(others)) if others else 0)
