"""A string or chat messages come in, the user's turns go out, cut to a length that keeps every later step cheap."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from router.errors import InputError

Message: TypeAlias = Mapping[str, object]
Prompt: TypeAlias = str | Sequence[Message]

# 128 tokens are about 600 characters of English. The rest is room for white space and for scripts with long tokens.
HEAD_CHARS = TAIL_CHARS = 1500
# English has about four bytes of UTF-8 per token, most other text fewer. Three overestimate the size, because a context
# window that is too small fails the call, and one that is larger than needed only costs a little more.
_BYTES_PER_TOKEN = 3
# In a longer text that is not ASCII, the bytes are counted in this number of slices, each of this number of characters.
_SLICES, _SLICE_CHARS = 64, 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedPrompt:
    """The parts of a prompt that the router needs.

    Attributes:
        turns: The user's turns, newest first, each cut to head and tail. Never empty.
        tokens: Upper estimate of the size of all messages, in tokens.
        has_image: Whether a message contains an image.
    """

    turns: tuple[str, ...]
    tokens: int
    has_image: bool


def cut(text: str) -> str:
    """Return the head and the tail of a long text, as valid UTF-8. Lone surrogates become `?`."""
    if len(text) > HEAD_CHARS + TAIL_CHARS:
        text = f"{text[:HEAD_CHARS]}\n{text[-TAIL_CHARS:]}"
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def parse_prompt(prompt: Prompt) -> ParsedPrompt:
    """Return the parts of a prompt.

    Args:
        prompt: A string, or chat messages in the OpenAI form. Their content is a string or a list of parts.

    Raises:
        InputError: If the prompt has another type or no user turn. No text raises an error.
    """
    if isinstance(prompt, str):
        return ParsedPrompt(turns=(cut(prompt),), tokens=_count_tokens(prompt), has_image=False)
    if not isinstance(prompt, (list, tuple)):
        raise InputError(f"a prompt must be a str or a list of messages, got {type(prompt).__name__}")
    messages = [_read_message(position, message) for position, message in enumerate(prompt)]
    turns = [cut(text) for role, text, _ in messages if role == "user"]
    if not turns:
        raise InputError("messages must contain one with the role 'user', got none; add the user's turn")
    return ParsedPrompt(
        turns=tuple(reversed(turns)),
        tokens=sum(_count_tokens(text) for _, text, _ in messages),
        has_image=any(image for _, _, image in messages),
    )


def _read_message(position: int, message: object) -> tuple[str, str, bool]:
    """Return role and text of a message, and whether it contains an image."""
    if not isinstance(message, Mapping) or not isinstance(message.get("role"), str):
        raise InputError(f"message {position} must be a mapping with a 'role' and 'content', got {type(message).__name__}")
    content = message.get("content")
    if content is None or isinstance(content, str):  # an assistant turn that only calls tools has None
        return message["role"], content or "", False
    if not isinstance(content, (list, tuple)):
        raise InputError(f"content of message {position} must be a str or a list of parts, got {type(content).__name__}")
    parts = [part for part in content if isinstance(part, Mapping)]
    if len(parts) < len(content):
        raise InputError(f"parts of message {position} must be mappings such as {{'type': 'text', 'text': '...'}}")
    texts = [part["text"] for part in parts if isinstance(part.get("text"), str)]
    return message["role"], "\n".join(texts), any("image" in str(part.get("type", "")) for part in parts)


def _count_tokens(text: str) -> int:
    """Return an upper estimate of the tokens of a text."""
    if text.isascii():
        return -(-len(text) // _BYTES_PER_TOKEN)
    sample = text
    if len(text) > _SLICES * _SLICE_CHARS:
        starts = (i * (len(text) - _SLICE_CHARS) // (_SLICES - 1) for i in range(_SLICES))
        sample = "".join(text[start : start + _SLICE_CHARS] for start in starts)
    size = len(sample.encode("utf-8", "replace"))
    return -(-size * len(text) // (len(sample) * _BYTES_PER_TOKEN))
