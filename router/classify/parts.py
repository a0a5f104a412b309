"""A content part of a message in, its text, what it needs and its size out."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from router.classify.tokens import count_tokens
from router.errors import InputError

# A word in the type of a part, and the capability that the part needs: `image_url`, `input_audio`, `document_url`, ….
_NEEDS = {"image": "vision", "audio": "audio", "video": "video", "file": "file", "document": "file", "pdf": "file"}
# Parts that any model may get. Their size is that of their JSON, text included.
_TEXTUAL = {"refusal", "thinking", "redacted_thinking", "reasoning", "tool_use", "tool_result", "tool_call"}
_TEXTS = {"text", "input_text", "output_text"}
# Claude takes up to 4,784 tokens for an image (platform.claude.com, vision), GPT-5 and Gemini fewer at high detail.
_IMAGE_TOKENS = 5_000
# Bytes per token, and the size that a link stands for. Gemini counts 32 tokens a second of audio and 263 of video
# (ai.google.dev, tokens): that is speech of 32 kbit/s and film of 840 kbit/s. Claude counts up to 3,000 tokens for the text
# of a PDF page and 1,600 for its image (platform.claude.com, PDF support): that is 46 kB a page.
_BYTES_PER_TOKEN = {"audio": 125, "video": 400, "file": 10}
_LINKED_BYTES = {"audio": 1_000_000, "video": 10_000_000, "file": 500_000}
# A shorter value is an address or an id, not the data itself.
_SHORTEST_DATA = 256
_LONGEST_NAME = 40


class Media(NamedTuple):
    """How many tokens of a prompt are of a kind that may have a price of its own.

    Attributes:
        audio: Tokens of recordings.
        image: Tokens of images.
    """

    audio: int = 0
    image: int = 0


NO_MEDIA = Media()


class Content(NamedTuple):
    """The content of a message.

    Attributes:
        texts: The texts of its parts, for the classifier.
        tokens: Upper estimate of the size.
        needs: Capabilities that it needs.
        unknown: Types of parts that are not known.
        media: How many of the tokens are audio and images.
    """

    texts: tuple[str, ...]
    tokens: int
    needs: frozenset[str] = frozenset()
    unknown: frozenset[str] = frozenset()
    media: Media = NO_MEDIA


def read_content(content: object, where: str) -> Content:
    """Read the content of a message.

    Args:
        content: A text, a list of parts, or None.
        where: The message, for error messages.

    Raises:
        InputError: If the content or a part has another type.

    >>> parts = [{"type": "text", "text": "what is this?"}, {"type": "image_url", "image_url": {"url": "https://a.b/c.png"}}]
    >>> content = read_content(parts, "message 0")
    >>> content.texts, content.tokens, content.needs, content.media
    (('what is this?',), 5005, frozenset({'vision'}), Media(audio=0, image=5000))
    """
    if content is None:  # an assistant turn that only calls tools
        return Content((), 0)
    if isinstance(content, str):
        return Content((content,), count_tokens(content))
    if not isinstance(content, (list, tuple)):
        raise InputError(f"content of {where} must be a str or a list of parts, got {type(content).__name__}")
    if not all(isinstance(part, Mapping) for part in content):
        raise InputError(f"parts of {where} must be mappings such as {{'type': 'text', 'text': '...'}}")
    parts = [_read_part(part, where) for part in content]
    return Content(
        tuple(text for part in parts for text in part.texts if text),
        sum(part.tokens for part in parts),
        frozenset().union(*(part.needs for part in parts)),
        frozenset().union(*(part.unknown for part in parts)),
        add_media(part.media for part in parts),
    )


def add_media(media: Iterable[Media]) -> Media:
    """Return the sums."""
    return Media(*map(sum, zip(NO_MEDIA, *media, strict=True)))


def write_json(value: object) -> str:
    """Return a value as JSON, however odd it is. Models with `model_dump` are written by it."""
    try:
        # Inner JSON, such as the arguments of a tool call, reaches a model without the backslashes.
        return json.dumps(value, ensure_ascii=False, default=_make_plain, skipkeys=True).replace('\\"', '"')
    except Exception:  # noqa: BLE001 - a foreign object may raise anything; its size is then unknown
        return type(value).__name__


def _make_plain(value: Any) -> object:
    if isinstance(value, type):
        return value.model_json_schema() if hasattr(value, "model_json_schema") else value.__name__
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json", exclude_none=True)
    return dict(value) if isinstance(value, Mapping) else str(value)


def _read_part(part: Mapping[str, object], where: str) -> Content:
    given, text = part.get("type"), part.get("text")
    kind = given if isinstance(given, str) else ""
    if isinstance(text, str) and (given is None or kind in _TEXTS):
        return Content((text,), count_tokens(text))
    if kind in _TEXTS:
        return Content((), count_tokens(write_json(part)))
    words = kind.split("_")
    need = next((_NEEDS[word] for word in words if word in _NEEDS), None)
    if need is not None:
        tokens = _count_media(part, need)
        media = Media(audio=tokens if need == "audio" else 0, image=tokens if need == "vision" else 0)
        return Content((), tokens, frozenset({need}), media=media)
    tokens = count_tokens(write_json(part))
    if kind not in _TEXTUAL:
        return Content((), tokens, unknown=frozenset({_name(kind)}))
    inner = part.get("content")
    if isinstance(inner, (list, tuple)):  # the result of a tool may hold parts itself
        return read_content(inner, where)._replace(texts=())
    return Content((), tokens)


def _count_media(part: Mapping[str, object], need: str) -> int:
    """Return an upper figure for the tokens of an image, or the usual tokens of a recording or a file of this size."""
    if need == "vision":
        return _IMAGE_TOKENS
    data = _find_longest(part)
    if len(data) < _SHORTEST_DATA or data.startswith("http"):
        size = _LINKED_BYTES[need]
    elif " " in data:  # a document as plain text
        return count_tokens(data)
    elif data.startswith("data:text/"):
        return len(data) // 2
    else:
        size = len(data) * 3 // 4  # base64
    return -(-size // _BYTES_PER_TOKEN[need])


def _find_longest(value: object) -> str:
    """Return the longest text in a part, which is its data or its address."""
    if isinstance(value, Mapping):
        return max((_find_longest(inner) for inner in value.values()), key=len, default="")
    return value if isinstance(value, str) else ""


def _name(kind: str) -> str:
    """Return the type of a part, unless it could be a text of the user."""
    return kind if kind.isidentifier() and len(kind) <= _LONGEST_NAME else "other"
