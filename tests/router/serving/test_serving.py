"""How models are called."""

import asyncio

import pytest

from router import InputError, Router
from router.calls import CallRequest
from router.serving.fleet import Fleet
from router.serving.serving import Serving
from tests.router.serving.fakes import BEST, GOOD


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


def test_serving_must_name_models_that_exist_and_endpoints_of_one_model_each() -> None:
    with pytest.raises(InputError, match=r"endpoints must name models that exist, got \['x'\]"):
        Fleet([BEST], Serving(endpoints={"x": {"e": 1.0}}))
    with pytest.raises(InputError, match=r"fallbacks must name models that exist, got \['x'\]"):
        Fleet([BEST], Serving(fallbacks={"best": ["x"]}))
    with pytest.raises(InputError, match="an endpoint must serve one model"):
        Fleet([BEST, GOOD], Serving(endpoints={"best": {"e": 1.0}, "good": {"e": 1.0}}))
