import asyncio
import base64
import logging
import pickle
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router import (
    FOCUS_AREAS,
    STRATEGIES,
    FakeExecutor,
    InputError,
    NoCandidateError,
    Router,
    RoutingContext,
    RoutingDecision,
    ScoringParameters,
    Serving,
    default,
    register_strategy,
    route,
)
from router.classify.keywords import KeywordRules
from router.score.parameters import make_presets
from router.score.risk import RiskCurve
from tests.router.fakes import classifier, first_tier, model

TAUGHT = {
    "prove that two is prime": (0.1, 0.8, 0.1),
    "write me a long poem": (0.05, 0.05, 0.9),
    "a poem, please": (0.05, 0.05, 0.9),
    "go on": (0.2, 0.1, 0.7),
    "certain": (1.0, 1e-300, 1e-300),
}
RULES = KeywordRules(precision=0.8, phrases={"writing": ["poem"]})
SHARP = model("sharp", {"coding": 0.8, "math": 1.0, "writing": 0.6}, cost_usd=0.02, capabilities=frozenset({"vision"}))
PLAIN = model("plain", {"coding": 0.7, "math": 0.5, "writing": 0.7}, cost_usd=0.005)
TINY = model("tiny", 0.4, cost_usd=0.001, context_window=1000, capabilities=frozenset({"vision", "tools"}))
PROMPTS = ("prove that sqrt(2) is irrational", "translate 'good morning' into Japanese", "why is the sky blue?", "hm", "")


def small(**options: object) -> Router:
    return Router([SHARP, PLAIN, TINY], classifier(TAUGHT), rules=RULES, **options)  # type: ignore[arg-type]


def tiered(**options: object) -> Router:
    """A router whose first tier takes every prompt for a poem, and is sure of it where that is so."""
    first = first_tier({"write me a long poem": (0.01, 0.01, 0.98), "prove that two is prime": (0.2, 0.2, 0.6)})
    return Router([SHARP, PLAIN, TINY], classifier(TAUGHT, first=first), rules=RULES, **options)  # type: ignore[arg-type]


def user(*turns: object) -> list[dict[str, object]]:
    return [{"role": "user", "content": turn} for turn in turns]


@pytest.fixture
def forgotten() -> Iterator[None]:
    """The module-level router, not loaded yet, and again not afterwards."""
    default._load_default.cache_clear()
    yield
    default._load_default.cache_clear()


@pytest.mark.parametrize("prefer", [None, "quality", "balanced", "cheap", "fast"])
def test_the_model_is_the_first_of_a_ranking_of_all_by_falling_utility(shipped: Router, prefer: str | None) -> None:
    for prompt in PROMPTS:
        decision = shipped.route(prompt, prefer=prefer)
        utilities = [decision.scores[name].utility for name in decision.ranking]
        assert decision.model == decision.ranking[0]
        assert sorted(decision.ranking) == sorted(profile.name for profile in shipped.profiles)
        assert utilities == sorted(utilities, reverse=True)
        assert sum(decision.prediction.probabilities.values()) == pytest.approx(1)


def test_prefer_cheap_costs_no_more_than_balanced_and_that_no_more_than_quality(shipped: Router) -> None:
    for prompt in PROMPTS:
        decisions = [shipped.route(prompt, prefer=prefer) for prefer in ("cheap", "balanced", "quality")]
        costs = [decision.scores[decision.model].cost_usd or 0 for decision in decisions]
        assert costs == sorted(costs)


@pytest.mark.parametrize("floor", [0.0, 0.5, 0.9, 1.0])
def test_quality_floor_takes_the_cheapest_that_reaches_its_share_of_the_best(shipped: Router, floor: float) -> None:
    decision = shipped.route(PROMPTS[0], quality_floor=floor)
    needed = floor * max(score.bound for score in decision.scores.values())
    reaching = [score.cost_usd or 0 for score in decision.scores.values() if score.bound >= needed]
    assert decision.scores[decision.model].bound >= needed
    assert decision.scores[decision.model].cost_usd == min(reaching)


