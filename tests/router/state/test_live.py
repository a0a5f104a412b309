"""Several processes behave as one: laws of the live state that holds for one process too, with the calls spread over two."""

import time
from collections.abc import Callable, Iterator

import pytest

from router.health.live import LiveState
from router.health.policy import HealthPolicy
from router.state.settings import RedisState
from router.state.shared import SharedState
from tests.router.health.fakes import FakeClock, begin, fail, seeded
from tests.router.state.server import RedisServer


class Replicas:
    """Live states of the same endpoints that share what they know. Each has the time of a clock of its own."""

    def __init__(self, settings: RedisState, url: str, n: int, *names: str) -> None:
        self.clocks = [FakeClock() for _ in range(n)]
        for number, clock in enumerate(self.clocks):
            clock.advance(1000.0 * number)
        policy, rng = HealthPolicy(jitter_share=0), seeded()
        self.lives = [LiveState(dict.fromkeys(names, 1.0), policy=policy, clock=clock, rng=rng) for clock in self.clocks]
        self.states = [SharedState(settings, url) for _ in range(n)]
        for state, live in zip(self.states, self.lives, strict=True):
            state.share_live(live)

    def exchange(self) -> None:
        # Twice, so that the first one hears what the last one told.
        for state in [*self.states, *self.states]:
            assert state.exchange()

    def advance(self, seconds: float) -> None:
        for clock in self.clocks:
            clock.advance(seconds)

    def states_of(self, name: str) -> list[str]:
        return [live.snapshot()[name].state for live in self.lives]

    def close(self) -> None:
        for state in self.states:
            state.close()


@pytest.fixture
def two(server: RedisServer, settings: RedisState) -> Iterator[Replicas]:
    replicas = Replicas(settings, server.url, 2, "a", "b")
    yield replicas
    replicas.close()


def test_failures_in_a_row_count_over_all_replicas_and_the_breaker_opens_in_all(two: Replicas) -> None:
    first, second = two.lives
    fail(first, "a", times=2)
    two.exchange()
    fail(second, "a", times=2)
    two.exchange()
    assert two.states_of("a") == ["closed", "closed"]
    fail(first, "a")
    two.exchange()
    assert two.states_of("a") == ["open", "open"]
    assert [live.eligible(["a", "b"]).names for live in two.lives] == [("b",), ("b",)]
    assert two.states_of("b") == ["closed", "closed"]


def test_a_success_in_another_replica_ends_a_row(two: Replicas) -> None:
    first, second = two.lives
    fail(first, "a", times=4)
    two.exchange()
    succeed(second, "a")
    two.exchange()
    fail(first, "a", times=4)
    two.exchange()
    assert two.states_of("a") == ["closed", "closed"]
    fail(second, "a")
    two.exchange()
    assert two.states_of("a") == ["open", "open"]


def test_half_failures_in_the_window_count_over_all_replicas(two: Replicas) -> None:
    first, second = two.lives
    for _ in range(2):
        succeed(first, "a", "a")
        fail(first, "a")
        two.exchange()
        fail(second, "a", times=2)
        two.exchange()
    assert two.states_of("a") == ["open", "open"]


def test_one_replica_probes_for_all_and_its_success_closes_the_breaker_in_all(two: Replicas) -> None:
    first, second = two.lives
    fail(first, "a", times=5)
    two.exchange()
    two.advance(31)
    probe = first.begin("a")
    assert probe is not None
    assert second.begin("a") is None
    assert second.eligible(["a", "b"]).names == ("b",)
    probe.succeed()
    two.exchange()
    assert two.states_of("a") == ["slow-start", "slow-start"]
    assert second.begin("a") is not None


def test_a_probe_that_ended_without_a_result_can_be_sent_by_another_replica(two: Replicas) -> None:
    first, second = two.lives
    fail(first, "a", times=5)
    two.exchange()
    two.advance(31)
    with first.begin("a") as _:  # type: ignore[union-attr] # the probe is due
        pass
    two.exchange()
    assert second.begin("a") is not None
    assert first.begin("a") is None


def test_a_failed_probe_opens_the_breaker_again_in_all_for_twice_as_long(two: Replicas) -> None:
    first, second = two.lives
    fail(first, "a", times=5)
    two.exchange()
    two.advance(31)
    fail(second, "a")
    two.exchange()
    assert two.states_of("a") == ["open", "open"]
    for live, clock in zip(two.lives, two.clocks, strict=True):
        assert live.snapshot()["a"].retry_at == pytest.approx(clock() + 60, abs=0.5)


def test_two_replicas_that_trip_at_the_same_moment_open_the_breaker_once(two: Replicas) -> None:
    for live in two.lives:
        fail(live, "a", times=5)
    two.exchange()
    for live, clock in zip(two.lives, two.clocks, strict=True):
        assert live.snapshot()["a"].retry_at == pytest.approx(clock() + 30, abs=0.5)


def test_a_rate_limit_and_a_refused_key_hold_in_all(two: Replicas) -> None:
    first, second = two.lives
    fail(first, "a", "rate_limit", retry_after_s=7)
    fail(second, "b", "auth")
    two.exchange()
    pairs = list(zip(two.lives, two.clocks, strict=True))
    ends = [[(live.snapshot()[name].retry_at or 0) - clock() for name in "ab"] for live, clock in pairs]
    assert ends == [pytest.approx([7, 300], abs=0.5)] * 2


