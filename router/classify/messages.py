"""Messages as SDKs hand them out come in, plain dictionaries that can be sent again go out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeAlias

from router.errors import InputError


class MessageModel(Protocol):
    """A message as an object, such as `response.choices[0].message` of the `openai` SDK."""

    def model_dump(self, *args: Any, **kwargs: Any) -> Any:
        """Return the fields as a dictionary."""
        ...


Message: TypeAlias = Mapping[str, object] | MessageModel
Prompt: TypeAlias = str | Sequence[Message]

_EMPTY_IN_DUMPS = ("audio", "function_call", "refusal", "tool_calls")
# Fields of an answer that servers refuse in a request.
_ANSWER_ONLY = {"annotations", "parsed", "parsed_arguments"}


def read_messages(messages: object) -> list[dict[str, Any]]:
    """Return messages as plain dictionaries that can be sent.

    An object of an SDK loses the fields that are None and those that only an answer has. Its other fields stay, because some
    servers need them again, such as `reasoning_content`. Dictionaries stay as they are, except for the same empty fields in
    an assistant's message, which `model_dump()` puts there.

    Args:
        messages: Chat messages in the OpenAI form, each a dictionary or an object with `model_dump`. A text is one user
            message.

    Raises:
        InputError: If there is no message, or something is not a message.

    >>> read_messages("hello")
    [{'role': 'user', 'content': 'hello'}]
    """
    if isinstance(messages, str):
        return [{"role": "user", "content": messages}]
    if not isinstance(messages, (list, tuple)):
        raise InputError(f"a prompt must be a str or a list of messages, got {type(messages).__name__}")
    if not messages:
        raise InputError("messages must contain at least one message, got none; add the user's turn")
    return [_read_message(position, message) for position, message in enumerate(messages)]


def _read_message(position: int, message: object) -> dict[str, Any]:
    try:
        plain = _make_plain(message)
    except RecursionError:
        raise InputError(f"message {position} is nested too deeply; send it without its outer layers") from None
    if not isinstance(plain, dict) or not isinstance(plain.get("role"), str):
        raise InputError(
            f"message {position} must be a mapping with a 'role' and 'content', got {type(message).__name__}; "
            "of an SDK's response pass choices[0].message"
        )
    return _clean(plain) if plain["role"] == "assistant" else plain


def _clean(message: dict[str, Any]) -> dict[str, Any]:
    """Return an assistant's message without fields that `model_dump()` leaves empty, and that some servers refuse."""
    empty = {key for key in _EMPTY_IN_DUMPS if key in message and not message[key]} | (_ANSWER_ONLY & message.keys())
    return {key: value for key, value in message.items() if key not in empty} if empty else message


def _make_plain(value: object) -> Any:
    """Return a value with dictionaries instead of the objects of SDKs. A value without such objects is returned itself."""
    if value is None or isinstance(value, (str, int, float)):
        return value
    if isinstance(value, Mapping):
        plain = {key: _make_plain(inner) for key, inner in value.items()}
        is_same = isinstance(value, dict) and all(plain[key] is inner for key, inner in value.items())
        return value if is_same else plain
    if isinstance(value, (list, tuple)):
        inners = [_make_plain(inner) for inner in value]
        is_same = all(plain is inner for plain, inner in zip(inners, value, strict=True))
        return value if is_same else inners
    # The class is asked, because a mock answers to every name.
    return _dump(value) if callable(getattr(type(value), "model_dump", None)) else value


def _dump(model: Any) -> Any:
    try:
        plain = model.model_dump(mode="json", by_alias=True, exclude_none=True, warnings=False)
    except Exception as error:  # noqa: BLE001 - a foreign object may raise anything, also with the prompt in the message
        raise InputError(f"a {type(model).__name__} cannot be turned into a dictionary ({type(error).__name__})") from None
    return _prepare(plain) if isinstance(plain, dict) and "role" in plain else _drop(plain)


def _prepare(message: dict[str, Any]) -> dict[str, Any]:
    """Return a message of an answer as a request takes it."""
    plain: dict[str, Any] = {"role": message["role"], "content": message.get("content")} | _drop(message)
    if isinstance(plain.get("audio"), dict):
        plain["audio"] = {"id": plain["audio"].get("id")}  # a request refers to an earlier answer by its id
    return plain


def _drop(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _drop(inner) for key, inner in value.items() if key not in _ANSWER_ONLY}
    return [_drop(inner) for inner in value] if isinstance(value, list) else value