def test_utility_decides_by_the_prediction() -> None:
    # math: 1.0·0.8 + 0.8·0.1 + 0.6·0.1 = 0.94 for sharp, 0.54 for plain; poem: 0.63 for sharp, 0.69 for plain
    assert small().route("prove that two is prime", prefer="quality").model == "sharp"
    assert small().route("write me a long poem", prefer="quality").model == "plain"


def test_the_calls_options_outweigh_the_routers() -> None:
    router = small(prefer="cheap", max_cost_usd=0.01)
    assert router.route("go on").model == small().route("go on", prefer="cheap").model == "tiny"
    assert router.route("go on", quality_floor=1).model == "plain"
    assert "sharp" in router.route("go on", max_cost_usd=1).ranking
    floored = small(quality_floor=0)
    assert floored.route("prove that two is prime").model == "tiny"
    assert floored.route("prove that two is prime", prefer="quality").model == "sharp"


RISK = RiskCurve(
    reference="sharp", n=10_000, tolerances=[0.05, 0.41], losses=[0.0, 0.1], deviations=[0.0, 0.1], savings=[0.1, 0.5]
)


def test_a_cost_per_point_is_what_a_point_of_quality_may_cost() -> None:
    # math: 0.94 for sharp at 0.02 USD, 0.54 for plain at 0.005: 40 points for 0.015 USD, 0.000375 a point
    assert small().route("prove that two is prime", usd_per_point=0.00036).model == "plain"
    assert small().route("prove that two is prime", usd_per_point=0.00039).model == "sharp"
    assert small(usd_per_point=0.00039).route("prove that two is prime").model == "sharp"


def test_max_loss_switches_only_within_the_tolerance_that_was_shown_to_lose_so_little() -> None:
    router = small(parameters=ScoringParameters(risk=RISK))
    # math: sharp 0.94, plain 0.54, tiny 0.4; poems: sharp 0.63, plain 0.69, tiny 0.4
    assert router.route("prove that two is prime", max_loss=0.02).model == "sharp"
    assert router.route("write me a long poem", max_loss=0.02).model == "plain"
    assert router.route("prove that two is prime", max_loss=0.2).model == "plain"
    assert router.route("prove that two is prime", max_loss=0.1005, confidence=0.999).model == "sharp"
    assert small(parameters=ScoringParameters(risk=RISK), max_loss=0.2).route("prove that two is prime").model == "plain"
    surer = small(parameters=ScoringParameters(risk=RISK), max_loss=0.1005)
    assert surer.route("prove that two is prime", confidence=0.5).model == "plain"
    assert surer.route("prove that two is prime", confidence=0.999).model == "sharp"


def test_a_loss_that_cannot_be_bounded_is_reported() -> None:
    router = small(parameters=ScoringParameters(risk=replace(RISK, losses=[0.5, 0.5])))
    decision = router.route("write me a long poem", max_loss=0.02)
    assert decision.model == "sharp"
    assert "no switch to a cheaper model was shown to lose so little, so sharp answers" in decision.reasons
    barred = router.route("write me a long poem", max_loss=0.02, allowed=["plain", "tiny"])
    assert barred.model == "plain"
    assert "sharp may not be chosen, so the loss is bounded against the best model that may" in barred.reasons


def test_the_presets_are_those_of_the_benchmark() -> None:
    router = small(parameters=ScoringParameters(presets=make_presets(0.00039)))
    assert router.presets["cheap"].usd_per_point == pytest.approx(0.000039)
    assert router.route("prove that two is prime").model == "sharp"
    assert router.route("prove that two is prime", prefer="cheap").model == "tiny"


def test_many_prompts_are_decided_as_each_alone() -> None:
    prompts = list(TAUGHT)
    batch = small().route_many(prompts, prefer="quality")
    assert list(batch) == [small().route(prompt, prefer="quality") for prompt in prompts]
    assert batch.cost_usd == pytest.approx(sum(d.scores[d.model].cost_usd or 0 for d in batch))
    assert batch.shadow_price_usd_per_point is None
    assert len(small().route_many([])) == 0


