"""Strategies and two baselines in, the latency and failures of five endpoints out, in a seeded simulation.

    python benchmarks/balancing.py [--seconds 600] [--seeds 3] [--jobs CPUS] [--out FOLDER]

Only time is simulated. Strategies, live state, breakers, retry budget and call policy are the router's own code, with their
default values and at most two attempts. All scores are equal.

Requests: Every run of a seed gets the same requests at the same moments (Poisson). They come from 500 users, whose name is
the key. On average 20 requests would be in flight if other calls did not slow them down.

Answers: Length (mean 300 tokens, σ 0.6, reported as usage) and pace (σ 0.3) are lognormal. An answer takes 2 s on average
on an idle endpoint. Each other call in flight there at its start adds 1/32 of that, as with decoding in batches.

Faults: All endpoints are healthy for one minute. Then the first endpoint, e1, becomes faulty. It is the worst one to lose
for strategies that take equal models in order. A failing e1 answers 500 after 50 ms.

Baselines: They know no cooldown. `lowest mean latency` takes the endpoint whose last 100 calls were shortest on average,
failed calls included.

Tables: Shares are calls to e1 per request that came while e1 was faulty, or healthy. "failed" counts requests without an
answer over all seeds. Seconds run from a request to its answer, second attempts included. Values are means over seeds, ±
their standard deviation.

Burst: At the end, 40 requests come at one moment, and the model that is ranked first for all of them fails fast.
"""

from __future__ import annotations

import argparse
import heapq
import inspect
import math
import os
import random
import statistics
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import count, product
from pathlib import Path
from typing import TYPE_CHECKING

from router import ModelProfile, ModelScore, Preference, RoutingContext, RoutingDecision, Strategy, TaskPrediction
from router.calls import Completion, Reply, Usage
from router.errors import CallError, ServingError
from router.execution.plan import Command, Outcome
from router.execution.policy import CallPolicy
from router.execution.steps import Ask, Pause, Plan
from router.health.policy import HealthPolicy
from router.serving.fleet import Fleet
from router.serving.serving import Serving
from router.strategies import STRATEGIES, Banded, Dynamic, contextual

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ENDPOINTS = ("e1", "e2", "e3", "e4", "e5")
FAULTY = ENDPOINTS[0]
MEAN_S, MEAN_TOKENS = 2.0, 300
LENGTH_SIGMA, PACE_SIGMA = 0.6, 0.3
SLOWER_PER_CALL = 1 / 32
IN_FLIGHT = 20
USERS = 500
WARM_UP_S = 60.0
FAILS_AFTER_S = 0.05
LAST_CALLS = 100

