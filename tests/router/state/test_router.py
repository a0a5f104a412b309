"""Routers that share a state: sessions, feedback, limits, and a server that fails in every way."""

import logging
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from router import FakeExecutor, InputError, ModelProfile, RateLimit, Router, Serving, SpendCap
from router.errors import BudgetExceededError
from router.state.settings import RedisState
from tests.router.fakes import model
from tests.router.state.server import RedisServer

SECRET = "a secret prompt that must not leak"
STATE = RedisState(sync_s=10.0, timeout_s=0.5)


def make_profiles() -> list[ModelProfile]:
    large = model("large", 0.9, input_usd_per_mtok=10.0, output_usd_per_mtok=50.0)
    return [large, model("small", 0.6, input_usd_per_mtok=0.1, output_usd_per_mtok=0.4)]


@contextmanager
def routers(n: int, state: RedisState = STATE, **keywords: Any) -> Iterator[list[Router]]:
    serving = {name: keywords.pop(name) for name in ("limits", "spend") if name in keywords}
    with ExitStack() as stack:
        yield [
            stack.enter_context(
                Router(
                    make_profiles(),
                    serving=Serving(executor=FakeExecutor({}), state=state, **serving),
                    **keywords,
                )
            )
            for _ in range(n)
        ]


def exchange(*several: Router) -> None:
    for router in [*several, *several]:
        assert router.fleet.state is not None
        assert router.fleet.state.exchange()


@pytest.mark.parametrize("strategy", ["sticky>round-robin", "round-robin>sticky>round-robin"])
def test_every_router_finds_a_session(server: RedisServer, strategy: str) -> None:
    with routers(2, strategy=strategy, prefer="balanced") as (first, second):
        model = first.route(SECRET, key="s").model
        exchange(first)
        # The turns of the second router would give the other model to every second session.
        for turn in range(3):
            assert second.route(SECRET, key="s").model == model
            second.route(SECRET, key=f"other {turn}")
        stored = b"".join(key + server.client.get(key) for key in server.client.keys("*session*"))  # type: ignore[operator, union-attr]
        assert stored
        assert b"secret" not in stored


def test_a_session_that_another_version_wrote_is_a_new_one(server: RedisServer) -> None:
    with routers(2, strategy="sticky") as (first, second):
        first.route(SECRET, key="s")
        exchange(first)
        for key in server.client.keys("*session*"):  # type: ignore[union-attr]
            server.client.set(key, b"\xc1 something else")
        assert second.route(SECRET, key="s").model


def test_feedback_to_one_router_teaches_all(server: RedisServer) -> None:
    with routers(2, learn=True) as (first, second):
        decision = first.route(SECRET)
        before = second.route(SECRET).scores["large"].quality
        for _ in range(20):
            first.feedback(decision, 0.0, model="large")
        exchange(first, second)
        after = first.route(SECRET).scores["large"].quality
        assert after < before
        assert second.route(SECRET).scores["large"].quality == pytest.approx(after)


def test_feedback_merges_exactly_and_fades_as_in_one_process(server: RedisServer) -> None:
    alone = Router(make_profiles(), learn=True)
    with routers(2, learn=True) as (first, second):
        decision = alone.route(SECRET)
        for turn in range(60):
            for router in (alone, (first, second)[turn % 2]):
                for _ in range(10):
                    router.feedback(decision, turn / 60, model="small")
            exchange(first, second)
        for router in (first, second):
            assert router.learner is not None
            assert alone.learner is not None
            shared, own = router.learner.export()["small"], alone.learner.export()["small"]
            # A batch fades at once, single reports one after the other, so the two differ a little.
            for task, evidence in own.items():
                assert shared[task].n == pytest.approx(evidence.n)
                assert shared[task].score == pytest.approx(evidence.score, rel=0.02)


def test_what_was_learned_survives_a_server_that_restarts_empty(server: RedisServer) -> None:
    with routers(2, learn=True) as (first, second):
        for _ in range(20):
            first.feedback(first.route(SECRET), 0.0, model="large")
        exchange(first, second)
        learned = first.route(SECRET).scores["large"].quality
        server.stop()
        server.start()
        exchange(first, second)
        for router in (first, second):
            assert router.route(SECRET).scores["large"].quality == pytest.approx(learned)


def test_limits_hold_over_all_routers(server: RedisServer) -> None:
    limits = {name: RateLimit(requests_per_minute=3) for name in ("large", "small")}
    with routers(2, limits=limits) as (first, second):
        models = [router.complete("hello").model for _ in range(3) for router in (first, second)]
        assert sorted(models) == ["large"] * 3 + ["small"] * 3
        with pytest.raises(BudgetExceededError):
            first.complete("hello")


