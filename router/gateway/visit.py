"""One request of a client while it is answered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from router.caller import Planned
from router.calls import Completion
from router.decision import RoutingDecision
from router.gateway.clients import Client
from router.gateway.exchange import Exchange
from router.gateway.protocol import Request, WireFormat

# Models of the ranking in the headers for debugging.
_SHOWN_MODELS = 5


class ClientGoneError(Exception):
    """The client has closed its connection."""


@dataclass(slots=True, kw_only=True)
class Visit:
    """One request of a client, from its arrival to its end.

    Attributes:
        id: Name of the request, which feedback and logs use.
        format: Its protocol.
        path: Its path behind the base URL of a server.
        headers: Its headers by their lower-case names.
        began_at: When it arrived, by the clock of the router.
        client: Who sent it.
        request: What the router reads of it.
        planned: The decision and the plan of its call. None before the decision is made.
        decision: The decision. None before it is made.
        decided_s: Seconds that the decision took.
        reserved_usd: Expected cost that is reserved in the budget of the client. None before it is.
        decided_at: When it was made, by the clock of the router.
        exchange: What is sent and what comes back.
        completion: The answer. None if there is none.
        status: The HTTP status of the answer. 499 if the client left before.
        code: Why there was no answer. Empty if there was one.
        first_at: When the first byte of the answer was sent. None before.
    """

    id: str
    format: WireFormat
    path: str
    headers: Mapping[str, str] = field(repr=False)
    began_at: float
    client: Client = field(default_factory=Client)
    request: Request | None = None
    planned: Planned | None = None
    decision: RoutingDecision | None = None
    decided_s: float = 0.0
    reserved_usd: float | None = None
    decided_at: float = 0.0
    exchange: Exchange | None = None
    completion: Completion | None = None
    status: int = 499
    code: str = ""
    first_at: float | None = None

    def describe(self) -> dict[str, str]:
        """Return the headers that show the decision."""
        headers, decision, exchange = {"x-router-id": self.id}, self.decision, self.exchange
        if decision is None or exchange is None:
            return headers
        headers |= {
            "x-router-model": exchange.model or decision.model,
            "x-router-task": decision.task or "unknown",
            "x-router-confidence": f"{decision.prediction.confidence:.2f}",
            "x-router-strategy": decision.strategy,
        }
        if decision.assignment is not None:
            headers |= {"x-router-experiment": decision.assignment.experiment, "x-router-arm": decision.assignment.arm}
        if self.headers.get("x-router-debug") == "1":
            cost = decision.expected.cost_usd
            headers |= {
                "x-router-ranking": ", ".join(decision.ranking[:_SHOWN_MODELS]),
                "x-router-reasons": "; ".join([*decision.reasons, *(self.completion.reasons if self.completion else ())]),
                "x-router-expected-cost-usd": "unknown" if cost is None else f"{cost:.3g}",
                "x-router-decision-ms": f"{self.decided_s * 1000:.2f}",
                "x-router-attempts": ", ".join(f"{seen.endpoint}: {seen.end}" for seen in exchange.attempts),
            }
        return headers
