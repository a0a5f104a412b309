"""What a caller hands in, a string or chat messages, as the texts that decide; bounded before anything costly sees them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from router.errors import InputError

Message: TypeAlias = Mapping[str, object]
Prompt: TypeAlias = str | Sequence[Message]

# 128 tokens are about 600 characters of English; the rest is slack for white space and for scripts with long tokens.
HEAD_CHARS = TAIL_CHARS = 1500
# English has about four bytes of UTF-8 to a token, most other text fewer: three err on the side of a larger context window.
_BYTES_PER_TOKEN = 3
# Of a text of more characters that is not ASCII, the bytes are counted in so many slices of so many characters.
_SLICES, _SLICE_CHARS = 64, 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A prompt, read.

    Attributes:
        turns: The user's turns, newest first, each cut to head and tail; never empty.
        tokens: Upper estimate of the size of everything handed in, in tokens.
        has_image: Whether an image came along.
    """

    turns: tuple[str, ...]
    tokens: int
    has_image: bool


def cut(text: str) -> str:
    """Return the head and the tail of a long text, valid UTF-8 whatever came in (lone surrogates become `?`)."""
    if len(text) > HEAD_CHARS + TAIL_CHARS:
        text = f"{text[:HEAD_CHARS]}\n{text[-TAIL_CHARS:]}"
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def read_prompt(prompt: Prompt) -> Request:
    """Read a string or chat messages in the OpenAI form, whose content is a string or a list of parts.

    Raises:
        InputError: On anything else. Never on the text itself.
    """
    if isinstance(prompt, str):
        return Request(turns=(cut(prompt),), tokens=_count_tokens(prompt), has_image=False)
    if not isinstance(prompt, (list, tuple)):
        raise InputError(f"a prompt must be a str or a list of messages, was {type(prompt).__name__}")
    messages = [_read_message(position, message) for position, message in enumerate(prompt)]
    turns = [cut(text) for role, text, _ in messages if role == "user"]
    if not turns:
        raise InputError("messages must have at least one whose role is 'user', found none; add the user's turn")
    return Request(
        turns=tuple(reversed(turns)),
        tokens=sum(_count_tokens(text) for _, text, _ in messages),
        has_image=any(image for _, _, image in messages),
    )


def _read_message(position: int, message: object) -> tuple[str, str, bool]:
    if not isinstance(message, Mapping) or not isinstance(message.get("role"), str):
        raise InputError(f"message {position} must be a mapping with a 'role' and 'content', was {type(message).__name__}")
    content = message.get("content")
    if content is None or isinstance(content, str):  # None: an assistant turn that only calls tools
        return message["role"], content or "", False
    if not isinstance(content, (list, tuple)):
        raise InputError(f"content of message {position} must be a str or a list of parts, was {type(content).__name__}")
    parts = [part for part in content if isinstance(part, Mapping)]
    if len(parts) < len(content):
        raise InputError(f"each part of message {position} must be a mapping such as {{'type': 'text', 'text': …}}")
    texts = [part["text"] for part in parts if isinstance(part.get("text"), str)]
    return message["role"], "\n".join(texts), any("image" in str(part.get("type", "")) for part in parts)


def _count_tokens(text: str) -> int:
    if text.isascii():
        return -(-len(text) // _BYTES_PER_TOKEN)
    sample = text
    if len(text) > _SLICES * _SLICE_CHARS:
        starts = (i * (len(text) - _SLICE_CHARS) // (_SLICES - 1) for i in range(_SLICES))
        sample = "".join(text[start : start + _SLICE_CHARS] for start in starts)
    size = len(sample.encode("utf-8", "replace"))
    return -(-size * len(text) // (len(sample) * _BYTES_PER_TOKEN))