def test_a_budget_goes_where_it_buys_most() -> None:
    # Prompts of mathematics and poems: from tiny (0.4, 0.001 USD) to plain 14 and 29 points for 0.004 USD, from there to
    # sharp 40 points for 0.015 USD in mathematics, which is what of 0.03 USD the first steps leave.
    router = small()
    batch = router.route_many(["prove that two is prime", "write me a long poem"], budget_usd=0.026)
    assert [decision.model for decision in batch] == ["sharp", "plain"]
    assert batch.cost_usd == pytest.approx(0.025)
    least = router.route_many(["prove that two is prime", "write me a long poem"], budget_usd=0.002)
    assert [decision.model for decision in least] == ["tiny", "tiny"]
    assert least.shadow_price_usd_per_point == pytest.approx(0.004 / 29)
    with pytest.raises(InputError, match=r"give 0\.002 or more"):
        router.route_many(["prove that two is prime", "write me a long poem"], budget_usd=0.0019)


def test_a_cost_at_the_limit_is_allowed_and_one_over_it_excluded_with_the_reason() -> None:
    decision = small().route("go on", max_cost_usd=0.005)
    assert sorted(decision.ranking) == ["plain", "tiny"]
    assert decision.excluded == {"sharp": "expected cost 0.02 USD is over 0.005"}


def test_a_model_whose_cost_nobody_knows_is_not_excluded_by_cost() -> None:
    assert Router([model("a")]).route("go on", max_cost_usd=0).model == "a"


def test_allowed_and_needs_exclude_with_the_reason() -> None:
    decision = small().route("go on", allowed=["plain", "tiny"], needs={"vision", "tools"})
    assert decision.ranking == ("tiny",)
    assert decision.excluded == {"sharp": "not among the allowed models", "plain": "lacks tools, vision"}


@pytest.mark.parametrize(("digits", "fits"), [(450, True), (451, False)])
def test_prompt_and_answer_must_fit_the_context_window(digits: int, fits: bool) -> None:
    decision = small().route("7" * digits)  # 1.1 tokens each, 5 for the message and 500 for the answer, of 1000
    assert ("tiny" in decision.ranking) == fits
    assert fits or decision.excluded == {"tiny": "needs about 1002 tokens, its context window has 1000"}


def test_when_all_are_excluded_the_error_names_every_model_with_its_reason_and_pickles() -> None:
    with pytest.raises(NoCandidateError) as refused:
        small().route("go on", allowed={"sharp", "plain"}, needs={"vision"}, max_cost_usd=0.001)
    assert refused.value.excluded == {
        "sharp": "expected cost 0.02 USD is over 0.001",
        "plain": "lacks vision",
        "tiny": "not among the allowed models",
    }
    assert all(f"{name}: {reason}" in str(refused.value) for name, reason in refused.value.excluded.items())
    assert pickle.loads(pickle.dumps(refused.value)).excluded == refused.value.excluded  # noqa: S301 - made on this line
    with pytest.raises(InputError, match="a router needs at least one model, got none"):
        Router([])


