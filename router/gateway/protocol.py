"""What the gateway must know of a protocol: how to read requests, answers and events, and how to report errors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field

from router.calls import Chunk, Reply
from router.errors import InputError
from router.gateway.wire import Body, read_value, write_value
from router.types import WireProtocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What the router reads of a request. Everything else goes to the model unseen.

    Attributes:
        model: The name that the client asks for.
        messages: The conversation, as chat messages of OpenAI.
        stream: Whether the answer comes in events.
        earlier: Name of an earlier answer that the request continues, and that its server keeps. Empty: none.
        besides: What the request sends besides the messages, by OpenAI's names: `tools`, `response_format`, `max_tokens`,
            `reasoning_effort`.
    """

    model: str
    messages: list[dict[str, object]] = field(repr=False)
    stream: bool
    earlier: str = ""
    besides: Mapping[str, object] = field(default_factory=dict, repr=False)


class EventReader(ABC):
    """Reads the events of one stream, in order.

    Attributes:
        answer_id: Name that the server gave the answer. Empty before it came.
        over: Whether the stream has come to its last event. Some servers leave the connection open, or send more.
    """

    answer_id: str = ""
    over: bool = False

    @abstractmethod
    def read(self, data: bytes) -> Chunk | None:
        """Return what an event says about the answer. None if it says nothing.

        Args:
            data: The data of the event.

        Raises:
            CallError: If the event reports a failure.
        """


class WireFormat(ABC):
    """One protocol.

    Attributes:
        protocol: Name of the protocol.
        path: Path of its requests, behind the base URL of a server.
        free_paths: Further paths, whose answers cost nothing.
        model_within: Name of the field of an event that holds the object with the model's name. None: the event itself.
    """

    protocol: WireProtocol
    path: str
    free_paths: tuple[str, ...] = ()
    model_within: str | None = None

    @abstractmethod
    def read_request(self, body: Body) -> Request:
        """Return what the router reads of a request.

        Raises:
            InputError: If a field that it reads has another type.
        """

    def add_options(self, body: Body, options: Mapping[str, object]) -> None:
        """Write the parameters of a variant of a model into the body of a request.

        Args:
            body: The body, which changes.
            options: The parameters by their names in chat completions.
        """
        for name, value in options.items():
            if name == "extra_body" and isinstance(value, Mapping):
                self.add_options(body, value)
            else:
                body[name] = write_value(value)

    @abstractmethod
    def read_reply(self, answer: object) -> Reply:
        """Return what a whole answer says.

        Args:
            answer: The answer as plain values.

        Raises:
            CallError: If it reports a failure, or contains no answer.
        """

    @abstractmethod
    def read_events(self) -> EventReader:
        """Return a reader for the events of one stream."""

    @abstractmethod
    def write_error(self, status: int, message: str, *, code: str) -> bytes:
        """Return the body of an error in the form that clients of the protocol expect."""

    @abstractmethod
    def write_error_event(self, message: str) -> bytes:
        """Return the event that ends a broken stream."""


def join_texts(parts: object) -> str:
    """Return the text of the parts of an answer. Parts of other kinds, such as calls of tools, have none."""
    given = [part.get("text") for part in parts if isinstance(part, Mapping)] if isinstance(parts, list) else []
    return "".join(text for text in given if isinstance(text, str))


def read_field(body: Body, name: str, kind: type | tuple[type, ...], what: str, default: object = None) -> object:
    """Return the plain value of a field of a request. A field that is missing or null has the default.

    Args:
        body: The body.
        name: Name of the field.
        kind: Its type.
        what: The rule for the message of an error, such as "a text".
        default: The value if the field is missing.

    Raises:
        InputError: If it has another type.
    """
    value = read_value(body[name]) if name in body else None
    if value is None:
        return default
    # bool is a subclass of int, but True is no number.
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise InputError(f"{name} must be {what}, got {type(value).__name__}; correct it")
    return value


def read_model(body: Body) -> str:
    """Return the name of the model that a request asks for. Without one, the router chooses.

    Raises:
        InputError: If it is no text.
    """
    return str(read_field(body, "model", str, "a text, such as 'auto'", "auto")) or "auto"


def read_effort(body: Body, field: str) -> dict[str, object]:
    """Return the reasoning effort in the field of a body, under OpenAI's name. Empty if there is none."""
    value = read_value(body[field]) if field in body else None
    effort = value.get("effort") if isinstance(value, Mapping) else None
    return {"reasoning_effort": effort} if effort else {}


def write_effort(body: Body, field: str, options: Mapping[str, object]) -> dict[str, object]:
    """Write the reasoning effort into the field of a body. Return the other options.

    Args:
        body: The body, which changes.
        field: The field that holds the effort.
        options: Options by their names in chat completions.
    """
    others = {name: value for name, value in options.items() if name != "reasoning_effort"}
    if len(others) < len(options):
        value = read_value(body[field]) if field in body else None
        inside = value if isinstance(value, dict) else {}
        body[field] = write_value({**inside, "effort": options["reasoning_effort"]})
    return others


def read_besides(body: Body, names: Mapping[str, str]) -> dict[str, object]:
    """Return the values of some fields under OpenAI's names.

    Args:
        body: The body.
        names: OpenAI's name of each field.
    """
    return {new: read_value(body[name]) for name, new in names.items() if name in body}
