import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from router.calls import AttemptRecord, Usage
from router.core import Router
from router.errors import InputError
from router.types import ModelProfile
from tests.training.measure.model_server import ModelServer
from training.measure.answers import Answers, NoAnswerError, StoppedError, price_most, sum_spent
from training.measure.budget import Budget, OutOfBudgetError
from training.measure.router import open_router
from training.measure.store import Answer, AnswerStore

ANSWER = Answer(text="hi", finish_reason="stop", cost_usd=0.25, input_tokens=1, output_tokens=2, latency_s=0.5)
HELLO = [{"role": "user", "content": "hello"}]


@pytest.fixture
def router(config: Path) -> Iterator[Router]:
    with open_router(config)[0] as opened:
        yield opened


@pytest.fixture
def store(tmp_path: Path) -> Iterator[AnswerStore]:
    with AnswerStore(tmp_path / "answers.sqlite") as opened:
        yield opened


def test_a_call_without_an_end_counts_with_the_most_that_it_can_cost(tmp_path: Path) -> None:
    path = tmp_path / "answers.sqlite"
    with AnswerStore(path) as store:
        store.end(store.begin("a", "m", 1.0), 0.25, ANSWER)
        store.end(store.begin("b", "m", 1.0), 0.125, None)
        store.begin("c", "m", 2.0)
    with AnswerStore(path) as store:
        assert store.sum_usd() == 0.25 + 0.125 + 2.0
        assert store.find("a") == ANSWER
        assert store.find("b") is store.find("c") is None


@pytest.mark.skipif(os.name != "posix", reason="only POSIX systems have these modes")
def test_only_the_user_reads_the_answers_and_only_one_run_writes_them(tmp_path: Path) -> None:
    path = tmp_path / "answers.sqlite"
    path.touch(0o644)
    with AnswerStore(path):
        assert path.stat().st_mode & 0o777 == 0o600
        with pytest.raises(InputError, match="wait for the other run"):
            AnswerStore(path)
    with AnswerStore(path):
        pass
    other = tmp_path / "notes.txt"
    other.write_text("these are my notes, and not a database" * 100)
    with pytest.raises(InputError, match="cannot be used for answers"):
        AnswerStore(other)


def test_reservations_and_spending_never_exceed_the_cap_together() -> None:
    budget = Budget(1.0, spent_usd=0.25)
    budget.reserve(0.5)
    with pytest.raises(OutOfBudgetError, match=r"0.75 of 1 USD are left"):
        budget.reserve(0.8)
    budget.settle(0.5, 0.125)
    budget.reserve(0.625)
    budget.settle(0.625, 0.625)
    with pytest.raises(OutOfBudgetError):
        budget.reserve(0.01)
    assert budget.spent_usd == 1.0


def test_a_call_waits_for_money_that_another_call_may_leave() -> None:
    budget = Budget(1.0)
    budget.reserve(0.75)
    got = threading.Event()

    def reserve() -> None:
        budget.reserve(0.5)
        got.set()

    thread = threading.Thread(target=reserve)
    thread.start()
    assert not got.wait(0.05)
    budget.settle(0.75, 0.25)
    thread.join(30)
    assert got.is_set()


def test_many_threads_keep_the_cap_at_every_moment() -> None:
    budget, lock, most = Budget(10.0), threading.Lock(), [0.0]
    reserved = [0.0]

    def work() -> None:
        for _ in range(40):
            try:
                budget.reserve(0.5)
            except OutOfBudgetError:
                return
            with lock:
                reserved[0] += 0.5
                most[0] = max(most[0], reserved[0] + budget.spent_usd)
                reserved[0] -= 0.5
                budget.settle(0.5, 0.25)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most[0] <= 10.0
    # The last half dollar cannot be reserved once more than 9.5 are spent.
    assert budget.spent_usd == 9.75


def test_the_most_that_a_call_costs_counts_bytes_and_the_longest_answer() -> None:
    profile = ModelProfile(name="m", input_usd_per_mtok=2.0, output_usd_per_mtok=10.0)
    # 32 of the frame, 16 of the message, 7 bytes of "¿qué?".
    usd = price_most(profile, [{"role": "user", "content": "¿qué?"}], {"max_tokens": 100})
    assert usd == pytest.approx(((32 + 16 + 7) * 2 + 100 * 10) / 1e6)
    writing = ModelProfile(name="m", input_usd_per_mtok=2.0, cache_write_usd_per_mtok=2.5, output_usd_per_mtok=0.0)
    assert price_most(writing, [], {"max_completion_tokens": 100}) == pytest.approx(32 * 2.5 / 1e6)
    for unknown in (ModelProfile(name="m"), ModelProfile(name="m", input_usd_per_mtok=1.0)):
        with pytest.raises(InputError, match="m has no price"):
            price_most(unknown, [], {"max_tokens": 100})
    with pytest.raises(InputError, match="no whole number as max_tokens"):
        price_most(profile, [], {"max_tokens": "100"})