@pytest.mark.parametrize(
    ("call", "rule"),
    [
        (lambda: small(strategy="best"), r"one of \['contextual'.*, got 'best'"),
        (lambda: small(strategy=["contextual"]), "strategy must be"),
        (lambda: small(prefer="best"), "one of .*'quality', 'balanced', 'cheap', 'fast'.*, got 'best'"),
        (lambda: small(quality_floor=-1), "must be a number between 0 and 1, got -1"),
        (lambda: small(max_cost_usd=-1), "max_cost_usd must be a number of 0 or more, got -1"),
        (lambda: small().route("x", prefer="best"), "one of .*'quality'.*, got 'best'"),
        (lambda: small().route("x", prefer=["cheap"]), "prefer must be"),
        (lambda: small().route("x", focus="cooking"), "one of .*'technical'.*'math'.*, got 'cooking'"),
        (lambda: small().route("x", focus="language"), "focus 'language' means the tasks .*; use one of these"),
        (lambda: small().route("x", focus=["math"]), "focus must be the name of an area or a task"),
        (lambda: small().route("x", allowed={"gpt"}), r"unknown models \['gpt'\]; the router has: sharp, plain, tiny"),
        (lambda: small().route("x", allowed="sharp"), "allowed must be a collection of names"),
        (lambda: small().route("x", allowed=5), "allowed must be a collection of names"),
        (lambda: small().route("x", needs="vision"), "needs must be a collection of names"),
        (lambda: small().route("x", needs=[1]), "needs must be a collection of names"),
        (lambda: small().route("x", needs=None), "needs must be a collection of names"),
        (lambda: small().route("x", quality_floor=1.5), "quality_floor must be a number between 0 and 1, got 1.5"),
        (lambda: small().route("x", quality_floor="high"), "quality_floor must be a number between 0 and 1, got 'high'"),
        (
            lambda: small().route("x", prefer="cheap", quality_floor=0.9),
            "set at most one of .*, got prefer and quality_floor",
        ),
        (lambda: small().route("x", usd_per_point=0), "usd_per_point must be a number above 0, got 0"),
        (lambda: small().route("x", usd_per_point="1"), "usd_per_point must be a number above 0, got '1'"),
        (lambda: small().route("x", max_loss=0.02), "needs a model folder that was trained on a benchmark with prompts"),
        (lambda: small().route("x", confidence=0.9), "set max_loss too"),
        (
            lambda: small(parameters=ScoringParameters(risk=RISK)).route("x", max_loss=True),
            "max_loss must be a number between 0 and 1, got True",
        ),
        (
            lambda: small(parameters=ScoringParameters(risk=RISK)).route("x", max_loss=2),
            "max_loss must be a number between 0 and 1, got 2",
        ),
        (lambda: small().route("x", max_cost_usd=float("nan")), "max_cost_usd must be a number of 0 or more, got nan"),
        (lambda: small().route("x", max_cost_usd="1"), "max_cost_usd must be a number of 0 or more, got '1'"),
        (lambda: small().route_many(pd.DataFrame({"prompt": ["x"]})), "got DataFrame; .* take the column of a table"),
        (lambda: small().route(None), "must be a str or a list of messages"),
    ],
)
def test_an_unknown_name_or_wrong_type_is_an_input_error_with_the_rule(call: Callable[[], object], rule: str) -> None:
    with pytest.raises(InputError, match=rule):
        call()


@pytest.mark.parametrize("area", FOCUS_AREAS)
def test_a_focus_area_leaves_its_tasks_alone_and_they_sum_to_one(shipped: Router, area: str) -> None:
    decision = shipped.route(PROMPTS[0], focus=area)
    inside = {task for task, p in decision.prediction.probabilities.items() if p > 0}
    assert inside <= set(FOCUS_AREAS[area])
    assert decision.prediction.task in FOCUS_AREAS[area]
    assert sum(decision.prediction.probabilities.values()) == pytest.approx(1)
    assert f"focus {area!r}: only its tasks count" in decision.reasons


def test_a_focus_conditions_the_probabilities_and_spreads_evenly_where_they_give_it_none() -> None:
    prediction = small().route("prove that two is prime", focus="technical").prediction
    assert prediction.probabilities == pytest.approx({"coding": 1 / 9, "math": 8 / 9, "writing": 0})
    assert small().route("certain", focus="writing").prediction.confidence == 1


def test_an_image_needs_vision() -> None:
    decision = small().route(user([{"type": "image_url", "image_url": {"url": "data:"}}]))
    too_large = "needs about 5505 tokens, its context window has 1000"  # 5,000 for the image
    assert decision.excluded == {"plain": "lacks vision", "tiny": too_large}


