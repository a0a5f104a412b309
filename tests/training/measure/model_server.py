"""A server that answers chat completions as a function of the test says."""

import threading
from collections.abc import Callable

from tests.loopback import Body, LoopbackServer, Response, make_json

# Given the model and its messages, returns the text of the answer, or an HTTP status of a failure.
Answer = Callable[[str, list[dict[str, str]]], str | int]


class ModelServer(LoopbackServer):
    """Answers with 10 tokens of input and 5 of output each.

    Attributes:
        answer: What is answered.
        usage: The tokens that it reports. None: it reports none.
        hold: Requests wait while it is not set.
    """

    def __init__(self) -> None:
        super().__init__(self._complete)
        self.answer: Answer = lambda *_: "hello"
        self.usage: dict[str, int] | None = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
        self.hold = threading.Event()
        self.hold.set()

    def __exit__(self, *error: object) -> None:
        self.hold.set()
        super().__exit__(*error)

    @property
    def asked(self) -> list[tuple[str, str]]:
        """Model and last message of each request, in order."""
        return [(body["model"], body["messages"][-1]["content"]) for body in self.bodies]

    def _complete(self, body: Body) -> Response:
        self.hold.wait(30)
        found = self.answer(body["model"], body["messages"])
        if isinstance(found, int):
            return make_json({"error": {"message": "no"}}, found)
        choice = {"index": 0, "message": {"role": "assistant", "content": found}, "finish_reason": "stop"}
        whole = {"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice]}
        return make_json({**whole, "usage": self.usage} if self.usage else whole)
