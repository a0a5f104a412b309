"""Cascades as callers see them, with an executor that answers from a script."""

import asyncio
from collections.abc import Callable

import pytest

from router import (
    Agreement,
    Cascade,
    Completion,
    FakeExecutor,
    InputError,
    Judge,
    Rates,
    Router,
    Serving,
    SpendCap,
    TokenProbability,
)
from router.calls import CallRequest, Reply, Usage
from router.cascade import Verifier
from router.errors import AllAttemptsFailedError, DeadlineExceededError, StreamInterruptedError
from router.execution.policy import CallPolicy
from tests.router.fakes import model
from tests.router.health.fakes import FakeClock
from tests.router.serving.fakes import DOWN

# 0.0011 USD, 0.055 USD and 0.0055 USD for an answer with USAGE.
CHEAP = model("cheap", 0.6, input_usd_per_mtok=1.0, output_usd_per_mtok=1.0)
STRONG = model("strong", 0.9, input_usd_per_mtok=50.0, output_usd_per_mtok=50.0)
OTHER = model("other", 0.5, input_usd_per_mtok=5.0, output_usd_per_mtok=5.0)
USAGE = Usage(input_tokens=1000, output_tokens=100)

Ask = Callable[..., Completion]


def said(text: str, *logprobs: float) -> Reply:
    return Reply(text=text, finish_reason="stop", usage=USAGE, logprobs=logprobs)


def is_good(reply: Reply) -> bool:
    return "good" in reply.text


def make(
    script: dict[str, list[object]], verifier: Verifier = is_good, *, accuracy: float = 0.95, **options: object
) -> Router:
    serving = {name: options.pop(name) for name in ("spend", "calls", "fallbacks") if name in options}
    executor = options.pop("executor", None) or FakeExecutor(script)  # type: ignore[arg-type]
    cascade = Cascade(verifier=verifier, rates=Rates.of_accuracy(accuracy), overlap=0.0)
    return Router(
        [CHEAP, STRONG, OTHER],
        strategy="cascade",
        serving=Serving(executor=executor, cascade=cascade, **serving),  # type: ignore[arg-type]
        **{"usd_per_point": 0.002, **options},  # type: ignore[arg-type]
    )


def ask_sync(router: Router, **options: object) -> Completion:
    return router.complete("hello", **options)  # type: ignore[call-overload,no-any-return]


def ask_async(router: Router, **options: object) -> Completion:
    return asyncio.run(router.acomplete("hello", **options))  # type: ignore[call-overload,no-any-return]


def read_sync(router: Router, **options: object) -> Completion:
    stream = router.complete("hello", stream=True, **options)  # type: ignore[call-overload]
    text = "".join(chunk.text for chunk in stream)
    completion: Completion = stream.completion
    assert completion.text == text  # what the caller saw is what was answered
    return completion


def read_async(router: Router, **options: object) -> Completion:
    async def read() -> Completion:
        stream = await router.acomplete("hello", stream=True, **options)  # type: ignore[call-overload]
        text = "".join([chunk.text async for chunk in stream])
        completion: Completion = stream.completion
        assert completion.text == text
        return completion

    return asyncio.run(read())


every_way = pytest.mark.parametrize("ask", [ask_sync, ask_async, read_sync, read_async])


def steps(completion: Completion) -> list[tuple[str, str | None, str]]:
    return [(one.model, one.failure, one.purpose) for one in completion.attempts]


@every_way
def test_an_answer_that_is_not_accepted_leads_to_the_next_model_and_both_are_paid(ask: Ask) -> None:
    router = make({"cheap": [said("bad")], "strong": [said("very good")]})
    completion = ask(router)
    assert (completion.text, completion.model) == ("very good", "strong")
    assert steps(completion) == [("cheap", "rejected", "answer"), ("strong", None, "answer")]
    assert completion.reasons == ("the answer of cheap is not accepted: the verifier returned False",)
    assert completion.cost_usd == pytest.approx(0.055)
    assert completion.total_cost_usd == pytest.approx(0.0011 + 0.055)
    assert [router.fleet.live.inflight(name) for name in ("cheap", "strong")] == [0, 0]


@every_way
def test_an_accepted_answer_is_the_only_one(ask: Ask) -> None:
    router = make({"cheap": [said("good enough")]})
    assert router.route("hello").cascade is not None
    completion = ask(router)
    assert (completion.text, steps(completion)) == ("good enough", [("cheap", None, "answer")])