@pytest.mark.parametrize(
    ("attempt", "usd"),
    [
        ({"failure": None, "cost_usd": 0.25}, 0.25),
        ({"failure": None, "cost_usd": None}, 1.0),
        ({"failure": "transient", "error": "APITimeoutError"}, 1.0),
        ({"failure": "cancelled", "error": "nothing came within 3 s"}, 1.0),
        ({"failure": "transient", "error": "InternalServerError 503"}, 0.0),
        ({"failure": "rate_limit", "error": "RateLimitError 429 (slow_down)"}, 0.0),
        ({"failure": "auth", "error": "AuthenticationError 401"}, 0.0),
        ({"failure": "request", "error": "BadRequestError 400"}, 0.0),
    ],
)
def test_an_attempt_that_may_have_been_paid_counts_with_the_most(attempt: dict[str, Any], usd: float) -> None:
    values = {"model": "m", "endpoint": "e", "seconds": 1.0, "first_token_s": None, "usage": Usage(), "backoff_s": 0.0}
    record = AttemptRecord(**{**values, "cost_usd": None, "error": "", **attempt})
    assert sum_spent([record, record], 1.0) == 2 * usd


def test_a_question_is_paid_once(router: Router, store: AnswerStore, server: ModelServer) -> None:
    answers = Answers(router, store, Budget(1.0), max_tokens=100)
    found: list[Answer] = []
    threads = [threading.Thread(target=lambda: found.append(answers.ask("gpt-4.1-mini", HELLO))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(set(found)) == 1
    assert server.asked == [("gpt-4.1-mini", "hello")]
    # Other parameters and other models are other questions.
    Answers(router, store, Budget(1.0), max_tokens=101).ask("gpt-4.1-mini", HELLO)
    Answers(router, store, Budget(1.0), max_tokens=100, temperature=0.0).ask("gpt-4.1-mini", HELLO)
    answers.ask("gpt-5.5", HELLO)
    assert [body.get("max_tokens") for body in server.bodies] == [100, 101, 100, 100]
    assert [body.get("temperature") for body in server.bodies] == [None, None, 0.0, None]
    assert server.asked[-1] == ("gpt-5.5", "hello")


def test_no_other_model_answers_for_one_that_fails_and_after_five_failures_it_is_left_alone(
    router: Router, store: AnswerStore, server: ModelServer
) -> None:
    server.answer = lambda *_: 401
    budget = Budget(1.0)
    answers = Answers(router, store, budget)
    for number in range(7):
        with pytest.raises(NoAnswerError, match=r"gpt-5.5: ") as raised:
            answers.ask("gpt-5.5", [{"role": "user", "content": f"a secret {number}"}])
        assert "secret" not in str(raised.value)
    assert {model for model, _ in server.asked} == {"gpt-5.5"}
    assert len(server.asked) <= 5
    assert "not asked any more" in str(raised.value)
    # A refusal is free.
    assert budget.spent_usd == store.sum_usd() == 0.0


def test_an_answer_without_usage_counts_with_the_most_that_it_can_cost(
    router: Router, store: AnswerStore, server: ModelServer
) -> None:
    server.usage = None
    budget = Budget(1.0)
    answers = Answers(router, store, budget, max_tokens=100)
    assert answers.ask("gpt-4.1-mini", HELLO).cost_usd is None
    (profile,) = (profile for profile in router.profiles if profile.name == "gpt-4.1-mini")
    assert budget.spent_usd == pytest.approx(price_most(profile, HELLO, {"max_tokens": 100}))
    assert store.sum_usd() == budget.spent_usd


def test_after_a_stop_only_known_answers_are_given(router: Router, store: AnswerStore) -> None:
    budget = Budget(1.0)
    answers = Answers(router, store, budget)
    answers.ask("gpt-5.5", HELLO)
    spent_usd = budget.spent_usd
    answers.stop()
    assert answers.ask("gpt-5.5", HELLO).text == "hello"
    with pytest.raises(StoppedError):
        answers.ask("gpt-4.1-mini", HELLO)
    assert budget.spent_usd == spent_usd == store.sum_usd()


def test_a_limit_of_the_configuration_is_waited_for(server: ModelServer, config: Path, store: AnswerStore) -> None:
    config.write_text(config.read_text() + "[spend]\nusd = 0.000001\nwindow_s = 1000\n")
    with open_router(config)[0] as router:
        answers = Answers(router, store, Budget(1.0), pauses_s=(0.01, 0.01))
        with pytest.raises(NoAnswerError, match="USD per 1000 s are left"):
            answers.ask("gpt-5.5", HELLO)
    assert server.asked == []
    assert store.sum_usd() == 0.0


def test_a_variant_is_asked_with_its_parameters(server: ModelServer, config: Path, store: AnswerStore) -> None:
    text = config.read_text() + '[models."gpt-5.5@high"]\nmodel = "gpt-5.5"\n'
    config.write_text(text + 'request = {reasoning_effort = "high", max_completion_tokens = 9}\n')
    with open_router(config)[0] as router:
        Answers(router, store, Budget(1.0)).ask("gpt-5.5@high", HELLO)
    (body,) = server.bodies
    assert (body["model"], body["reasoning_effort"], body["max_completion_tokens"]) == ("gpt-5.5", "high", 9)
    assert "max_tokens" not in body
    assert json.dumps(body["messages"]) == json.dumps(HELLO)
