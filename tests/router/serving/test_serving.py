"""How models are called."""

import asyncio

import pytest

from router import InputError, Router
from router.calls import CallRequest
from router.serving.fleet import Fleet
from router.serving.serving import Serving
from tests.router.serving.fakes import BEST


def test_a_plain_function_is_an_executor() -> None:
    def shout(request: CallRequest) -> str:
        return str(request.messages[-1]["content"]).upper()

    router = Router([BEST], serving=Serving(executor=shout))
    assert router.complete("hello").text == "HELLO"
    assert asyncio.run(router.acomplete("hello")).text == "HELLO"


def test_without_a_suitable_executor_the_error_of_a_call_names_the_remedy() -> None:
    async def answer(_: CallRequest) -> str:
        return "hello"

    with pytest.raises(InputError, match=r"make the router with serving=Serving\(executor=\.\.\.\)"):
        Router([BEST]).complete("hello")
    awaited = Router([BEST], serving=Serving(executor=answer))
    with pytest.raises(InputError, match=r"await acomplete\(\)"):
        awaited.complete("hello")
    assert asyncio.run(awaited.acomplete("hello")).text == "hello"


def test_serving_must_name_models_that_exist() -> None:
    with pytest.raises(InputError, match=r"endpoints must name models that exist, got \['x'\]"):
        Fleet([BEST], Serving(endpoints={"x": {"e": 1.0}}))
    with pytest.raises(InputError, match=r"fallbacks must name models that exist and have an endpoint, got \['x'\]"):
        Fleet([BEST], Serving(fallbacks={"best": ["x"]}))


@pytest.mark.parametrize(
    ("field", "value", "rule"),
    [
        ("calls", {"deadline_s": 30}, r"calls must be a CallPolicy, got dict; write CallPolicy\(\.\.\.\)"),
        ("health", 5, r"health must be a HealthPolicy, got int"),
        ("spend", 5.0, r"spend must be a SpendCap, got float"),
        ("limits", {"best": 60}, r"limits\['best'\] must be a RateLimit, got int"),
        ("limits", ["best"], "limits must map models to values, got list"),
        ("endpoints", {"best": ["e"]}, r"endpoints\['best'\] must map endpoints to capacities above 0"),
        ("endpoints", {"best": {}}, r"endpoints\['best'\] must map endpoints to capacities above 0"),
        ("endpoints", {"best": {"e": 0.0}}, r"capacities above 0.*got \{'e': 0\.0\}"),
        ("endpoints", {"best": {"e": float("inf")}}, "capacities above 0"),
        ("endpoints", {"best": {"e": True}}, "capacities above 0"),
        ("fallbacks", {"best": "good"}, r"fallbacks\['best'\] must be a sequence of models.*got 'good'"),
        ("fallbacks", {"best": [1]}, r"fallbacks\['best'\] must be a sequence of models"),
        ("executor", 5, r"executor must be a function, or have call\(\) or acall\(\), got int"),
        ("executor", Router, "got the class Router; pass an object"),
    ],
)
def test_a_wrong_value_is_refused_at_construction_with_the_remedy(field: str, value: object, rule: str) -> None:
    with pytest.raises(InputError, match=rule):
        Serving(**{field: value})  # type: ignore[arg-type]