@every_way
def test_a_fallback_inside_a_step_is_asked_and_the_strongest_is_not_checked(ask: Ask) -> None:
    completion = ask(make({"cheap": [DOWN], "strong": [said("bad")]}))
    assert (completion.text, steps(completion)) == ("bad", [("cheap", "transient", "answer"), ("strong", None, "answer")])
    assert completion.reasons == ()


@every_way
def test_if_the_next_model_fails_the_first_answer_is_returned_and_that_is_told(ask: Ask) -> None:
    router = make({"cheap": [said("bad")], "strong": [DOWN], "other": [DOWN]}, calls=CallPolicy(backoff_s=1e-6))
    completion = ask(router)
    assert (completion.text, completion.model) == ("bad", "cheap")
    assert completion.reasons[-1].startswith("the answer of cheap is returned all the same: strong gave no answer (AllAtt")
    assert completion.total_cost_usd == pytest.approx(0.0011)


@pytest.mark.parametrize("ask", [read_sync, read_async])
def test_a_stream_that_breaks_after_its_first_chunk_is_not_followed_by_the_answer_before(ask: Ask) -> None:
    router = make({"cheap": [said("bad")], "strong": [["go", DOWN]]})
    with pytest.raises(StreamInterruptedError) as broken:
        ask(router)
    assert broken.value.partial_text == "go"
    assert [(one.model, one.failure) for one in broken.value.attempts] == [("cheap", "rejected"), ("strong", "transient")]


@pytest.mark.parametrize("ask", [read_sync, read_async])
def test_a_held_stream_that_breaks_is_a_failed_attempt(ask: Ask) -> None:
    completion = ask(make({"cheap": [["go", DOWN]], "strong": [said("good")]}))
    assert (completion.text, steps(completion)) == ("good", [("cheap", "transient", "answer"), ("strong", None, "answer")])


@every_way
def test_if_every_model_fails_the_call_fails(ask: Ask) -> None:
    with pytest.raises(AllAttemptsFailedError):
        ask(make({name: [DOWN] for name in ("cheap", "strong", "other")}, calls=CallPolicy(backoff_s=1e-6)))


@pytest.mark.parametrize("ask", [ask_sync, read_sync])
def test_without_time_for_the_next_model_the_first_answer_is_returned(ask: Ask) -> None:
    clock = FakeClock()

    def late(reply: Reply) -> bool:
        clock.advance(9.9)
        return False

    profiles = [CHEAP, model("strong", 0.9, input_usd_per_mtok=50.0, output_usd_per_mtok=50.0, latency_s=3.0)]
    cascade = Cascade(verifier=late, rates=Rates.of_accuracy(1.0))
    executor = FakeExecutor({"cheap": [said("bad")]})
    router = Router(profiles, strategy="cascade", serving=Serving(executor=executor, cascade=cascade), clock=clock)
    completion = ask(router, timeout=10, usd_per_point=0.002)
    assert (completion.text, len(executor.requests)) == ("bad", 1)
    assert completion.reasons[-1] == "the answer of cheap is returned all the same: 0.1 s are left and strong needs 3 s"


def test_before_the_first_answer_the_deadline_ends_a_cascade_like_any_call() -> None:
    clock = FakeClock()

    def slow(request: CallRequest) -> str:
        clock.advance(20)
        raise DOWN

    with pytest.raises(DeadlineExceededError):
        ask_sync(make({}, executor=slow, clock=clock), timeout=10)


@every_way
def test_a_judge_is_a_further_call_whose_cost_counts(ask: Ask) -> None:
    router = make({"cheap": [said("fine")], "other": [said("The sum is right.\nSCORE: 8.5")]}, Judge(model="other"))
    completion = ask(router)
    assert (completion.text, completion.model) == ("fine", "cheap")
    assert steps(completion) == [("cheap", None, "answer"), ("other", None, "check")]
    assert completion.reasons == ("the answer of cheap is accepted: other gave 8.5 of 10 points, 7 are needed",)
    assert completion.total_cost_usd == pytest.approx(0.0011 + 0.0055)


