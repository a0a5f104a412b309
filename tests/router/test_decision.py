import json
import math
import re

import pytest

from router import ModelProfile, Preference, Router, RoutingDecision, TaskPrediction
from router.score.scoring import ProfileTable
from router.strategies import contextual
from tests.router.fakes import context, model, score

# At 0.0003 USD a point: mid 0.8 − 0.1, small 0.7 − 0.033, big 0.9 − 0.267. Small wins below 0.01 · 0.002 / 0.1 = 0.0002,
# big above 0.01 · 0.005 / 0.1 = 0.0005; the hopeless one costs most for least.
FLEET = [("mid", 0.8, 0.003), ("small", 0.7, 0.001), ("big", 0.9, 0.008), ("hopeless", 0.1, 0.9)]
PROFILES = [model(name, {"math": quality}, cost_usd=cost) for name, quality, cost in FLEET]


def decide(
    preference: Preference, *, profiles: list[ModelProfile] | None = None, reasons: tuple[str, ...] = ()
) -> RoutingDecision:
    profiles = profiles or PROFILES
    names = [profile.name for profile in profiles]
    scores = ProfileTable(profiles, []).score(names, {"math": 1.0}, tokens=1, preference=preference)
    return RoutingDecision(
        ranking=tuple(contextual(context(*scores.values(), preference=preference))),
        prediction=TaskPrediction(task="math", confidence=1.0, probabilities={"math": 1.0}, source="classifier"),
        scores=scores,
        strategy="contextual",
        preference=preference,
        excluded={"other": "lacks vision"},
        reasons=reasons,
    )


def test_the_model_is_the_first_of_the_ranking_and_the_rest_is_the_fallback_order() -> None:
    decision = decide(Preference(usd_per_point=0.0003))
    assert (decision.model, decision.fallbacks) == ("mid", ("small", "big", "hopeless"))


def test_explain_names_the_prices_of_a_point_at_which_the_choice_flips() -> None:
    text = decide(Preference(usd_per_point=0.0003)).explain()
    assert "- a point of quality worth less than 0.0002 USD: small" in text
    assert "- a point of quality worth more than 0.0005 USD: big" in text


@pytest.mark.parametrize(("usd", "chosen"), [(0.00019, "small"), (0.00021, "mid"), (0.00049, "mid"), (0.00051, "big")])
def test_the_choice_does_flip_at_those_prices(usd: float, chosen: str) -> None:
    assert decide(Preference(usd_per_point=usd)).model == chosen


def test_flip_prices_count_time_too() -> None:
    swift = [
        model("swift", {"math": 0.7}, cost_usd=0.001, latency_s=0),
        model("slow", {"math": 0.9}, cost_usd=0.003, latency_s=10),
    ]
    # 10 s at 1 s a point take 0.1: slow gains 0.1 for 0.002 USD
    text = decide(Preference(usd_per_point=0.0001, seconds_per_point=1), profiles=swift).explain()
    assert "worth more than 0.0002 USD: slow" in text


def test_explain_gives_every_term() -> None:
    text = decide(Preference(usd_per_point=0.0003), reasons=("something to know",)).explain()
    assert text.startswith("task: math, by classifier (math 1.00, ...)")
    assert re.search(r"mid +0\.700 = 0\.800 \(\+/- 0\.000\) - 0\.000 - 0\.100 - 0\.000 +3 +unknown", text)
    assert text.endswith("note: something to know")


def test_explain_tells_which_other_task_would_have_changed_the_choice() -> None:
    taught = {"a": {"math": 0.9, "coding": 0.2}, "b": {"math": 0.5, "coding": 0.6}}
    decision = Router([model(name, quality) for name, quality in taught.items()]).route("solve for x")
    assert decision.model == "a"
    assert re.search(r"- if it were coding \(probability 0\.\d\d\): b", decision.explain())


def test_explain_shows_eight_models_and_counts_the_rest() -> None:
    text = decide(Preference(), profiles=[model(f"m{i}", {"math": 0.5}) for i in range(11)]).explain()
    assert "m7" in text
    assert "m8" not in text
    assert "... and 3 more" in text


def test_a_lone_model_could_not_have_been_another() -> None:
    assert "No change in sight would change the choice." in decide(Preference(), profiles=PROFILES[:1]).explain()


def test_explain_names_the_floors_at_which_the_choice_flips() -> None:
    # shares of the best: big 1, mid 8/9, small 7/9, hopeless 1/9
    decision = decide(Preference(quality_floor=0.8))
    assert decision.model == "mid"
    assert "- a quality floor of 0.777 or less: small\n- a quality floor above 0.889: big" in decision.explain()


@pytest.mark.parametrize(("floor", "chosen"), [(0.777, "small"), (0.778, "mid"), (0.888, "mid"), (0.8891, "big")])
def test_the_choice_does_flip_at_those_floors(floor: float, chosen: str) -> None:
    assert decide(Preference(quality_floor=floor)).model == chosen


@pytest.mark.parametrize(
    ("tolerance", "chosen", "text"),
    [
        (-math.inf, "big", "- a loss that may be larger, now -inf against big: mid"),
        (0.09, "big", "- a tolerance of 0.100, now 0.090 against big: mid"),
        (0.11, "mid", "- a tolerance of 0.200, now 0.110 against big: small"),
        (0.21, "small", "No change in sight would change the choice."),
    ],
)
def test_explain_names_the_tolerance_at_which_the_choice_flips(tolerance: float, chosen: str, text: str) -> None:
    decision = decide(Preference(reference="big", tolerance=tolerance))
    assert decision.model == chosen
    assert text in decision.explain()


def test_to_dict_is_json_and_an_infinite_price_is_none() -> None:
    decision = decide(Preference(usd_per_point=0.0003), reasons=("note",))
    text = json.loads(json.dumps(decision.to_dict(), allow_nan=False))
    assert text == decision.to_dict()
    assert (text["model"], text["ranking"][1:], text["reasons"]) == ("mid", ["small", "big", "hopeless"], ["note"])
    assert text["preference"] == {
        "risk_aversion": 0.5,
        "usd_per_point": 0.0003,
        "seconds_per_point": None,
        "quality_floor": None,
        "reference": None,
        "tolerance": None,
    }
    assert text["prediction"] == {
        "task": "math",
        "confidence": 1.0,
        "source": "classifier",
        "probabilities": {"math": 1.0},
        "inherited": 0.0,
        "tier": None,
    }
    assert text["scores"]["mid"]["cost_usd"] == 0.003
    assert text["excluded"] == {"other": "lacks vision"}


def test_a_decision_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        decide(Preference()).ranking = ()  # type: ignore[misc]
    with pytest.raises(AttributeError):
        score("a", 0.5).quality = 1.0  # type: ignore[misc]