ROUND_ROBIN, LOWEST_MEAN = "round robin, no live state", "lowest mean latency"
BANDED_DYNAMIC = "contextual>dynamic"
CONTENDERS = (ROUND_ROBIN, LOWEST_MEAN, *STRATEGIES, BANDED_DYNAMIC)
CALLS = CallPolicy(max_attempts=2)
NEVER = 10**9  # more failures than any run has, so that no breaker opens
NO_LIVE_STATE = HealthPolicy(trip_consecutive_failures=NEVER, trip_window_calls=NEVER)
SCORES = {
    name: ModelScore(
        model=name,
        quality=0.5,
        stderr=0.0,
        bound=0.5,
        cost_usd=None,
        latency_s=None,
        assumed=frozenset(),
        utility=0.5,
        quality_by_task={"any": 0.5},
    )
    for name in ENDPOINTS
}
PREDICTION = TaskPrediction(task="any", confidence=1.0, probabilities={"any": 1.0}, source="classifier")
PREFERENCE = Preference()
FAINT, ACCENT, ALARM = "#999999", "#1f77b4", "#d62728"
COLUMNS = ("strategy", "e1's share, faulty", "healthy", "failed", "calls per request", "p50 s", "p99 s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """The fault of e1 after the warm-up. In every period it is faulty first and then healthy.

    Attributes:
        name: Title in tables and plots.
        slower: Factor on the duration of its answers while it is faulty. None: it fails.
        fault_s: Seconds per period for which it is faulty.
        period_s: Length of a period in seconds.
    """

    name: str
    slower: float | None = None
    fault_s: float = math.inf
    period_s: float = math.inf

    def is_faulty(self, now: float) -> bool:
        """Return whether e1 is faulty at a time in seconds."""
        since = now - WARM_UP_S
        return since >= 0 and since % self.period_s < self.fault_s


BURST = 40
NO_FAULT, ONE_SLOW, FAST_FAILING = "no fault", "one 4 × slower", "one fails fast"
SCENARIOS = (
    Scenario(name=NO_FAULT, fault_s=0.0),
    Scenario(name=ONE_SLOW, slower=4.0),
    Scenario(name=FAST_FAILING),
    Scenario(name="fails 30 s of every 90 s", fault_s=30.0, period_s=90.0),
    Scenario(name="fails for the first 60 s", fault_s=60.0),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request of a client.

    Attributes:
        at: Time of the request in seconds.
        seconds: Duration of its answer on a healthy and idle endpoint.
        tokens: Length of the answer.
        user: Name of the client, which is the key.
    """

    at: float
    seconds: float
    tokens: int
    user: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """The figures of one run.

    Attributes:
        faulty_share: Calls to e1 per request that came while it was faulty. None if it never was.
        healthy_share: The same while it was healthy. None if it never was.
        failed: Number of requests without an answer.
        requests: Number of requests.
        calls: Attempts per request.
        p50_s: Median seconds to an answer, over answered requests.
        p99_s: 99th percentile of the same.
    """

    faulty_share: float | None
    healthy_share: float | None
    failed: int
    requests: int
    calls: float
    p50_s: float
    p99_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The figures of one contender in one scenario.

    `failed` and `requests` are sums over the seeds. All others are means.
    """

    contender: str
    scenario: str
    faulty_share: float | None
    healthy_share: float | None
    failed: int
    requests: int
    calls: float
    p50_s: float
    p99_s: float
    p99_deviation_s: float


class LowestMean:
    """Rank by the mean duration of the last calls, shortest first. Endpoints without calls come before all others."""

    def __init__(self) -> None:
        self._seconds: dict[str, deque[float]] = defaultdict(partial(deque, maxlen=LAST_CALLS))

    def __call__(self, context: RoutingContext) -> list[str]:
        """Rank the candidates."""
        return sorted(context.candidates, key=lambda name: statistics.fmean(self._seconds[name] or [0.0]))

    def add(self, endpoint: str, seconds: float) -> None:
        """Record the duration of a call in seconds."""
        self._seconds[endpoint].append(seconds)


class Simulation:
    """Simulate one contender in one scenario, event by event."""

    def __init__(self, contender: str, scenario: Scenario, *, seed: int) -> None:
        rng = random.Random(seed)
        self._now, self._scenario = 0.0, scenario
        self._strategy = make_strategy(contender, rng)
        health = NO_LIVE_STATE if contender in (ROUND_ROBIN, LOWEST_MEAN) else HealthPolicy()
        profiles = [ModelProfile(name=name) for name in ENDPOINTS]
        self._fleet = Fleet(profiles, Serving(calls=CALLS, health=health), clock=lambda: self._now, rng=rng)
        self._in_flight: Counter[str] = Counter()
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        self._tally = Tally(scenario)

    def run(self, requests: Iterator[Request]) -> Figures:
        """Serve all requests and return the figures."""
        self._schedule_next(requests)
        while self._events:
            self._now, _, happen = heapq.heappop(self._events)
            happen()
        return self._tally.sum_up()

    def _schedule_next(self, requests: Iterator[Request]) -> None:
        request = next(requests, None)
        if request is not None:
            self._at(request.at, partial(self._receive, request, requests))

    def _receive(self, request: Request, later: Iterator[Request]) -> None:
        self._schedule_next(later)
        self._begin(request)

    def _at(self, when: float, happen: Callable[[], None]) -> None:
        # The counter keeps events of the same moment in order, and callables cannot be compared.
        heapq.heappush(self._events, (when, next(self._order), happen))

    def _begin(self, request: Request) -> None:
        plan = self._fleet.plan(
            self._decide(request),
            [],
            options={},
            stream=False,
            needs=frozenset(),
            tokens=0,
            fallbacks=None,
            learn=lambda _: None,
            began_at=self._fleet.now(),
        )
        self._go_on(plan, request, None)

    def _decide(self, request: Request) -> RoutingDecision:
        """Rank as `Router` does, without a prompt to classify."""
        cooling = self._fleet.find_cooling(ENDPOINTS)
        candidates = tuple(name for name in ENDPOINTS if name not in cooling) or ENDPOINTS
        context = RoutingContext(
            prompt="",
            key=request.user,
            prediction=PREDICTION,
            candidates=candidates,
            scores={name: SCORES[name] for name in candidates},
            preference=PREFERENCE,
            loads=self._fleet.loads(candidates),
            inflight=self._fleet.inflight(candidates),
            weights=self._fleet.weights(candidates),
        )
        ranking = list(self._strategy(context))
        return RoutingDecision(
            ranking=(*ranking, *(name for name in ENDPOINTS if name not in ranking)),
            prediction=PREDICTION,
            scores=SCORES,
            strategy="",
            preference=PREFERENCE,
            excluded={},
            reasons=(),
        )

    def _go_on(self, plan: Plan, request: Request, outcome: Outcome) -> None:
        try:
            command = plan.send(outcome)
        except StopIteration as answered:
            completion: Completion = answered.value
            self._tally.add(request, [attempt.endpoint for attempt in completion.attempts], self._now)
        except ServingError as error:
            self._tally.add(request, [attempt.endpoint for attempt in error.attempts], None)
        else:
            self._do(command, plan, request)

    def _do(self, command: Command, plan: Plan, request: Request) -> None:
        if isinstance(command, Pause):
            self._at(self._now + command.seconds, partial(self._go_on, plan, request, None))
        if isinstance(command, Ask):
            self._ask(command, plan, request)

    def _ask(self, ask: Ask, plan: Plan, request: Request) -> None:
        endpoint = ask.request.endpoint
        seconds, outcome = self._answer(endpoint, request)
        if seconds > ask.within_s:
            seconds, outcome = ask.within_s, CallError("transient", "no answer in time")
        self._in_flight[endpoint] += 1
        self._at(self._now + seconds, partial(self._end, endpoint, seconds, plan, request, outcome))

    def _answer(self, endpoint: str, request: Request) -> tuple[float, Outcome]:
        """Return the seconds until an endpoint answers, and its answer."""
        faulty = endpoint == FAULTY and self._scenario.is_faulty(self._now)
        if faulty and self._scenario.slower is None:
            return FAILS_AFTER_S, CallError("transient", "500", status=500)
        slower = (self._scenario.slower or 1.0) if faulty else 1.0
        batching = 1 + SLOWER_PER_CALL * self._in_flight[endpoint]
        reply = Reply(text="", finish_reason="stop", usage=Usage(output_tokens=request.tokens))
        return request.seconds * slower * batching, reply

    def _end(self, endpoint: str, seconds: float, plan: Plan, request: Request, outcome: Outcome) -> None:
        self._in_flight[endpoint] -= 1
        if isinstance(self._strategy, LowestMean):
            self._strategy.add(endpoint, seconds)
        self._go_on(plan, request, outcome)


class Tally:
    """Count the outcomes of all requests that came after the warm-up."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._seconds: list[float] = []
        self._failed = self._calls = 0
        self._requests: Counter[bool] = Counter()  # key: whether e1 was faulty
        self._to_faulty: Counter[bool] = Counter()

    def add(self, request: Request, endpoints: Sequence[str], answered_at: float | None) -> None:
        """Count a request and its calls. `answered_at` is in seconds, None if it failed."""
        if request.at < WARM_UP_S:
            return
        faulty = self._scenario.is_faulty(request.at)
        self._requests[faulty] += 1
        self._to_faulty[faulty] += endpoints.count(FAULTY)
        self._calls += len(endpoints)
        if answered_at is None:
            self._failed += 1
        else:
            self._seconds.append(answered_at - request.at)

    def sum_up(self) -> Figures:
        """Return the figures of the run."""
        n, cuts = self._requests.total(), statistics.quantiles(self._seconds, n=100)
        shares = {faulty: self._to_faulty[faulty] / asked if asked else None for faulty, asked in self._requests.items()}
        return Figures(
            faulty_share=shares.get(True),
            healthy_share=shares.get(False),
            failed=self._failed,
            requests=n,
            calls=self._calls / n,
            p50_s=cuts[49],
            p99_s=cuts[98],
        )


def make_strategy(contender: str, rng: random.Random) -> Strategy:
    """Return a new strategy for a contender. It draws all random numbers from `rng`."""
    if contender == LOWEST_MEAN:
        return LowestMean()
    if contender == BANDED_DYNAMIC:
        return Banded(contextual, Dynamic(rng))
    maker: Callable[..., Strategy] = STRATEGIES["round-robin" if contender == ROUND_ROBIN else contender]
    return maker(rng=rng) if "rng" in inspect.signature(maker).parameters else maker()


def draw_requests(seconds: float, *, seed: int) -> Iterator[Request]:
    """Yield the requests of the warm-up and of the given seconds after it."""
    rng, at = random.Random(seed), 0.0
    while (at := at + rng.expovariate(IN_FLIGHT / MEAN_S)) < WARM_UP_S + seconds:
        length, pace = _lognormal(rng, LENGTH_SIGMA), _lognormal(rng, PACE_SIGMA)
        user = f"user-{rng.randrange(USERS)}"
        yield Request(at=at, seconds=MEAN_S * length * pace, tokens=max(1, round(MEAN_TOKENS * length)), user=user)


def _lognormal(rng: random.Random, sigma: float) -> float:
    """Return a random number > 0 with mean 1."""
    return rng.lognormvariate(-(sigma**2) / 2, sigma)


def simulate(scenario: Scenario, contender: str, seed: int, *, seconds: float) -> Figures:
    """Return the figures of one contender, with the requests of one seed, in one scenario."""
    return Simulation(contender, scenario, seed=seed).run(draw_requests(seconds, seed=seed))


def describe_burst(contender: str, *, seed: int) -> str:
    """Return how many of 40 concurrent calls with a broken first model get an answer, and at which cost."""
    requests = (Request(at=WARM_UP_S, seconds=MEAN_S, tokens=MEAN_TOKENS, user=f"user-{i}") for i in range(BURST))
    scenario = Scenario(name="burst")
    figures = Simulation(contender, scenario, seed=seed).run(requests)
    answered = figures.requests - figures.failed
    return (
        f"{BURST} concurrent calls with a broken first model, {contender}, seed {seed}: {answered} answers, "
        f"{figures.calls:.3g} calls per request, p99 {figures.p99_s:.3g} s"
    )


def summarize(contender: str, scenario: Scenario, runs: Sequence[Figures]) -> Summary:
    """Return the mean figures over the runs of all seeds."""
    p99s = [run.p99_s for run in runs]
    return Summary(
        contender=contender,
        scenario=scenario.name,
        faulty_share=_mean_of_known(run.faulty_share for run in runs),
        healthy_share=_mean_of_known(run.healthy_share for run in runs),
        failed=sum(run.failed for run in runs),
        requests=sum(run.requests for run in runs),
        calls=statistics.fmean(run.calls for run in runs),
        p50_s=statistics.fmean(run.p50_s for run in runs),
        p99_s=statistics.fmean(p99s),
        p99_deviation_s=statistics.stdev(p99s) if len(p99s) > 1 else 0.0,
    )


def _mean_of_known(shares: Iterable[float | None]) -> float | None:
    known = [share for share in shares if share is not None]
    return statistics.fmean(known) if known else None


def tabulate(summaries: Sequence[Summary]) -> str:
    """Return one Markdown table per scenario with one row per contender."""
    return "\n\n".join(
        f"### {scenario.name}, n {rows[0].requests:,} requests\n\n{_table(rows)}"
        for scenario in SCENARIOS
        if (rows := [summary for summary in summaries if summary.scenario == scenario.name])
    )


def _table(rows: Sequence[Summary]) -> str:
    cells = [COLUMNS, *map(_cells, rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in cells]
    return "\n".join([lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]])


def _cells(row: Summary) -> tuple[str, ...]:
    shares = ["–" if share is None else f"{100 * share:.1f} %" for share in (row.faulty_share, row.healthy_share)]
    p99 = f"{row.p99_s:.1f} ± {row.p99_deviation_s:.1f}"
    return (row.contender, *shares, str(row.failed), f"{row.calls:.4f}", f"{row.p50_s:.2f}", p99)


def check_claims(summaries: Sequence[Summary]) -> str:
    """Return one line per claim about the strategies that use the load, with its limit and whether it holds."""
    found = {(summary.contender, summary.scenario): summary for summary in summaries}
    lines = []
    for contender in ("dynamic", BANDED_DYNAMIC):
        own = [summary for summary in summaries if summary.contender == contender]
        healthy, slow = (found[contender, name].p99_s / found[ROUND_ROBIN, name].p99_s for name in (NO_FAULT, ONE_SLOW))
        claims = (
            ("share of the endpoint that fails fast", found[contender, FAST_FAILING].faulty_share or 0.0, 0.03),
            ("failed requests, all scenarios", sum(summary.failed for summary in own), 1),
            ("calls per request, worst scenario", max(summary.calls for summary in own), 1.02),
            ("p99 without a fault, as a multiple of round robin's", healthy, 1.1),
            ("p99 with a slow endpoint, as a multiple of round robin's", slow, 0.5),
        )
        lines += [
            f"- {contender}: {claim}: {value:.4g}, must be less than {limit:g}{'' if value < limit else ': MISSED'}"
            for claim, value, limit in claims
        ]
    return "\n".join(lines)


def plot(summaries: Sequence[Summary], title: str) -> Figure:
    """Draw the median, the 99th percentile and the share of failed requests for every contender and scenario."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(17, 5.5), layout="constrained")
    figure.suptitle(title)
    for axes, scenario in zip(figure.subplots(1, len(SCENARIOS), sharey=True), SCENARIOS, strict=True):
        rows = [summary for summary in summaries if summary.scenario == scenario.name]
        names = [row.contender for row in rows]
        axes.hlines(names, [row.p50_s for row in rows], [row.p99_s for row in rows], color=FAINT)
        axes.plot([row.p50_s for row in rows], names, "o", color=FAINT, label="p50")
        axes.plot([row.p99_s for row in rows], names, "o", color=ACCENT, label="p99")
        for row in rows:
            if row.failed:
                share = f"  {100 * row.failed / row.requests:.2f} % failed"
                axes.annotate(share, (row.p99_s, row.contender), va="center", fontsize=8, color=ALARM)
        axes.set(title=scenario.name, xlabel="seconds", xscale="log", xlim=(1, 1000))
        axes.set_xticks([1, 10, 100], ["1", "10", "100"])
        axes.grid(axis="x", alpha=0.3)
    figure.axes[0].invert_yaxis()
    figure.axes[0].legend(loc="lower right")
    return figure


def main() -> None:
    """Simulate everything, print the report, and write it if `--out` is given."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600, help="Simulated seconds after the warm-up.")
    parser.add_argument("--seeds", type=int, default=3, help="Number of seeds, from 0.")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="Number of processes.")
    parser.add_argument("--out", type=Path, help="Folder for balancing.md and balancing.png.")
    options = parser.parse_args()
    start = time.perf_counter()
    with ProcessPoolExecutor(options.jobs) as pool:
        running = {
            (scenario, contender): [
                pool.submit(simulate, scenario, contender, seed, seconds=options.seconds) for seed in range(options.seeds)
            ]
            for scenario, contender in product(SCENARIOS, CONTENDERS)
        }
        summaries = [
            summarize(contender, scenario, [run.result() for run in runs]) for (scenario, contender), runs in running.items()
        ]
    title = f"{len(ENDPOINTS)} endpoints, {options.seconds:g} simulated s, {options.seeds} seeds from 0"
    burst = describe_burst("contextual", seed=0)
    report = f"{title}\n\n{tabulate(summaries)}\n\n{check_claims(summaries)}\n\n{burst}\n"
    print(report)
    print(f"took {time.perf_counter() - start:.0f} s with {options.jobs} processes")
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "balancing.md").write_text(report, encoding="utf-8")
        plot(summaries, title).savefig(options.out / "balancing.png", dpi=150)


if __name__ == "__main__":
    main()
