"""Records of requests and the state of the fleet in, metrics in the text format of Prometheus out."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from router.core import Router
from router.gateway.clients import Clients
from router.gateway.exchange import SeenAttempt
from router.gateway.record import Record

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_DECISION_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0)
_ANSWER_S = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0, 120.0, 300.0)


class Metrics:
    """Counts what the gateway does. Labels are names of the configuration and of tasks, never texts of a request.

    Args:
        router: The router.
        clients: The clients.
    """

    def __init__(self, router: Router, clients: Clients) -> None:
        self._registry = registry = CollectorRegistry()
        registry.register(_State(router, clients))

        def count(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"router_{name}", text, labels, registry=registry)

        def measure(name: str, text: str, *labels: str, buckets: tuple[float, ...] = _ANSWER_S) -> Histogram:
            return Histogram(f"router_{name}", text, labels, registry=registry, buckets=buckets)

        self._requests = count("requests", "Requests by protocol, HTTP status and client.", "protocol", "status", "client")
        self._decisions = count("decisions", "Decisions by task and chosen model.", "task", "model")
        self._attempts = count("attempts", "Attempts by endpoint and end: ok, or the failure's class.", "endpoint", "end")
        self._tokens = count("tokens", "Tokens of prompts (input) and answers (output).", "model", "direction")
        self._cost = count("cost_usd", "Cost of the calls, with answers that a cascade did not use.", "model", "client")
        self._cascades = count("cascades", "Cascades by the place of the model that answered.", "place")
        self._shadow_cost = count("shadow_cost_usd", "Cost of the answers of shadows, which no client gets.", "model")
        self._baseline = count("baseline_cost_usd", "What the same tokens would have cost at the baseline.")
        self._compared = count("compared_cost_usd", "Cost of the answers that have a cost at the baseline.")
        self._decision_s = measure("decision_seconds", "Time of a decision.", buckets=_DECISION_S)
        self._first_s = measure("first_byte_seconds", "Time to the first byte of a stream.", "model")
        self._whole_s = measure("request_seconds", "Time of a whole request.", "model")

    def add_attempt(self, seen: SeenAttempt) -> None:
        """Count an attempt."""
        self._attempts.labels(seen.endpoint, seen.end).inc()

    def add_shadow(self, record: Record) -> None:
        """Count the call of a shadow, which is no request of a client."""
        self._shadow_cost.labels(record.model).inc(record.cost_usd or 0.0)

    def add(self, record: Record) -> None:
        """Count a request."""
        self._requests.labels(record.protocol, str(record.status), record.client).inc()
        if record.decision is None:
            return
        self._decisions.labels(record.decision.task or "unknown", record.decision.model).inc()
        self._decision_s.observe(record.decided_s)
        if record.code:
            return
        for direction, tokens in (("input", record.usage.input_tokens), ("output", record.usage.output_tokens)):
            self._tokens.labels(record.model, direction).inc(tokens or 0)
        for model, usd in record.paid_usd.items():
            self._cost.labels(model, record.client).inc(usd)
        if record.decision.cascade is not None:
            models = record.decision.cascade.models
            place = str(models.index(record.model) + 1) if record.model in models else "other"
            self._cascades.labels(place).inc()
        if record.baseline_usd is not None and record.total_usd is not None:
            self._baseline.inc(record.baseline_usd)
            self._compared.inc(record.total_usd)
        self._whole_s.labels(record.model).observe(record.seconds)
        if record.stream and record.first_s is not None:
            self._first_s.labels(record.model).observe(record.first_s)

    def write(self) -> bytes:
        """Return all metrics."""
        return generate_latest(self._registry)


class _State(Collector):
    """Reads the live state when the metrics are asked for."""

    def __init__(self, router: Router, clients: Clients) -> None:
        self._router, self._clients = router, clients

    def collect(self) -> Iterator[Metric]:
        """Yield the state of each endpoint, and what is left of each budget."""
        breaker = GaugeMetricFamily(
            "router_breaker_state", "1 for the state that a breaker is in.", labels=["endpoint", "state"]
        )
        inflight = GaugeMetricFamily("router_inflight", "Attempts in flight.", labels=["endpoint"])
        failures = CounterMetricFamily("router_failures", "Failed attempts by class.", labels=["endpoint", "class"])
        # Prometheus sums over all gateways, so each one counts its own.
        for name, health in self._router.fleet.live.snapshot(own=True).items():
            breaker.add_metric([name, health.state], 1)
            inflight.add_metric([name], health.inflight)
            for kind, n in health.failures.items():
                failures.add_metric([name, kind], n)
        budget = GaugeMetricFamily("router_budget_remaining_usd", "USD that may still be spent.", labels=["client"])
        state = self._router.fleet.state
        if state is not None:
            yield GaugeMetricFamily("router_state_up", "1 if the shared state is used.", value=int(state.problem is None))
            yield GaugeMetricFamily("router_state_replicas", "Routers that share the state.", value=state.replicas)
        for client, usd in self._clients.remaining_usd().items():
            budget.add_metric([client], usd)
        if self._router.fleet.spend_tracker is not None:
            budget.add_metric([""], self._router.fleet.spend_tracker.remaining_usd())
        yield from (breaker, inflight, failures, budget)
