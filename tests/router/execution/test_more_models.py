"""More models never make a call less likely to succeed: simulations of fleets and faults on simulated time."""

import asyncio
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from router.calls import CallRequest
from router.errors import CallError, ServingError
from router.execution.async_driver import acomplete
from router.execution.executors import as_executor
from router.execution.fake import FakeExecutor
from router.execution.policy import CallPolicy
from router.execution.sync_driver import complete
from tests.router.execution.fakes import FakeEndpoints, SimulatedClock
from tests.router.health.fakes import EXACT

# The same lines run a hundred thousand times, which takes three times as long if each of them is counted.
pytestmark = pytest.mark.no_cover

DOWN = CallError("transient", "503", status=503)
REFUSALS = [CallError("auth", "401", status=401), CallError("unable", "400", status=400)]
LIMITS = [CallError("rate_limit", "429", status=429, retry_after_s=seconds) for seconds in (2.0, 30.0, 80.0)]
Act = CallError | str
Script = Mapping[str, Sequence[Act]]

# The acts of an endpoint by the number of its requests. The last act is repeated.
ACTS = st.lists(st.sampled_from([DOWN, *LIMITS, *REFUSALS, "ok"]), min_size=1, max_size=4)
FAILING = st.lists(st.sampled_from([DOWN, *REFUSALS, "ok"]), min_size=1, max_size=4)
PASSING = st.sampled_from([DOWN, *LIMITS])
REFUSING = st.lists(st.sampled_from(REFUSALS), min_size=1, max_size=3)

FLEETS = ["a", "ab", "abc", "abcd"]
N_CALLS, ROUND_S, ANSWER_S = 2000, 20.0, 0.2
# Three standard errors of the difference of two shares of 2,000 calls each.
NOISE = 0.048


@dataclass(frozen=True)
class End:
    """End of a scripted call: whether it was answered, and which endpoints were asked."""

    answered: bool
    asked: str


def call(script: Script, max_attempts: int) -> End:
    endpoints = FakeEndpoints(*script, policy=CallPolicy(max_attempts=max_attempts), health=EXACT)
    executor = FakeExecutor(script)
    try:
        complete(endpoints.plan(), executor, sleep=endpoints.clock.sleep)
        answered = True
    except ServingError:
        answered = False
    assert endpoints.at_rest()
    return End(answered, "".join(request.endpoint for request in executor.requests))


def name_all(first: Sequence[Act], others: Sequence[Sequence[Act]]) -> Script:
    return dict(zip("abcd", [first, *others], strict=False))


@given(faults=st.lists(PASSING, max_size=3), others=st.lists(FAILING, min_size=1, max_size=3))
@example(faults=[LIMITS[2]], others=[[DOWN]])
def test_whatever_the_first_model_alone_survives_a_fleet_survives_with_one_more_attempt_for_each_other_model(
    faults: list[Act], others: Sequence[Sequence[Act]]
) -> None:
    first, n = [*faults, "ok"], len(faults) + 1
    # Several long rate limits outlast the deadline of 120 s.
    assume(call({"a": first}, n).answered)
    assert call(name_all(first, others), n + len(others)).answered


@given(faults=st.lists(PASSING, max_size=3), others=st.lists(ACTS, min_size=1, max_size=3))
@example(faults=[LIMITS[1]], others=[[LIMITS[0]]])
@example(faults=[DOWN, LIMITS[0], LIMITS[2]], others=[[LIMITS[2]]])
def test_if_others_have_rate_limits_too_it_survives_with_as_many_attempts_for_each_model(
    faults: list[Act], others: Sequence[Sequence[Act]]
) -> None:
    """While all rest, the first that returns is asked, which may be another one several times."""
    first, n = [*faults, "ok"], len(faults) + 1
    assume(call({"a": first}, n).answered)
    assert call(name_all(first, others), n * (1 + len(others))).answered


@given(first=ACTS, others=st.lists(REFUSING, min_size=1, max_size=3), n=st.integers(1, 4))
def test_models_that_only_refuse_cost_no_attempt(first: Sequence[Act], others: Sequence[Sequence[Act]], n: int) -> None:
    alone, fleet = call({"a": first}, n), call(name_all(first, others), n)
    assert fleet.answered == alone.answered
    assert fleet.asked.count("a") == alone.asked.count("a")


@given(first=ACTS, others=st.lists(ACTS, max_size=3), n=st.integers(1, 4))
def test_a_call_makes_at_most_max_attempts_and_one_refused_request_for_each_endpoint(
    first: Sequence[Act], others: Sequence[Sequence[Act]], n: int
) -> None:
    script = name_all(first, others)
    asked = call(script, n).asked
    acts = [script[name][min(asked[:place].count(name), len(script[name]) - 1)] for place, name in enumerate(asked)]
    refused = [name for name, act in zip(asked, acts, strict=True) if act in REFUSALS]
    assert len(asked) - len(refused) <= n
    assert len(set(refused)) == len(refused)


@dataclass
class Crowd:
    """Waves of calls at once to endpoints with independent faults, on simulated time, with one live state.

    Attributes:
        names: The endpoints.
        n_calls: Calls at once.
        fault_rates: Share of the requests that fail with 503, and that fail with 429 and Retry-After 2.
        answered: Number of answered calls.
        most_retries: Most retries in flight at a time.
    """

    names: str
    n_calls: int
    fault_rates: tuple[float, float]
    answered: int = 0
    most_retries: int = 0

    def run(self) -> float:
        """Return the share of the calls that were answered."""
        endpoints = FakeEndpoints(*self.names, clock=SimulatedClock())
        rngs = {name: random.Random(f"{name} {self.fault_rates}") for name in self.names}  # noqa: S311 - reproducible

        async def answer(request: CallRequest) -> str:
            drawn, (down, limited) = rngs[request.endpoint].random(), self.fault_rates
            self.most_retries = max(self.most_retries, endpoints.budget._retries)
            await asyncio.sleep(ANSWER_S)
            if drawn < down:
                raise CallError("transient", "503", status=503)
            if drawn < down + limited:
                raise CallError("rate_limit", "429", status=429, retry_after_s=2.0)
            return "ok"

        async def once() -> None:
            try:
                await acomplete(endpoints.plan(), as_executor(answer))
                self.answered += 1
            except ServingError:
                pass

        async def main() -> None:
            for _ in range(N_CALLS // self.n_calls):
                await asyncio.gather(*(once() for _ in range(self.n_calls)))
                await asyncio.sleep(ROUND_S)

        endpoints.clock.run(main())
        assert endpoints.at_rest()
        return self.answered / N_CALLS


RATES = [(0.5, 0.0), (0.0, 0.5), (0.3, 0.3)]


@pytest.mark.parametrize("n_calls", [1, 40])
@pytest.mark.parametrize("fault_rates", RATES, ids=str)
def test_with_equal_independent_faults_more_models_answer_no_fewer_calls(
    n_calls: int, fault_rates: tuple[float, float]
) -> None:
    crowds = [Crowd(names, n_calls, fault_rates) for names in FLEETS]
    shares = [crowd.run() for crowd in crowds]
    assert all(more > fewer - NOISE for fewer, more in pairwise(shares)), shares
    assert shares[-1] > shares[0] - NOISE
    # Three retries, or a fifth of the calls in flight.
    assert max(crowd.most_retries for crowd in crowds) <= max(3, n_calls // 5)
