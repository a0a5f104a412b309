"""Records of requests in, what the page shows of them out."""

from __future__ import annotations

from collections import deque

from router.core import Router
from router.gateway.record import Record

_KEPT = 50


class Live:
    """The latest requests and the sums since the start.

    Args:
        router: The router.
        baseline: Model that costs are compared with. None: none.
    """

    def __init__(self, router: Router, baseline: str | None) -> None:
        self._router, self._baseline = router, baseline
        self._latest: deque[dict[str, object]] = deque(maxlen=_KEPT)
        self._requests = self._failed = 0
        self._cost_usd = self._baseline_usd = self._compared_usd = 0.0

    def add(self, record: Record) -> None:
        """Take a request into account. Its conversation is not kept."""
        self._latest.appendleft(record.to_dict())
        self._requests += 1
        self._failed += bool(record.code)
        self._cost_usd += record.total_usd or 0.0
        if record.baseline_usd is not None and record.total_usd is not None:
            self._baseline_usd += record.baseline_usd
            self._compared_usd += record.total_usd

    def to_dict(self, running: int) -> dict[str, object]:
        """Return plain data for the page.

        Args:
            running: Number of requests that are answered now.
        """
        health = self._router.fleet.live.snapshot().values()
        return {
            "requests": self._requests,
            "running": running,
            "failed": self._failed,
            "cost_usd": self._cost_usd,
            "baseline": self._baseline,
            "baseline_usd": None if self._baseline is None else self._baseline_usd,
            "compared_usd": self._compared_usd,
            "endpoints": [
                {
                    "name": endpoint.name,
                    "state": endpoint.state,
                    "inflight": endpoint.inflight,
                    "completed": endpoint.completed,
                    "failures": sum(endpoint.failures.values()),
                    "p50_s": endpoint.p50_s,
                    "p95_s": endpoint.p95_s,
                }
                for endpoint in health
            ],
            "latest": list(self._latest),
        }
