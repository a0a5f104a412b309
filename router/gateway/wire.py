"""Bytes of JSON and of event streams in, their parts out, and bytes again that differ only where they must."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator

import msgspec

from router.errors import InputError

# The values of a body stay in the client's own bytes, so that whatever is not changed goes on as it came.
Body = dict[str, msgspec.Raw]

_BODY = msgspec.json.Decoder(Body)
_ANY = msgspec.json.Decoder()
_SPACE = re.compile(r"[ \t\n\r]*")
_BLANK_LINE = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)")
_LINE = re.compile(rb"\r\n|\n|\r")
# A longer event is no event of a model, but a server that never ends one.
_MOST_EVENT_BYTES = 1 << 25


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON")


_PYTHON = json.JSONDecoder(parse_constant=_refuse_constant)


def read_body(data: bytes) -> Body:
    """Return the fields of a JSON object, in order, each with the bytes of its value.

    Raises:
        InputError: If the bytes are no JSON object.
    """
    try:
        return _BODY.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    try:
        return _split_object(data.decode())
    except (ValueError, StopIteration, RecursionError) as error:
        raise InputError(
            f"the body must be a JSON object ({error}); send one, with Content-Type: application/json"
        ) from None


def _split_object(text: str) -> Body:
    """Return the fields of a JSON object that the fast parser refuses, such as one with half an emoji in a text."""
    body: Body = {}
    at = _skip(text, 0, "{")
    if text[at : at + 1] == "}":
        _skip_to_end(text, at + 1)
        return body
    while True:
        key, at = _PYTHON.raw_decode(text, at)
        if not isinstance(key, str):
            raise ValueError("a name of a field must be a text")
        key.encode()  # half an emoji in a name cannot be written again
        start = _skip(text, at, ":")
        _, end = _PYTHON.raw_decode(text, start)
        body[key] = msgspec.Raw(text[start:end].encode())
        at = _skip(text, end)
        if text[at : at + 1] == "}":
            _skip_to_end(text, at + 1)
            return body
        at = _skip(text, at, ",")


def _skip(text: str, at: int, sign: str = "") -> int:
    """Return the place behind white space, a sign and white space."""
    at = _SPACE.match(text, at).end()  # type: ignore[union-attr]  # it matches an empty text
    if not sign:
        return at
    if text[at : at + 1] != sign:
        raise ValueError(f"expected {sign!r} at character {at}")
    return _SPACE.match(text, at + 1).end()  # type: ignore[union-attr]


def _skip_to_end(text: str, at: int) -> None:
    if _skip(text, at) < len(text):
        raise ValueError(f"more text after the object, at character {at}")


def write_body(body: Body) -> bytes:
    """Return the fields as a JSON object."""
    return msgspec.json.encode(body)


def read_value(raw: msgspec.Raw) -> object:
    """Return the plain value of a field.

    Raises:
        InputError: If its bytes are no JSON.
    """
    return read_json(bytes(raw))


def read_json(data: bytes) -> object:
    """Return the plain value of some JSON.

    Raises:
        InputError: If it is no JSON.
    """
    try:
        return _ANY.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    try:
        return json.loads(data, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise InputError(f"the JSON is malformed ({error}); correct it") from None


def read_event(data: bytes) -> dict[str, object]:
    """Return the plain fields of an event.

    Raises:
        InputError: If its data is no JSON object.
    """
    event = read_json(data)
    if not isinstance(event, dict):
        raise InputError(f"an event must be a JSON object, got {type(event).__name__}; the server is faulty")
    return event


def write_value(value: object) -> msgspec.Raw:
    """Return a plain value as the bytes of a field."""
    return msgspec.Raw(msgspec.json.encode(value))


def name_model(data: bytes, model: str, *, within: str | None = None) -> bytes:
    """Return a JSON object with another value of its field `model`, if it has one. Other bytes are returned as they are.

    Args:
        data: The object.
        model: The new value.
        within: Name of the field that holds the object with the field `model`. None: the object itself.
    """
    if b'"model"' not in data:
        return data
    try:
        body = read_body(data)
        if within is not None and within in body:
            body[within] = msgspec.Raw(name_model(bytes(body[within]), model))
        elif within is None and "model" in body:
            body["model"] = write_value(model)
        else:
            return data
        return msgspec.json.encode(body)
    except InputError:
        return data


class EventSplitter:
    """Cuts the bytes of a server-sent event stream into whole events, whatever the network made of them."""

    def __init__(self) -> None:
        self._rest, self._searched = b"", 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take the next bytes. Yield each event that is whole now, with its end.

        Raises:
            InputError: If an event is longer than any event of a model.
        """
        self._rest += data
        while (end := _BLANK_LINE.search(self._rest, self._searched)) is not None:
            event, self._rest, self._searched = self._rest[: end.end()], self._rest[end.end() :], 0
            yield event
        # An end may be cut in two. What comes before it is not searched again.
        self._searched = max(0, len(self._rest) - 3)
        if len(self._rest) > _MOST_EVENT_BYTES:
            raise InputError(f"an event of the stream has more than {_MOST_EVENT_BYTES} bytes; the server is faulty")

    def end(self) -> bytes:
        """Return what is left at the end of the stream: an event without its end, or nothing."""
        rest, self._rest = self._rest, b""
        return rest


def read_data(event: bytes) -> bytes:
    """Return the data of an event: its `data:` lines, joined. Empty for a comment."""
    lines = [line[5:].removeprefix(b" ") for line in _LINE.split(event) if line.startswith(b"data:")]
    return b"\n".join(lines)


def replace_data(event: bytes, old: bytes, new: bytes) -> bytes:
    """Return an event with other data, if its data is one line. Its other lines and its ends of lines stay."""
    return event if old == new or b"\n" in old else event.replace(old, new, 1)


def hide(data: bytes, secrets: Iterable[bytes]) -> bytes:
    """Return bytes with stars in place of secrets."""
    for secret in secrets:
        data = data.replace(secret, b"***")
    return data


def make_valid(text: str) -> str:
    """Return a text as valid Unicode: half an emoji becomes `?`."""
    return text.encode("utf-8", "replace").decode()


def write_event(data: bytes, name: str | None = None) -> bytes:
    """Return an event with this data on one line, and with a name if it has one."""
    head = b"" if name is None else f"event: {name}\n".encode()
    return head + b"data: " + data + b"\n\n"
