"""What became of one request, as one value: for metrics, the log, traces and the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

from router.calls import Usage
from router.decision import RoutingDecision
from router.gateway.exchange import SeenAttempt
from router.types import WireProtocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One request of a client, after its end.

    Attributes:
        id: Name of the request.
        at: When it arrived, in seconds since the epoch.
        began_at: The same moment, by `time.monotonic`.
        client: Name of the client. Empty if no key is needed.
        protocol: Its protocol.
        asked: The model that the client asked for. Empty if the request could not be read.
        stream: Whether the answer came in events.
        status: The HTTP status that the client got. 499 if it left before.
        code: Why there was no answer. Empty if there was one.
        decision: The decision. None if none was made.
        model: The model that answered, or was asked last. Empty if none was asked.
        endpoint: The endpoint that answered, or was asked last.
        decided_s: Seconds that the decision took.
        decided_after_s: Seconds from the arrival to the end of the decision.
        first_s: Seconds from the arrival to the first byte of the answer. None without an answer.
        seconds: Seconds from the arrival to the end.
        usage: Usage of the answer.
        cost_usd: Cost of the answer in USD. None if unknown.
        paid_usd: USD that the request cost, by model: with answers of a cascade that were not accepted, and checks.
        checks: What a cascade did. Empty without one.
        baseline_usd: What the same tokens would have cost at the baseline. None if unknown, or without a baseline.
        attempts: The attempts, in order.
        messages: The conversation as the router read it.
        answer: Text of the answer. Empty if there is none, or it only calls tools.
        shadow_of: Name of the request that a shadow answered too. Empty: this is a request of a client.
        trace_headers: The headers that say to which trace the request belongs.
    """

    id: str
    at: float
    began_at: float
    client: str
    protocol: WireProtocol
    asked: str
    stream: bool
    status: int
    code: str
    decision: RoutingDecision | None
    model: str
    endpoint: str
    decided_s: float
    decided_after_s: float
    first_s: float | None
    seconds: float
    usage: Usage
    cost_usd: float | None
    baseline_usd: float | None
    attempts: Sequence[SeenAttempt]
    paid_usd: Mapping[str, float] = field(default_factory=dict)
    checks: Sequence[str] = ()
    messages: Sequence[dict[str, object]] = field(default=(), repr=False)
    answer: str = field(default="", repr=False)
    shadow_of: str = ""
    trace_headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def total_usd(self) -> float | None:
        """USD that the request cost. None if unknown."""
        return sum(self.paid_usd.values()) if self.paid_usd else None

    def to_dict(self) -> dict[str, object]:
        """Return plain data for JSON, without the conversation and the answer."""
        decision = self.decision
        assignment = None if decision is None else decision.assignment
        return {
            "id": self.id,
            "at": self.at,
            "client": self.client,
            "protocol": self.protocol,
            "asked": self.asked,
            "stream": self.stream,
            "status": self.status,
            "code": self.code,
            "task": None if decision is None else decision.task,
            "confidence": None if decision is None else round(decision.prediction.confidence, 4),
            "tier": None if decision is None else decision.prediction.tier,
            "strategy": None if decision is None else decision.strategy,
            "chosen": None if decision is None else decision.model,
            "reasons": [] if decision is None else list(decision.reasons),
            "experiment": None if assignment is None else asdict(assignment),
            "shadow_of": self.shadow_of,
            "model": self.model,
            "endpoint": self.endpoint,
            "decided_s": round(self.decided_s, 6),
            "first_s": None if self.first_s is None else round(self.first_s, 6),
            "seconds": round(self.seconds, 6),
            "input_tokens": self.usage.input_tokens,
            "output_tokens": self.usage.output_tokens,
            "cost_usd": self.cost_usd,
            "total_cost_usd": self.total_usd,
            "cascade": None if decision is None or decision.cascade is None else list(decision.cascade.models),
            "checks": list(self.checks),
            "baseline_usd": self.baseline_usd,
            "attempts": [
                {"model": a.model, "endpoint": a.endpoint, "seconds": round(a.seconds, 6), "end": a.end}
                for a in self.attempts
            ],
        }
