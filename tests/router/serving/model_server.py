"""A server of models that speaks chat completions. Each model gives one answer, whole or as a stream."""

from collections.abc import Mapping
from typing import Any

from tests.loopback import Body, LoopbackServer, Response, make_events, make_json

USAGE = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}


class ModelServer(LoopbackServer):
    """Answers by the name of the model. A model without an answer is down.

    Attributes:
        answers: The text of each model.
        logprobs: Log-probability of each of the two tokens of an answer that asks for them, by model.
    """

    def __init__(self, answers: Mapping[str, str], logprobs: Mapping[str, float] | None = None) -> None:
        super().__init__(self._complete)
        self.answers, self.logprobs = dict(answers), dict(logprobs or {})

    @property
    def models(self) -> list[str]:
        """The models that were asked, in order."""
        return [body["model"] for body in self.bodies]

    def _complete(self, body: Body) -> Response:
        model = body["model"]
        if model not in self.answers:
            return make_json({"error": {"message": "overloaded"}}, 503)
        common = {"id": f"chat-{len(self.bodies)}", "created": 1, "model": model}
        logprobs = None
        if body.get("logprobs") and model in self.logprobs:
            logprobs = {"content": [{"token": "a", "logprob": self.logprobs[model]}] * 2}
        if not body.get("stream"):
            message = {"role": "assistant", "content": self.answers[model]}
            choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": logprobs}
            return make_json({**common, "object": "chat.completion", "choices": [choice], "usage": USAGE})
        deltas = [({"content": word}, None) for word in self.answers[model].split()] + [({}, "stop")]
        events: list[dict[str, Any]] = [
            {"choices": [{"index": 0, "delta": delta, "finish_reason": reason, "logprobs": logprobs if delta else None}]}
            for delta, reason in deltas
        ]
        events.append({"choices": [], "usage": USAGE})
        return make_events(*({**common, "object": "chat.completion.chunk", **event} for event in events))