def test_a_capability_that_no_profile_has_is_named_with_the_remedy() -> None:
    with pytest.raises(NoCandidateError, match=r"lacks audio\); no profile has audio among its capabilities, so add it"):
        small().route(user([{"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}]))


def test_a_part_of_unknown_type_excludes_no_model_and_is_reported() -> None:
    decision = small().route(user([{"type": "text", "text": "go on"}, {"type": "hologram"}]))
    assert decision.excluded == {}
    assert "content parts of unknown type exclude no model: hologram" in decision.reasons


def test_a_system_prompt_alone_is_routed_by_its_text() -> None:
    assert small().route([{"role": "system", "content": "prove that two is prime"}]).task == "math"


@pytest.mark.parametrize("last", ["yes, go on", "go on", "", "one two three four five"])
def test_a_turn_that_says_no_task_by_itself_inherits_the_conversations(last: str) -> None:
    turns = user("write me a long poem", "hm, what?", "prove that two is prime", "hm", last)
    decision = small().route([{"role": "system", "content": "a poem"}, *turns, {"role": "assistant", "content": "a poem"}])
    assert decision.prediction.task == "math"
    assert "the last turn names no task by itself, so an earlier turn decides" in decision.reasons


def test_a_shipped_conversation_goes_on(shipped: Router) -> None:
    assert shipped.route(user(PROMPTS[0], "yes, go on")).prediction.task == "math"


def test_a_last_turn_of_its_own_task_decides() -> None:
    assert small().route(user("write me a long poem", "prove that two is prime")).prediction.task == "math"


def test_a_short_turn_that_names_its_task_decides() -> None:
    assert small().route(user("prove that two is prime", "a poem, please")).prediction.task == "writing"


def test_a_short_turn_that_is_sure_does_not_give_way_to_an_earlier_one_that_is_not() -> None:
    assert small().route(user("hello", "a poem, please")).prediction.task == "writing"


def test_reasons_say_when_the_classifier_did_not_decide() -> None:
    router = small()
    assert router.route("prove that two is prime").reasons == ()
    assert router.route("hm").reasons == (
        "the classifier is unsure and no keyword rule matches, so all tasks count by their probabilities",
    )
    assert router.route("some poem").reasons == ("the classifier is unsure and a keyword rule matches: writing",)
    alone = Router([PLAIN], problems=["the encoder is gone"]).route("hm")
    assert alone.reasons[0] == "the encoder is gone"
    assert alone.reasons[1].startswith("there is no classifier and no keyword rule matches")


def test_reasons_name_the_figures_that_were_assumed() -> None:
    router = Router([model("a", cost_usd=1, latency_s=1), model("b")], classifier(TAUGHT))
    median = "of these models is unknown, so the median of the others is used: b"
    cost, time_ = (f"expected {term} {median}" for term in ("cost", "latency"))
    assert router.route("certain").reasons == (cost,)
    assert router.route("certain", prefer="fast").reasons == (cost, time_)
    assert small().route("certain", prefer="fast").reasons == (
        "the latency of every candidate is unknown, so time does not count",
    )


def test_eight_threads_decide_as_one_does(shipped: Router) -> None:
    prompts = [f"{prompt} {number}" for prompt in PROMPTS for number in range(8)]
    forgetful = Router.load(cache_size=0)
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(shipped.route, prompts)) == [forgetful.route(prompt) for prompt in prompts]


def test_while_a_decision_is_awaited_the_loop_goes_on() -> None:
    loop_went_on = threading.Event()

    def waiting(context: RoutingContext) -> list[str]:
        assert loop_went_on.wait(timeout=30), "the loop must go on while a decision is made"
        return list(context.candidates)

    async def decide() -> list[RoutingDecision]:
        router = small(strategy=waiting)
        decisions = asyncio.gather(*(router.aroute(text, prefer="cheap") for text in TAUGHT))
        await asyncio.sleep(0.01)
        loop_went_on.set()
        return await decisions

    expected = [small(strategy=lambda context: list(context.candidates)).route(text, prefer="cheap") for text in TAUGHT]
    awaited = asyncio.run(decide())
    assert [(d.ranking, d.prediction, d.scores) for d in awaited] == [(d.ranking, d.prediction, d.scores) for d in expected]


def test_a_router_pickles_and_decides_the_same(shipped: Router) -> None:
    copy = pickle.loads(pickle.dumps(shipped))  # noqa: S301 - made on this line
    assert [copy.route(prompt) for prompt in PROMPTS] == [shipped.route(prompt) for prompt in PROMPTS]


@settings(deadline=None)
@given(st.text(st.characters(), max_size=400))
def test_route_never_raises_on_a_text(shipped: Router, text: str) -> None:
    assert len(shipped.route(text).ranking) == len(shipped.profiles)
    assert shipped.route(user([{"type": "text", "text": text}])).scores == shipped.route(text).scores


@pytest.mark.parametrize(
    "text",
    ["", " ", "\n" * 5000, "\0", "\ud800", "🎈" * 2000, base64.b64encode(bytes(range(256)) * 40).decode(), "x" * 10_000_000],
    ids=["empty", "space", "lines", "NUL", "lone surrogate", "emoji", "base64", "10 MB"],
)
def test_route_never_raises_on_an_odd_text(shipped: Router, text: str) -> None:
    assert shipped.route(text).model in {profile.name for profile in shipped.profiles}


def test_a_prompt_is_neither_logged_nor_shown(shipped: Router, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        decision = shipped.route("zanzibar")
        with pytest.raises(NoCandidateError) as refused:
            shipped.route("zanzibar", allowed=[])
    texts = [caplog.text, str(refused.value), decision.explain(), str(decision.to_dict()), repr(decision), repr(shipped)]
    assert not any("zanzibar" in text for text in texts)


@pytest.mark.parametrize(
    "ranking", [[], ["sharp", "plain"], ["sharp", "plain", "plain"], ["sharp", "plain", "tiny", "tiny"]]
)
def test_a_strategy_that_loses_or_repeats_a_candidate_is_refused(ranking: list[str]) -> None:
    with pytest.raises(InputError, match=f"'<lambda>' must rank every candidate exactly once, ranked {len(ranking)} of 3"):
        small(strategy=lambda _: ranking).route("go on")


def test_a_plain_function_is_a_strategy_and_sees_key_prediction_and_candidates() -> None:
    def backwards(context: RoutingContext) -> Sequence[str]:
        assert (context.prompt, context.key, context.prediction.task) == ("go on", "user-1", "writing")
        return context.candidates[::-1]

    decision = small(strategy=backwards).route("go on", key="user-1")
    assert (decision.strategy, decision.ranking) == ("backwards", ("tiny", "plain", "sharp"))


@pytest.mark.usefixtures("forgotten")
def test_the_module_level_route_decides_with_the_folder_in_the_environment(
    shipped: Router, model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLM_ROUTER_MODEL", str(model_folder))
    assert route(PROMPTS[0], prefer="cheap", key="k") == shipped.route(PROMPTS[0], prefer="cheap")


@pytest.mark.usefixtures("forgotten")
@pytest.mark.parametrize("threads", [1, 8])
def test_the_module_level_route_loads_once(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    loads: list[Router] = []

    def load() -> Router:
        time.sleep(0.02)  # so that the other threads come meanwhile
        loads.append(small())
        return loads[-1]

    monkeypatch.setattr(Router, "load", load)
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(route, ["go on"] * 8))
    assert len(loads) == 1


NO_REQUESTS = (
    "asdf", "jkl;jkl;jkl", "8675309 4411", "😀😂😂", "🔥", "...", "???", "lorem ipsum dolor sit amet", "xkjq wvbz plmt",
    "qqqqqqqq", "zxcvbnm", "фывфыв", "c2Vsb2cgZG8=", "2024-05-01 12:00:01 INFO server started on port 8080",
    "#$%^&*", "hgfjhgkjh",
)  # fmt: skip


def test_what_asks_for_nothing_is_unsure_and_a_short_request_is_not(model_folder: Path) -> None:
    router = Router.load(model_folder)
    predictions = [router.predict(text) for text in NO_REQUESTS]
    assert sum(prediction.confidence < 0.4 for prediction in predictions) >= 0.8 * len(NO_REQUESTS)
    assert sum(prediction.unsure for prediction in predictions) >= 0.65 * len(NO_REQUESTS)
    short = ["2+2", "tell me a joke", "translate: Hund", "explain tcp", "recipe for soup", "haiku about rain"]
    assert [text for text in short if router.predict(text).unsure] == []


def test_a_decision_says_which_tier_read_the_prompt() -> None:
    poem, proof = (tiered().route(prompt) for prompt in ("write me a long poem", "prove that two is prime"))
    assert (poem.prediction.tier, proof.prediction.tier) == ("first", "full")
    assert "by classifier, first tier" in poem.explain()
    assert poem.to_dict()["prediction"]["tier"] == "first"
    assert small().route("prove that two is prime").prediction.tier == "full"
    assert small().route("").prediction.tier is None


def test_if_one_model_is_left_the_first_tier_decides() -> None:
    router, unsure = tiered(), "prove that two is prime"
    only = router.profiles[0].name
    assert router.route(unsure).prediction.tier == "full"
    assert router.route(unsure, allowed={only}).prediction.tier == "first"
    assert router.route(unsure, allowed={only}, tier="full").prediction.tier == "full"
    assert router.route(unsure, tier="first").prediction.tier == "first"


def test_the_full_tier_can_be_asked_for_each_prompt_or_for_all() -> None:
    prompt = "write me a long poem"
    assert tiered().route(prompt, tier="full").prediction.tier == "full"
    assert tiered().predict(prompt, tier="full").tier == "full"
    thorough = tiered(tier="full")
    assert thorough.route(prompt).prediction.tier == "full"
    assert thorough.route(prompt, tier="auto").prediction.tier == "first"
    assert [decision.prediction.tier for decision in thorough.route_many([prompt] * 5)] == ["full"] * 5
    assert [decision.prediction.tier for decision in thorough.route_many([prompt] * 5, tier="auto")] == ["first"] * 5


@pytest.mark.parametrize("tier", ["second", "", 3])
def test_an_unknown_tier_is_refused(tier: object) -> None:
    for ask in (
        lambda: tiered(tier=tier),
        lambda: tiered().route("hello", tier=tier),  # type: ignore[arg-type]
        lambda: tiered().predict("hello", tier=tier),  # type: ignore[arg-type]
        lambda: tiered().route_many(["hello"], tier=tier),  # type: ignore[arg-type]
    ):
        with pytest.raises(InputError, match="tier must be one of"):
            ask()


class Connections(FakeExecutor):
    """Counts how often it is closed."""

    closed = aclosed = 0

    def close(self) -> None:
        self.closed += 1

    async def aclose(self) -> None:
        self.aclosed += 1


def test_leaving_a_with_block_closes_the_executor() -> None:
    executor = Connections()
    with Router([model("a")], serving=Serving(executor=executor)) as router:
        assert router.complete("hello").model == "a"
    assert (executor.closed, executor.aclosed) == (1, 0)

    async def ask() -> None:
        async with router:
            await router.acomplete("hello")

    asyncio.run(ask())
    assert (executor.closed, executor.aclosed) == (1, 1)


def test_two_profiles_with_one_name_are_refused() -> None:
    with pytest.raises(InputError, match="each model needs a name of its own, got several profiles named a; rename them"):
        Router([model("a"), model("b"), model("a")])


def test_reprs_are_one_line_and_notebooks_get_a_table(shipped: Router) -> None:
    router = Router.load(prefer="cheap")
    decision, batch = router.route("write a haiku about rain"), router.route_many(["2 + 2?", "write a haiku about rain"])
    assert repr(router) == "<Router: 110 models, strategy='contextual', prefer='cheap'>"
    assert repr(decision) == f"<RoutingDecision: {decision.model} for writing (1.00), {len(decision.fallbacks)} fallbacks>"
    for shown in (router, decision, batch):
        assert len(repr(shown)) < 120
        assert "\n" not in repr(shown)
        assert decision.model in shown._repr_html_()
        assert "<table" in shown._repr_html_()


@pytest.mark.parametrize("strategy", ["sticky", "contextual>round-robin", "by-lambda"])
def test_a_strategy_that_was_made_by_name_pickles_as_its_name(strategy: str) -> None:
    if "by-lambda" not in STRATEGIES:
        register_strategy("by-lambda", lambda: lambda context: context.candidates[::-1])
    router = Router([model("a"), model("b")], strategy=strategy, serving=Serving(executor=FakeExecutor({"a": ["hi"]})))
    copy = pickle.loads(pickle.dumps(router))  # noqa: S301 - made on this line
    assert copy.route("hello").ranking == Router([model("a"), model("b")], strategy=strategy).route("hello").ranking
    assert copy.complete("hello", allowed={"a"}).text == "hi"
