"""A server on the loopback address that answers each request as a function says."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

Body = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Response:
    content: bytes
    content_type: str = "application/json"
    status: int = 200


def make_json(value: object, status: int = 200) -> Response:
    return Response(content=json.dumps(value).encode(), status=status)


def make_events(*events: object) -> Response:
    """Return a stream of OpenAI's protocol, with the line that ends it."""
    lines = [*map(json.dumps, events), "[DONE]"]
    return Response(content="".join(f"data: {line}\n\n" for line in lines).encode(), content_type="text/event-stream")


class LoopbackServer:
    """Serves requests with a body in JSON, each in its own thread, while it is entered.

    Attributes:
        respond: Given the body of a request, returns the response.
        bodies: The body of each request, in order.
        url: Where clients of OpenAI's protocol find the server.
    """

    def __init__(self, respond: Callable[[Body], Response]) -> None:
        self.respond = respond
        self.bodies: list[Body] = []
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # one packet for the whole answer: in two, each answer would wait for an acknowledgement

            def log_message(self, *args: object) -> None:
                """Write no log."""

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                owner.bodies.append(body)
                response = owner.respond(body)
                self.send_response(response.status)
                self.send_header("Content-Type", response.content_type)
                self.send_header("Content-Length", str(len(response.content)))
                self.end_headers()
                self.wfile.write(response.content)

        self._http = _Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01})
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}/v1"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        # Clients that are killed leave.
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)
