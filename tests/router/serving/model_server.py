"""A server of models on loopback that speaks chat completions. Each model gives one answer, whole or as a stream."""

import json
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

USAGE = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}


class ModelServer:
    """Answers by the name of the model. A model without an answer is down.

    Attributes:
        answers: The text of each model.
        logprobs: Log-probability of each of the two tokens of an answer that asks for them, by model.
        asked: The bodies of all requests, in order.
    """

    def __init__(self, answers: Mapping[str, str], logprobs: Mapping[str, float] | None = None) -> None:
        self.answers, self.logprobs, self.asked = dict(answers), dict(logprobs or {}), list[dict[str, Any]]()
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # one packet for the whole answer: in two, each answer would wait for an acknowledgement

            def log_message(self, *args: object) -> None:
                """Write no log."""

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                owner.asked.append(body)
                status, kind, data = owner.answer(body)
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._http.serve_forever)
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}/v1"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    @property
    def models(self) -> list[str]:
        """The models that were asked, in order."""
        return [body["model"] for body in self.asked]

    def answer(self, body: dict[str, Any]) -> tuple[int, str, bytes]:
        """Return the status, the content type and the body of an answer."""
        model = body["model"]
        if model not in self.answers:
            return 503, "application/json", b'{"error": {"message": "overloaded"}}'
        common = {"id": f"chat-{len(self.asked)}", "created": 1, "model": model}
        logprobs = None
        if body.get("logprobs") and model in self.logprobs:
            logprobs = {"content": [{"token": "a", "logprob": self.logprobs[model]}] * 2}
        if not body.get("stream"):
            message = {"role": "assistant", "content": self.answers[model]}
            choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": logprobs}
            whole = {**common, "object": "chat.completion", "choices": [choice], "usage": USAGE}
            return 200, "application/json", json.dumps(whole).encode()
        deltas = [({"content": word}, None) for word in self.answers[model].split()] + [({}, "stop")]
        events: list[dict[str, Any]] = [
            {"choices": [{"index": 0, "delta": delta, "finish_reason": reason, "logprobs": logprobs if delta else None}]}
            for delta, reason in deltas
        ]
        events.append({"choices": [], "usage": USAGE})
        lines = [json.dumps({**common, "object": "chat.completion.chunk", **event}) for event in events]
        return 200, "text/event-stream", "".join(f"data: {line}\n\n" for line in [*lines, "[DONE]"]).encode()