@pytest.mark.parametrize("judgement", ["", "yes", "SCORE: 70", "SCORE: ten", "It is right, I give it all points."])
def test_a_judgement_that_cannot_be_read_does_not_accept(judgement: str) -> None:
    router = make({"cheap": [said("fine")], "strong": [said("better")], "other": [said(judgement)]}, Judge(model="other"))
    completion = ask_sync(router)
    assert completion.text == "better"
    reason = "the answer of cheap is not accepted: the judgement of other names no score from 0 to 10"
    # A server that sends no text at all gives no answer.
    assert completion.reasons[0] == (reason if judgement else completion.reasons[0])


@pytest.mark.parametrize(
    ("judgement", "accepted"), [("7", True), ("6.9 / 10", False), ("score = 9", True), ("**Score:** 3", False)]
)
def test_judgements_in_several_forms(judgement: str, accepted: bool) -> None:
    router = make({"cheap": [said("fine")], "strong": [said("better")], "other": [said(judgement)]}, Judge(model="other"))
    assert (ask_sync(router).text == "fine") == accepted


def test_a_judge_that_fails_does_not_accept() -> None:
    script: dict[str, list[object]] = {"cheap": [said("fine")], "strong": [said("better")], "other": [DOWN]}
    completion = ask_sync(make(script, Judge(model="other"), calls=CallPolicy(max_attempts=1)))
    assert (completion.text, completion.reasons) == (
        "better",
        ("the answer of cheap is not accepted: other gave no judgement",),
    )
    assert steps(completion)[1] == ("other", "transient", "check")


@every_way
def test_two_models_agree_or_not(ask: Ask) -> None:
    script: dict[str, list[object]] = {
        "cheap": [said("The answer is 4.")],
        "other": [said("2 + 2 = 4, so:\nAnswer: **4.0**"), said("Answer: 5")],
        "strong": [said("Answer: 6")],
    }
    router = make(script, Agreement(model="other"))
    completions = [ask(router) for _ in range(2)]
    assert [completion.model for completion in completions] == ["cheap", "strong"]
    assert steps(completions[1]) == [("cheap", "rejected", "answer"), ("other", None, "check"), ("strong", None, "answer")]
    assert completions[1].reasons == ("the answer of cheap is not accepted: cheap and other differ",)


@every_way
def test_token_probabilities_decide(ask: Ask) -> None:
    script: dict[str, list[object]] = {"cheap": [said("sure", -0.01, -0.1), said("not sure", -0.1, -0.9)]}
    router = make(script, TokenProbability(threshold=-0.2))
    assert ask(router).text == "sure"
    completion = ask(router)
    assert completion.reasons == (
        "the answer of cheap is not accepted: the mean of the log-probabilities is -0.5, the threshold -0.2",
    )
    requests = router.fleet.executor.requests  # type: ignore[attr-defined]
    assert completion.model == "strong"
    assert [request.options.get("logprobs") for request in requests] == [True, True, None]


def test_a_server_without_token_probabilities_is_told() -> None:
    completion = ask_sync(make({"cheap": [said("sure")]}, TokenProbability(threshold=-0.2)))
    assert completion.model == "strong"
    assert completion.reasons == ("the answer of cheap is not accepted: the server reported no token probabilities",)


def test_functions_return_a_score_and_may_be_asynchronous() -> None:
    async def rate(reply: Reply) -> float:
        await asyncio.sleep(0)
        return 0.5 if reply.text == "fine" else 0.4

    router = make({"cheap": [said("fine"), said("worse")], "strong": [said("better")]}, rate)
    assert [ask_async(router).text for _ in range(2)] == ["fine", "better"]
    with pytest.raises(InputError, match="the verifier is asynchronous, and complete"):
        ask_sync(router)


@every_way
def test_a_mistake_in_a_function_surfaces_and_leaves_nothing_in_flight(ask: Ask) -> None:
    def fail(reply: Reply) -> bool:
        raise KeyError(reply.text)

    router = make({"cheap": [said("bad")]}, fail)
    with pytest.raises(KeyError, match="bad"):
        ask(router)
    with pytest.raises(InputError, match="must return True, False or a number, got str"):
        ask(make({"cheap": [said("bad")]}, lambda _: "no"))  # type: ignore[arg-type,return-value]
    assert router.fleet.live.inflight("cheap") == 0


