"""Take the live state of one process and keep it together with those of the others."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from router.health.endpoint import FAILURE_CLASSES
from router.health.histogram import LogHistogram
from router.health.latency import Pace
from router.health.news import BreakerPosition, Heard, Told
from router.state.settings import KEEP_S, LEASE_S

if TYPE_CHECKING:
    from router.health.live import LiveState
    from router.state.link import RedisLink

# The latencies of all endpoints are long, and only people look at them. They come with one exchange in so many.
_LATENCIES_EVERY = 20
# How long a cooldown is left that has ended.
_OVER_S = -1.0
# The script returns so many values for each endpoint.
_FACTS = 4
# A probe whose process died is given to another one after so many seconds.
_PROBE_S = 60


class SharedLive:
    """Exchanges what a live state has seen.

    Args:
        live: The live state.
        link: Leads to Redis.
        call_s: Seconds between two exchanges. Failures call the other processes at most once in that time.

    Attributes:
        replica: Name of this process among them.
        replicas: Number of processes that share the state, as last heard, ≥ 1.
    """

    def __init__(self, live: LiveState, link: RedisLink, *, call_s: float) -> None:
        # A process must not count as dead between two exchanges.
        self._lease_s = max(LEASE_S, 4 * call_s)
        self._live, self._link, self.replica = live, link, uuid.uuid4().hex[:12]
        self._call_s = call_s
        self.replicas = 1
        self._exchanges = 0
        live.claim_probe = self._claim_probe

    def exchange(self) -> bool:
        """Tell what is new and hear what others told. Return whether the server answered.

        If the server has forgotten everything, everything is told again.
        """
        told, with_latencies = self._live.tell(), self._exchanges % _LATENCIES_EVERY == 0
        answer = self._run(told, with_latencies=with_latencies)
        if answer is None:
            self._live.take_back(told)
            return False
        now, epoch, self.replicas = float(answer[0]), answer[1].decode(), max(1, int(answer[2]))
        has_forgotten, self._link.epoch = self._link.epoch not in ("", epoch), epoch
        if has_forgotten:
            self._live.tell_again()
            return self.exchange()
        self._exchanges += 1
        facts = [answer[i : i + _FACTS] for i in range(3, len(answer), _FACTS)]
        pairs = zip(told, facts, strict=True)
        self._live.hear({each.name: _read(now, fact, with_latencies=with_latencies) for each, fact in pairs}, told)
        return True

    def leave(self) -> None:
        """Give back what this process holds, as far as the server answers."""
        link = self._link
        # The lease has ended, so the next exchange of another process gives back the requests in flight.
        link.ask(lambda: link.client.zadd(link.key("replicas"), {self.replica: 0}, xx=True))

    def _run(self, told: Sequence[Told], *, with_latencies: bool) -> Any:
        """Return what the script `live` answers. None if the server does not answer."""
        link, replica = self._link, self.replica
        keys = [link.key("epoch"), link.key("replicas"), link.key("inflight"), self._inflight_key(replica)]
        arguments: list[object] = [
            replica,
            self._lease_s,
            uuid.uuid4().hex,
            int(with_latencies),
            self._inflight_key(""),
            KEEP_S,
        ]
        arguments += [link.epoch, link.key("calls"), self._call_s]
        for each in told:
            keys += [link.key("endpoint", each.name), link.key("latencies", each.name), link.key("probe", each.name)]
            arguments += [each.name, msgspec.msgpack.encode(_describe(each))]
        return link.run("live", keys, arguments, trial=True)

    def _claim_probe(self, name: str) -> bool:
        link = self._link
        key = link.key("probe", name)
        claimed = link.ask(lambda: (link.client.set(key, self.replica, nx=True, ex=_PROBE_S),))
        # Without the server, each process sends a probe of its own.
        return claimed is None or bool(claimed[0])

    def _inflight_key(self, replica: str) -> str:
        return self._link.key("inflight", replica)


def _describe(told: Told) -> dict[str, object]:
    """Return what the script `live` reads, without what is empty or false."""
    news, position, pace = told.news, told.position, told.news.pace
    counts: dict[str, int] = {"completed": news.completed, "calls": news.calls, "failures": news.failures}
    counts |= {str(kind): n for kind, n in news.failed.items()}
    facts: dict[str, object] = {
        "counts": {name: n for name, n in counts.items() if n},
        "latencies": {str(bucket): n for bucket, n in news.latencies.counts.items()},
        "first_token_s": None if pace is None else pace.first_token_s,
        "per_token_s": None if pace is None else pace.per_token_s,
        "decay_s": None if pace is None else told.decay_s,
        "row": news.row,
        "interrupted": news.interrupted,
        "moved": news.moved,
        "probe_ended": news.probe_ended,
        "inflight": told.inflight,
        "context_limit": told.context_limit,
        "version": position.version,
        "is_open": position.is_open,
        "open_left_s": position.open_left_s,
        "trips": position.trips,
        "slow_age_s": position.slow_age_s,
        "limited_left_s": position.limited_left_s,
        "limits": position.limits,
        "barred_left_s": position.barred_left_s,
    }
    # A cooldown that has ended is no news either. A time of 0.0 s is one.
    return {name: value for name, value in facts.items() if (value or isinstance(value, float)) and value != _OVER_S}


def _read(now: float, answer: Sequence[Any], *, with_latencies: bool) -> Heard:
    """Return what the script `live` answers about an endpoint."""
    accepted, inflight, flat, latencies = answer
    facts = {name.decode(): value.decode() for name, value in zip(flat[::2], flat[1::2], strict=True)}

    def number(name: str, otherwise: float = 0.0) -> float:
        return float(facts.get(name) or otherwise)

    pace = Pace(first_token_s=number("first_token_s"), per_token_s=number("per_token_s")) if "sampled_at" in facts else None
    buckets = {int(bucket): int(n) for bucket, n in zip(latencies[::2], latencies[1::2], strict=True)}
    return Heard(
        position=BreakerPosition(
            version=int(number("version")),
            is_open=number("is_open") > 0,
            open_left_s=number("open_until", now - 1.0) - now,
            trips=int(number("trips")),
            slow_age_s=now - number("closed_at") if facts.get("closed_at") else None,
            limited_left_s=number("limited_until", now - 1.0) - now,
            limits=int(number("limits")),
            barred_left_s=number("barred_until", now - 1.0) - now,
        ),
        accepted=bool(accepted),
        row=int(number("row")),
        calls=int(number("calls")),
        failures=int(number("failures")),
        completed=int(number("completed")),
        failed={kind: int(number(kind)) for kind in FAILURE_CLASSES},
        inflight=max(0, int(inflight)),
        pace=pace,
        pace_age_s=max(0.0, now - number("sampled_at", now)),
        context_limit=int(number("context_limit")) or None,
        latencies=LogHistogram.of(buckets) if with_latencies else None,
    )
