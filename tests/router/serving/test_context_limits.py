"""Windows that endpoints name themselves."""

import pytest

from router import CallError, Router
from router.errors import AllAttemptsFailedError
from router.execution.fake import FakeExecutor
from router.serving.serving import Serving
from tests.router.fakes import model
from tests.router.health.fakes import FakeClock

LIMIT = 2048
TOO_LONG = CallError("unable", "400", status=400, too_long=True, context_limit=LIMIT)
# More tokens than the limit, by any estimate.
LONG, SHORT = "all work and no play " * 1000, "hello"


def serve(*windows: int | None, script: dict[str, list[object]], **serving: object) -> Router:
    models = [
        model(name, 0.9 - i / 10, context_window=window)
        for i, (name, window) in enumerate(zip("abc", windows, strict=False))
    ]
    executor = FakeExecutor(script)  # type: ignore[arg-type]
    return Router(models, prefer="quality", serving=Serving(executor=executor, **serving), clock=FakeClock())  # type: ignore[arg-type]


def test_an_endpoint_that_named_its_limit_is_no_candidate_for_longer_prompts_any_more() -> None:
    router = serve(128_000, 128_000, script={"a": [TOO_LONG, "from a"]})
    assert router.complete(LONG).model == "b"
    assert router.fleet.context_limits() == {"a": LIMIT}
    decision = router.route(LONG)
    assert decision.ranking == ("b",)
    assert str(LIMIT) in decision.excluded["a"].replace(",", "")
    assert router.complete(LONG).attempts[0].model == "b"
    # A short prompt still fits.
    assert router.complete(SHORT).text == "from a"


def test_a_limit_is_learned_for_a_model_whose_window_is_unknown_too() -> None:
    router = serve(None, None, script={"a": [TOO_LONG], "b": ["from b"]})
    assert router.complete(LONG).text == "from b"
    assert router.fleet.context_limits() == {"a": LIMIT}
    assert router.route(LONG).ranking == ("b",)


def test_a_limit_holds_for_the_endpoint_that_named_it_and_a_model_is_as_large_as_its_largest_endpoint() -> None:
    endpoints = {"a": {"east": 1.0, "west": 1.0}}
    router = serve(128_000, script={"east": [TOO_LONG], "west": ["from west"]}, endpoints=endpoints)
    # The order of the two is drawn at random, so "east" comes first in one of 60 calls for certain.
    for _ in range(60):
        assert router.complete(LONG).text == "from west"
    assert router.fleet.context_limits() == {"a": 128_000}
    # Its limit is known after at most one refusal.
    assert router.fleet.live.snapshot()["east"].failures["unable"] <= 1
    unknown = serve(None, script={"east": [TOO_LONG], "west": [TOO_LONG]}, endpoints=endpoints)
    with pytest.raises(AllAttemptsFailedError):
        unknown.complete(LONG)
    assert unknown.fleet.context_limits() == {"a": LIMIT}


def test_if_no_model_is_large_enough_the_largest_stays_a_candidate() -> None:
    router = serve(None, script={"a": [TOO_LONG]})
    with pytest.raises(AllAttemptsFailedError) as failed:
        router.complete(LONG)
    assert failed.value.failure is not None
    assert (failed.value.failure.too_long, failed.value.failure.context_limit) == (True, LIMIT)
    # The token count is an estimate, so it alone never leaves a caller without a model.
    decision = router.route(LONG)
    assert decision.ranking == ("a",)


@pytest.mark.parametrize("limit", [None, 0, -1])
def test_a_refusal_without_a_limit_teaches_none(limit: int | None) -> None:
    refusal = CallError("unable", "400", status=400, too_long=True, context_limit=limit)
    router = serve(None, None, script={"a": [refusal, "from a"]})
    assert router.complete(LONG).model == "b"
    assert router.fleet.context_limits() == {}
    assert router.complete(LONG).text == "from a"