@every_way
def test_the_cost_of_every_step_counts_against_the_budget(ask: Ask) -> None:
    router = make({"cheap": [said("bad")], "strong": [said("good")]}, spend=SpendCap(usd=1.0))
    ask(router)
    assert router.fleet.spend_tracker is not None
    assert router.fleet.spend_tracker.remaining_usd() == pytest.approx(1.0 - 0.0561)


def test_a_budget_that_allows_only_the_first_model_gives_its_answer() -> None:
    router = make({"cheap": [said("bad")], "strong": [said("good")]}, spend=SpendCap(usd=0.01))
    completion = ask_sync(router)
    assert completion.text == "bad"
    assert completion.reasons[-1] == "the answer of cheap is returned all the same: the budget does not allow strong"
    assert router.fleet.spend_tracker is not None
    assert router.fleet.spend_tracker.remaining_usd() == pytest.approx(0.01 - 0.0011)


def test_if_a_cascade_does_not_pay_one_model_is_asked_and_the_decision_names_both_figures() -> None:
    router = make({"strong": [said("bad")]}, accuracy=0.51)
    decision = router.route("hello")
    assert decision.cascade is None
    assert decision.reasons[-1].startswith("no cascade: the best one, cheap then strong, has an expected utility of 0.")
    assert " against 0." in decision.reasons[-1]
    assert decision.reasons[-1] in decision.explain()
    assert ask_sync(router).text == "bad"  # not checked


def test_a_verifier_that_sees_nothing_is_never_used() -> None:
    for accuracy in (0.0, 0.3, 0.5):
        decision = make({}, accuracy=accuracy).route("hello")
        assert (decision.cascade, decision.ranking[0]) == (None, "strong")


def test_a_decision_shows_its_cascade() -> None:
    decision = make({}).route("hello")
    assert decision.cascade is not None
    assert (decision.cascade.models, decision.ranking[:2]) == (("cheap", "strong"), ("cheap", "strong"))
    # 0.6 · 0.05 + 0.4 · 0.95 of the prompts go on
    assert decision.cascade.shares == pytest.approx((1.0, 0.41))
    assert "cheap 100%, strong 41%" in decision.explain()
    assert decision.to_dict()["cascade"]["models"] == ["cheap", "strong"]
    assert decision.expected is decision.cascade


def test_calls_of_tools_are_only_checked_by_a_function() -> None:
    tool = {"type": "function", "function": {"name": "run", "parameters": {}}}
    profiles = [
        model("cheap", 0.6, cost_usd=1e-4, capabilities=frozenset({"tools"})),
        model("strong", 0.9, cost_usd=1e-2, capabilities=frozenset({"tools"})),
    ]
    for verifier, is_used in ((is_good, True), (Judge(model="strong"), False)):
        cascade = Cascade(verifier=verifier, rates=Rates.of_accuracy(1.0))
        router = Router(profiles, strategy="cascade", usd_per_point=0.001, serving=Serving(cascade=cascade))
        decision = router.route("hello", tools=[tool])
        assert (decision.cascade is not None) == is_used
        assert is_used or "no cascade: a judge cannot check a call of a tool" in decision.reasons


def test_a_verifier_must_be_served() -> None:
    with pytest.raises(InputError, match="needs a model with an endpoint for chat completions, got 'nobody'"):
        make({}, Judge(model="nobody"))


def test_compositions() -> None:
    cascade = Cascade(verifier=is_good, rates=Rates.of_accuracy(1.0))
    for spec in ("cascade>dynamic", "contextual>cascade", "cascade>round-robin"):
        router = Router(
            [CHEAP, model("twin", 0.6, input_usd_per_mtok=1.0, output_usd_per_mtok=1.0)],
            strategy=spec,
            serving=Serving(cascade=cascade),
        )
        decision = router.route("hello", usd_per_point=0.002)
        assert decision.cascade is not None
        assert decision.cascade.models == decision.ranking[:2]
    with pytest.raises(InputError, match="sticky keeps a session on one model, so no cascade can follow it"):
        Router([CHEAP, STRONG], strategy="sticky>cascade")


def test_feedback_goes_to_the_model_that_answered() -> None:
    router = make({"cheap": [said("bad")], "strong": [said("good")]}, learn=True)
    before = router.route("hello").scores
    router.feedback(ask_sync(router), 0.0)
    after = router.route("hello").scores
    assert after["strong"].quality < before["strong"].quality
    assert after["cheap"].quality == before["cheap"].quality
