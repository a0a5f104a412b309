"""A string or chat messages come in, the texts that decide go out, cut to a length that keeps every later step cheap."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from router.classify.messages import Message, Prompt, read_messages
from router.classify.parts import Content, read_content, write_json
from router.classify.tokens import count_tokens

__all__ = ["HEAD_CHARS", "TAIL_CHARS", "Message", "ParsedPrompt", "Prompt", "cut", "parse_prompt"]

# 128 tokens are about 600 characters of English. The rest is room for white space and for scripts with long tokens.
HEAD_CHARS = TAIL_CHARS = 1500
# Role and separators of a message, in the templates of ChatML and of Llama.
_TOKENS_PER_MESSAGE = 5
# The texts of the first group that has a message decide. The last group is any other role.
_DECIDING_ROLES = (("user",), ("system", "developer"))


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedPrompt:
    """The parts of a prompt that the router needs.

    Attributes:
        turns: The turns that decide, newest first, each cut to head and tail. Never empty.
        tokens: Upper estimate of the size of all messages and tools, in tokens.
        needs: Capabilities that the content needs: `vision`, `audio`, `video`, `file`.
        unknown_parts: Types of content parts that are not known, in alphabetical order. `other` if a type is no plain name.
    """

    turns: tuple[str, ...]
    tokens: int
    needs: frozenset[str] = frozenset()
    unknown_parts: tuple[str, ...] = ()


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
        return ParsedPrompt(turns=(cut(prompt),), tokens=count_tokens(prompt) + _TOKENS_PER_MESSAGE + extra)
    messages = read_messages(prompt)
    contents = [read_content(message.get("content"), f"message {i}") for i, message in enumerate(messages)]
    return ParsedPrompt(
        turns=_find_turns([message["role"] for message in messages], contents),
        tokens=sum(map(_count_message, messages, contents)) + extra,
        needs=frozenset().union(*(content.needs for content in contents)),
        unknown_parts=tuple(sorted(frozenset().union(*(content.unknown for content in contents)))),
    )


def _find_turns(roles: list[str], contents: list[Content]) -> tuple[str, ...]:
    deciding = next((group for group in _DECIDING_ROLES if set(group) & set(roles)), roles)
    turns = [cut(content.text) for role, content in zip(roles, contents, strict=True) if role in deciding]
    return tuple(reversed(turns))


def _count_message(message: dict[str, Any], content: Content) -> int:
    """Return an upper estimate of the tokens of a message, with its tool calls and other fields."""
    others = {key: value for key, value in message.items() if value and key not in ("role", "content")}
    return content.tokens + _TOKENS_PER_MESSAGE + (count_tokens(write_json(others)) if others else 0)