def test_a_budget_holds_over_all_routers(server: RedisServer) -> None:
    cost = Router(make_profiles()).route("hello").scores["small"].cost_usd
    assert cost
    with routers(2, spend=SpendCap(usd=2.5 * cost), allowed={"small"}) as (first, second):
        first.complete("hello")
        second.complete("hello")
        with pytest.raises(BudgetExceededError):
            first.complete("hello")


def pause(server: RedisServer) -> None:
    server.signal(19)


def stop(server: RedisServer) -> None:
    server.stop()


def make_read_only(server: RedisServer) -> None:
    server.client.replicaof("127.0.0.1", 1)


def change_password(server: RedisServer) -> None:
    server.client.config_set("requirepass", "another")
    server.client.client_kill_filter(_type="normal", skipme=True)


def fill(server: RedisServer) -> None:
    server.client.config_set("maxmemory", "1")


FAULTS = [pause, stop, make_read_only, change_password, fill]


@pytest.mark.parametrize("fault", FAULTS)
def test_no_request_fails_because_of_the_server(server: RedisServer, fault: Any, caplog: pytest.LogCaptureFixture) -> None:
    limits = {"small": RateLimit(requests_per_minute=1000)}
    keywords: dict[str, Any] = {"strategy": "sticky", "learn": True, "limits": limits, "spend": SpendCap(usd=1e6)}
    with routers(1, RedisState(sync_s=0.05, timeout_s=0.05), **keywords) as (router,), caplog.at_level(logging.INFO):
        state = router.fleet.state
        assert state is not None
        router.complete(SECRET, key="s")
        fault(server)
        for turn in range(30):
            answer = router.complete(f"{SECRET} {turn}", key=f"s{turn}")
            router.feedback(answer, 1.0)
            time.sleep(0.005)
        assert state.problem is not None
        warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
        assert len(warnings) == 1
        assert "shared state is gone" in warnings[0]
        assert str(server.port) not in caplog.text
        assert "secret" not in caplog.text
        # It comes back by itself.
        server.signal(18) if fault is pause else None
        if fault is stop:
            server.start()
        elif fault is not pause:
            server.stop()
            server.start()
        wait_until(lambda: state.problem is None)
        assert router.complete(SECRET).text


def wait_until(holds: Any) -> None:
    for _ in range(500):
        if holds():
            return
        time.sleep(0.01)
    pytest.fail("it does not happen within 5 s")


def test_a_router_starts_without_the_server_and_finds_it_later(server: RedisServer) -> None:
    server.stop()
    with routers(1, RedisState(sync_s=0.05)) as (router,):
        assert router.complete(SECRET).text
        assert router.fleet.state is not None
        assert router.fleet.state.problem == "ConnectionError"
        server.start()
        wait_until(lambda: router.fleet.state.problem is None)  # type: ignore[union-attr]


def test_a_router_that_is_dropped_stops_exchanging(server: RedisServer) -> None:
    import gc
    import threading

    router = Router(make_profiles(), serving=Serving(state=RedisState(sync_s=0.05)))
    threads = [thread for thread in threading.enumerate() if thread.name == "llm-router-state"]
    assert threads
    assert router.fleet.state is not None
    router.fleet.state._link.client.connection_pool.disconnect()
    del router
    gc.collect()
    wait_until(lambda: not threads[-1].is_alive())
    gc.collect()


def test_the_url_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATE_URL", "")
    with pytest.raises(InputError, match="STATE_URL must hold the URL of a Redis server"):
        Router(make_profiles(), serving=Serving(state=RedisState(url_env="STATE_URL")))
    monkeypatch.setenv("STATE_URL", "http://user:word@host")
    with pytest.raises(InputError, match="redis://, rediss:// or unix://") as refused:
        Router(make_profiles(), serving=Serving(state=RedisState(url_env="STATE_URL")))
    assert "word" not in str(refused.value)
    with pytest.raises(InputError, match="must be the name of an environment variable") as refused:
        RedisState(url_env="redis://:word@host")
    assert "word" not in str(refused.value)


@pytest.mark.parametrize("wrong", [{"prefix": "a b"}, {"prefix": ""}, {"timeout_s": 0}, {"sync_s": 11}, {"sync_s": True}])
def test_settings_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="of the state must"):
        RedisState(**wrong)
