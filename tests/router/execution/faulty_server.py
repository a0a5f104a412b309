"""A server on the loopback address that speaks OpenAI's protocol, with the fault that the path of a request names."""

import gzip
import json
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

PARTIAL = "half of"
ANSWER = "half of it and the rest"
USAGE = {"prompt_tokens": 1000, "completion_tokens": 200, "total_tokens": 1200}
DRIP_S = 0.02


class FaultyServer:
    """Serves each fault under its own path: `url("429")`, `url("stall")` and so on. `url("ok")` has no fault.

    Attributes:
        asked: The fault, body and headers (lower case) of each request, in order.
        paths: The path and query of each request, in order.
        redirect_to: The URL to which the fault "redirect" sends its clients.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, Any], Mapping[str, str]]] = []
        self.paths: list[str] = []
        self.redirect_to = ""
        self.stopping = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.owner = self
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    def url(self, fault: str) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/{fault}/v1"

    def faults_asked(self) -> list[str]:
        return [fault for fault, _, _ in self.asked]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stopping.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # server_close() waits for them, so that no socket stays open
    request_queue_size = 128
    owner: FaultyServer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Do nothing: clients that leave are expected here."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name in the base class
        """Write no log."""

    def do_POST(self) -> None:
        fault = self.path.split("/")[1]
        self.body = body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.owner.paths.append(self.path)
        self.server.owner.asked.append((fault, body, headers))
        if fault in STATUSES:
            status, extra_headers, error = STATUSES[fault]
            self.send_json({"error": error}, status, extra_headers)
        else:
            (STREAMED if body.get("stream") else WHOLE)[fault](self)

    def send_body(self, body: bytes, content_type: str, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        self.send_head(content_type, status, {"Content-Length": str(len(body)), **(headers or {})})
        self.wfile.write(body)

    def send_json(self, body: object, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        self.send_body(json.dumps(body).encode(), "application/json", status, headers)

    def send_head(self, content_type: str, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()

    def send_events(self, *events: object, done: bool = True) -> None:
        """Send server-sent events, in chunked transfer encoding, with its end if `done`."""
        self.send_head("text/event-stream", headers={"Transfer-Encoding": "chunked"})
        for event in events:
            self.send_part(f"data: {event if isinstance(event, str) else json.dumps(event)}\n\n")
        if done:
            self.wfile.write(b"0\r\n\r\n")

    def send_part(self, text: str) -> None:
        data = text.encode()
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.flush()

    def drop(self) -> None:
        self.close_connection = True

    def stall(self) -> None:
        self.server.owner.stopping.wait(60)
        self.drop()

    def drip(self, part: str) -> None:
        """Send a part again and again, but never an answer."""
        while not self.server.owner.stopping.wait(DRIP_S):
            self.send_part(part)
        self.drop()


def completion(**choice: object) -> dict[str, object]:
    message = {"role": "assistant", "content": ANSWER}
    choices = [{"index": 0, "message": message, "finish_reason": "stop"} | choice]
    return {"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": choices, "usage": USAGE}


def event(text: str | None = None, finish_reason: str | None = None, **delta: object) -> dict[str, object]:
    choice = {"index": 0, "delta": ({} if text is None else {"content": text}) | delta, "finish_reason": finish_reason}
    return {"id": "1", "object": "chat.completion.chunk", "created": 0, "model": "m", "choices": [choice]}


ROLE, HALF, REST = event("", role="assistant"), event(PARTIAL), event(" it and the rest", "stop")
TOTALS = {"id": "1", "object": "chat.completion.chunk", "created": 0, "model": "m", "choices": [], "usage": USAGE}
ERROR = {"error": {"message": "the server is tired", "type": "server_error", "code": 502}}
SECRET_ERROR = {"message": "Incorrect key sk-s3cret in 'a secret that must not leak'", "type": "invalid_request_error"}
LENGTH_ERROR = {
    "message": "This model's maximum context length is 8192 tokens.",
    "type": "invalid_request_error",
    "code": "context_length_exceeded",
}

EMPTY_ERROR = {"message": "Invalid 'messages': empty array.", "code": "empty_array", "param": "messages"}

# By fault: status, headers, error object.
STATUSES: Mapping[str, tuple[int, Mapping[str, str], Mapping[str, object]]] = {
    "429": (429, {}, {"message": "slow down", "code": "rate_limit_exceeded"}),
    "429-retry-after": (429, {"Retry-After": "7"}, {"message": "slow down"}),
    "429-quota": (429, {}, {"message": "pay first", "code": "insufficient_quota"}),
    "400": (400, {}, SECRET_ERROR),
    "400-messages": (400, {}, EMPTY_ERROR),
    "400-context": (400, {}, LENGTH_ERROR),
    "401": (401, {}, SECRET_ERROR),
    "404": (404, {}, {"message": "no such model", "code": "model_not_found"}),
    "500": (500, {}, {"message": "oops"}),
    "529": (529, {}, {"message": "overloaded", "type": "overloaded_error"}),
}
Act = Callable[[_Handler], None]


def cut(*events: object) -> Act:
    """Send these events and drop the connection."""

    def act(handler: _Handler) -> None:
        handler.send_events(*events, done=False)
        handler.drop()

    return act


def cut_body(handler: _Handler) -> None:
    handler.send_head("application/json", headers={"Content-Length": "1000"})
    handler.wfile.write(b'{"id": "1", "choices": [')
    handler.drop()


def stall_after(*events: object) -> Act:
    def act(handler: _Handler) -> None:
        handler.send_events(*events, done=False)
        handler.stall()

    return act


def drip_body(handler: _Handler) -> None:
    handler.send_head("application/json", headers={"Transfer-Encoding": "chunked"})
    handler.drip(" ")


def drip_events(*events: object) -> Act:
    """Send these events, then comments without end, as servers do to keep a connection alive."""

    def act(handler: _Handler) -> None:
        handler.send_events(*events, done=False)
        handler.drip(": still there\n\n")

    return act


def redirect(handler: _Handler) -> None:
    handler.send_body(b"", "text/plain", 307, {"Location": handler.server.owner.redirect_to})


def send_html(handler: _Handler) -> None:
    handler.send_body(b"<html><body>Welcome to the proxy</body></html>", "text/html")


def send_empty(handler: _Handler) -> None:
    handler.send_json({})


def send_bad_json(handler: _Handler) -> None:
    handler.send_body(b'{"id": "1", "choices": [{', "application/json")


def refuse(param: str, message: str, code: str = "unsupported_parameter") -> Act:
    """Refuse requests that have this parameter, and answer the others."""

    def act(handler: _Handler) -> None:
        if param in handler.body:
            error = {"message": message, "type": "invalid_request_error", "param": param, "code": code}
            handler.send_json({"error": error}, 400)
        else:
            (STREAMED if handler.body.get("stream") else WHOLE)["ok"](handler)

    return act


def refuse_both_lengths(handler: _Handler) -> None:
    name = "max_tokens" if "max_tokens" in handler.body else "max_completion_tokens"
    refuse(name, f"Unsupported parameter: '{name}' is not supported with this model.")(handler)


def send_stream(*lines: str, end: str = "\n\n", compress: bool = False) -> Act:
    """Send these data lines as one body of server-sent events."""

    def act(handler: _Handler) -> None:
        body = "".join(f"data: {line}{end}" for line in lines).encode()
        headers = {"Content-Encoding": "gzip"} if compress else {}
        handler.send_body(gzip.compress(body) if compress else body, "text/event-stream", headers=headers)

    return act


# Servers that do not take a parameter under one of its names. The words are those of OpenAI, Mistral and older proxies.
PICKY: Mapping[str, Act] = {
    "no-max-tokens": refuse(
        "max_tokens",
        "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
    ),
    "no-max-completion-tokens": refuse(
        "max_completion_tokens", "Unrecognized request argument supplied: max_completion_tokens", "unknown_parameter"
    ),
    "no-length": refuse_both_lengths,
    "max-tokens-too-large": refuse(
        "max_tokens",
        "max_tokens is too large: 100000. This model supports at most 16384 completion tokens.",
        "invalid_value",
    ),
    "no-stream-options": refuse(
        "stream_options", "Unrecognized request argument supplied: stream_options", "unknown_parameter"
    ),
    "no-temperature": refuse("temperature", "Unsupported value: 'temperature' does not support 0.2 with this model."),
}
# "scripted" answers with the `answer` in the request.
WHOLE: Mapping[str, Act] = {
    **PICKY,
    **{fault: lambda handler: handler.send_json(completion()) for fault in ("no-end", "gzip", "crlf", "done-only", "json")},
    "ok": lambda handler: handler.send_json(completion()),
    "drop": _Handler.drop,
    "html": send_html,
    "redirect": redirect,
    "empty": send_empty,
    "bad-json": send_bad_json,
    "stall": _Handler.stall,
    "drip": drip_body,
    "cut-before": cut_body,
    "cut-after": cut_body,
    "stall-after": _Handler.stall,
    "drip-after": drip_body,
    "error-event": lambda handler: handler.send_json(ERROR),
    "error-event-after": lambda handler: handler.send_json(ERROR),
    "no-finish-reason": lambda handler: handler.send_json(completion(finish_reason=None)),
    "scripted": lambda handler: handler.send_body(handler.body["answer"].encode(), "application/json"),
}
STREAMED: Mapping[str, Act] = {
    **PICKY,
    "no-end": lambda handler: handler.send_events(ROLE, HALF),
    "gzip": send_stream(json.dumps(ROLE), json.dumps(HALF), "[DONE]", compress=True),
    "crlf": send_stream(json.dumps(ROLE), json.dumps(HALF), "[DONE]", end="\r\n\r\n"),
    "done-only": send_stream("[DONE]"),
    "json": lambda handler: handler.send_json(completion()),
    "ok": lambda handler: handler.send_events(ROLE, HALF, REST, TOTALS, "[DONE]"),
    "drop": _Handler.drop,
    "html": send_html,
    "redirect": redirect,
    "empty": send_empty,
    "bad-json": lambda handler: handler.send_events('{"id": "1", "choices": [{', "[DONE]"),
    "stall": _Handler.stall,
    "drip": drip_events(ROLE),
    "cut-before": cut(ROLE),
    "cut-after": cut(ROLE, HALF),
    "stall-after": stall_after(ROLE, HALF),
    "drip-after": drip_events(ROLE, HALF),
    "error-event": lambda handler: handler.send_events(ROLE, ERROR, "[DONE]"),
    "error-event-after": lambda handler: handler.send_events(ROLE, HALF, ERROR, "[DONE]"),
    "no-finish-reason": lambda handler: handler.send_events(ROLE, HALF, "[DONE]"),
    "scripted": lambda handler: handler.send_events(handler.body["answer"], "[DONE]"),
}
