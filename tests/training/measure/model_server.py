"""A server on the loopback address that answers chat completions as a function of the test says."""

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

# Given the model and its messages, returns the text of the answer, or an HTTP status of a failure.
Answer = Callable[[str, list[dict[str, str]]], str | int]


class ModelServer:
    """Answers with 10 tokens of input and 5 of output each.

    Attributes:
        answer: What is answered.
        asked: Model and last message of each request, in order.
        bodies: The body of each request.
        hold: Requests wait while it is not set.
    """

    def __init__(self) -> None:
        self.answer: Answer = lambda *_: "hello"
        self.asked: list[tuple[str, str]] = []
        self.bodies: list[dict[str, Any]] = []
        self.usage: dict[str, int] | None = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
        self.hold = threading.Event()
        self.hold.set()
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1

            def log_message(self, *args: object) -> None:
                """Write no log."""

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                owner.bodies.append(body)
                owner.asked.append((body["model"], body["messages"][-1]["content"]))
                owner.hold.wait(30)
                found = owner.answer(body["model"], body["messages"])
                self.send_answer(found if isinstance(found, int) else 200, found)

            def send_answer(self, status: int, text: object) -> None:
                choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
                whole = {"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice]}
                if owner.usage:
                    whole["usage"] = owner.usage
                data = json.dumps(whole if status == 200 else {"error": {"message": "no"}}).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

        class Server(ThreadingHTTPServer):
            def handle_error(self, *args: object) -> None:
                """Do nothing: clients that are killed leave."""

        self._http = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01})
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}/v1"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.hold.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()