def test_counts_and_requests_in_flight_are_those_of_all(two: Replicas) -> None:
    first, second = two.lives
    succeed(first, "a", "a")
    succeed(second, "a")
    fail(second, "a", "cancelled")
    first.begin("a")
    second.begin("a")
    second.begin("a")
    two.exchange()
    for live in two.lives:
        health = live.snapshot()["a"]
        assert (health.completed, health.failures["cancelled"], health.inflight) == (3, 1, 3)
        assert live.inflight("a") == 3
    assert [live.snapshot(own=True)["a"].completed for live in two.lives] == [2, 1]
    assert first.load("a") == pytest.approx(second.load("a"))
    assert first.load("a") == pytest.approx(4 * first.load("b"))


def test_latencies_merge(two: Replicas) -> None:
    for live, clock, seconds in zip(two.lives, two.clocks, (1.0, 3.0), strict=True):
        attempt = live.begin("a")
        assert attempt is not None
        clock.advance(seconds)
        attempt.succeed(output_tokens=300)
    # Latencies come with the first exchange, and then with few ones.
    for _ in range(20):
        two.exchange()
    for live in two.lives:
        health = live.snapshot()["a"]
        assert health.latencies.count == 2
        assert (health.p50_s, health.predicted_s) == (pytest.approx(1.0, rel=0.01), pytest.approx(3.0, rel=0.01))


def test_a_learned_context_window_is_known_to_all(two: Replicas) -> None:
    attempt = two.lives[0].begin("a")
    assert attempt is not None
    attempt.fail("request", context_limit=8192)
    two.exchange()
    assert [live.context_limits() for live in two.lives] == [{"a": 8192}] * 2


def test_a_failure_calls_the_others_without_waiting_for_the_next_exchange(two: Replicas) -> None:
    first, second = two.lives
    fail(first, "a", times=5)
    # The next exchange by itself would come after ten seconds.
    wait_until(lambda: two.states_of("a") == ["open", "open"])
    assert second.load("a") >= HealthPolicy().penalty_min_s * 0.9


def test_a_new_replica_knows_what_the_others_know(server: RedisServer, settings: RedisState, two: Replicas) -> None:
    fail(two.lives[0], "a", times=5)
    two.exchange()
    later = Replicas(settings, server.url, 1, "a", "b")
    assert later.states_of("a") == ["open"]
    two.exchange()
    assert {state.replicas for state in [*two.states, *later.states]} == {3}
    later.close()
    two.exchange()
    assert two.states[0].replicas == 2


def test_requests_of_a_replica_that_died_end_with_its_lease(server: RedisServer, settings: RedisState) -> None:
    replicas = Replicas(settings, server.url, 2, "a", "b")
    replicas.lives[0].begin("a")
    begin(replicas.lives[0], "b").fail("cancelled")
    replicas.exchange()
    assert replicas.lives[1].inflight("a") == 1
    # The lease ends: the same as ten seconds without an exchange.
    replicas.states[0].close()
    replicas.states[1].exchange()
    assert replicas.lives[1].inflight("a") == 0
    replicas.close()


def test_a_server_that_restarts_empty_is_told_everything_again(server: RedisServer, two: Replicas) -> None:
    first, second = two.lives
    fail(first, "a", times=5)
    succeed(second, "b", "b")
    first.begin("b")
    two.exchange()
    server.stop()
    assert [state.exchange() for state in two.states] == [False, False]
    fail(second, "b")
    server.start()
    two.exchange()
    later = SharedState(RedisState(sync_s=10.0, timeout_s=0.5), server.url)
    fresh = LiveState({"a": 1.0, "b": 1.0}, policy=HealthPolicy(jitter_share=0))
    later.share_live(fresh)
    health = fresh.snapshot()
    assert (health["a"].state, health["b"].completed, health["b"].failures["transient"]) == ("open", 2, 1)
    assert health["b"].inflight == 1
    assert two.states_of("a") == ["open", "open"]
    later.close()


def test_what_happens_while_the_server_is_gone_is_told_later(server: RedisServer, two: Replicas) -> None:
    first, second = two.lives
    server.stop()
    succeed(first, "a")
    fail(first, "b", times=5)
    assert not two.states[0].exchange()
    assert two.states_of("b") == ["open", "closed"]
    server.start()
    two.exchange()
    assert two.states_of("b") == ["open", "open"]
    assert second.snapshot()["a"].completed == 1


def test_any_sequence_of_calls_opens_the_breaker_as_in_one_process(server: RedisServer, settings: RedisState) -> None:
    rng = seeded(3)
    for case in range(15):
        names = [f"case{case}", "other"]
        clock, replicas = FakeClock(), Replicas(settings, server.url, 3, *names)
        alone = LiveState(dict.fromkeys(names, 1.0), policy=HealthPolicy(jitter_share=0), clock=clock)
        for _ in range(25):
            live = rng.choice(replicas.lives)
            if rng.random() < 0.6:
                fail_if_open_to(live, names[0])
                fail_if_open_to(alone, names[0])
            else:
                succeed(live, names[0])
                succeed(alone, names[0])
            replicas.exchange()
            assert replicas.states_of(names[0]) == [alone.snapshot()[names[0]].state] * 3
        replicas.close()


def wait_until(holds: Callable[[], bool]) -> None:
    for _ in range(300):
        if holds():
            return
        time.sleep(0.01)
    pytest.fail("it does not happen within 3 s")


def succeed(live: LiveState, *names: str) -> None:
    for name in names:
        attempt = live.begin(name)
        if attempt is not None:
            attempt.succeed(output_tokens=300)


def fail_if_open_to(live: LiveState, name: str) -> None:
    attempt = live.begin(name)
    if attempt is not None:
        attempt.fail("transient")
