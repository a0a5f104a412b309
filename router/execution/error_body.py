"""Take the body of an error answer, in any shape that servers use, and return its codes, its parameters and its texts."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

# Servers repeat prompts in their messages. The rules need only the beginning.
_MAX_TEXT = 4000
_MAX_CODES = 400
_MAX_DEPTH = 8
_LEAST_ECHO = 12
_MAX_ENTRIES = 20
_CODES = ("code", "type", "status")
# Fields that repeat the request or the model's answer: pydantic, Groq, OpenRouter, llama.cpp. They say nothing about the
# failure.
_ECHOES = ("input", "failed_generation", "flagged_input", "content", "arguments")
# The same inside a text: pydantic's errors in Python's notation and in its own, llama.cpp, Fireworks.
_ECHO_IN_TEXT = re.compile(
    r"'input': .*?(?=\{'type': '\w{1,40}', 'loc': |$)|input_value=.*?(?=, input_type=|$)|"
    r"; (?:messages|tools) = .*|, value: .*?(?=, field: |$)",
    re.DOTALL,
)
_JSON = re.compile(r'\{\s{0,20}"|\[\s{0,20}\{')
_WAIT_KEY = re.compile(r"retry_?-?(?:after|delay|in)(?P<unit>_?ms)?(?:_?s(?:econds)?)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ErrorBody:
    """Facts in the body of an error answer.

    Attributes:
        codes: Codes and types, those of outer objects first.
        params: Names of parameters that the server refused.
        text: Lower-case text for the rules: codes and parameters, a bar, and messages without what repeats the request.
        detail: The server's whole text. None without one.
    """

    codes: tuple[str, ...]
    params: tuple[str, ...]
    text: str
    detail: str | None


def read_error_body(body: object, sent: Iterable[str] = ()) -> ErrorBody:
    """Return the facts in a body: an object, a list of them, a text, or JSON inside a text.

    Args:
        body: The body.
        sent: Texts of the request. They are left out of `text` if the server repeats them.

    >>> read_error_body([{"error": {"code": 400, "message": "API key not valid."}}]).text
    '400 | api key not valid.'
    """
    leaves = list(_walk(body))
    detail = " ".join(dict.fromkeys(value for key, value in leaves if key not in (*_CODES, "param")))[:_MAX_TEXT]
    leaves = [leaf for key, value in leaves if key not in _ECHOES for leaf in _expand(key, value)]
    codes = tuple(dict.fromkeys(value for key, value in leaves if key in _CODES))
    params = tuple(dict.fromkeys(value for key, value in leaves if key == "param"))
    facts = (f"n_ctx {value}" for key, value in leaves if key == "n_ctx")
    messages = (_message_of(key, value) for key, value in leaves if key not in (*_CODES, "param", "n_ctx"))
    head, tail = " ".join([*codes, *params, *facts])[:_MAX_CODES], " ".join(dict.fromkeys(messages))
    for text in sent:
        # A short one, such as "tools", may be a word of the server's own.
        if len(text) >= _LEAST_ECHO:
            tail = tail.replace(text, " ")
    return ErrorBody(codes, params, f"{head} | {tail}"[:_MAX_TEXT].lower(), detail or None)


def _walk(body: object, key: str = "message", depth: int = 0) -> Iterator[tuple[str, str]]:
    """Yield the texts and numbers in a body, each with the name of its field, codes of outer objects first."""
    if depth > _MAX_DEPTH:
        return
    if isinstance(body, Mapping):
        # Most answers have their facts in an `error` object. The rest of the body may be the request itself.
        inner = body.get("error")
        entries = [("error", inner)] if isinstance(inner, Mapping) else list(body.items())
        for name, value in sorted(entries, key=lambda entry: not isinstance(entry[1], str | int)):
            yield from _walk(value, key if key in _ECHOES else str(name), depth + 1)
    elif isinstance(body, Sequence) and not isinstance(body, str | bytes):
        for value in body[:_MAX_ENTRIES]:
            yield from _walk(value, key, depth + 1)
    elif body is not None and not isinstance(body, bool | bytes) and str(body):
        yield key, str(body)


def _expand(key: str, value: str) -> Iterator[tuple[str, str]]:
    """Yield a text without what repeats the request. JSON in it, which proxies pass on as a text, is read as such."""
    start, echo = _JSON.search(value), _ECHO_IN_TEXT.search(value)
    if start and not (echo and echo.start() < start.start()):
        try:
            inner, end = json.JSONDecoder().raw_decode(value, start.start())
        except (ValueError, RecursionError):
            pass  # only looks like JSON, or is cut
        else:
            yield from (leaf for leaf in _walk(inner, depth=2) if leaf[0] not in _ECHOES)
            value = value[: start.start()] + value[end:]
    if value.strip():
        yield key, _ECHO_IN_TEXT.sub("", value[: 2 * _MAX_TEXT])


def _message_of(key: str, value: str) -> str:
    """Return the text of a field. A field that says how long to wait gets the words for that."""
    found = _WAIT_KEY.fullmatch(key)
    return value if found is None else f"retry in {value}{'ms' if found['unit'] else ''}"
