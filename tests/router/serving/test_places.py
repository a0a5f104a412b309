"""Which endpoints serve which models."""

from collections.abc import Mapping

import pytest

from router import CallError, InputError, NoCandidateError, Router
from router.execution.fake import FakeExecutor
from router.serving.places import find_places
from router.serving.serving import Serving
from tests.router.fakes import model
from tests.router.health.fakes import FakeClock

A, B, C = model("a", 0.9), model("b", 0.8, weight=2.0), model("c", 0.7)


class Knowing(FakeExecutor):
    """A scripted executor that knows its endpoints."""

    def __init__(self, *endpoints: str, **script: list[object]) -> None:
        super().__init__(script)  # type: ignore[arg-type]
        self.endpoints = endpoints


def serve(executor: FakeExecutor, endpoints: Mapping[str, Mapping[str, float]] | None = None) -> Router:
    serving = Serving(executor=executor, endpoints=endpoints or {})
    return Router([A, B, C], prefer="quality", serving=serving, clock=FakeClock())


def test_an_executor_that_does_not_say_serves_every_model_at_an_endpoint_of_its_name() -> None:
    assert find_places([A, B], {}, None) == {"a": {"a": 1.0}, "b": {"b": 2.0}}
    assert find_places([A, B], {"a": {"x": 3.0}}, None) == {"a": {"x": 3.0}, "b": {"b": 2.0}}


def test_a_model_without_an_endpoint_of_the_executor_is_missing() -> None:
    assert find_places([A, B, C], {"c": {"x": 1.0}}, {"b", "x"}) == {"b": {"b": 2.0}, "c": {"x": 1.0}}


@pytest.mark.parametrize(
    ("given", "known", "rule"),
    [
        ({"a": {"y": 1.0}}, {"b", "x"}, r"endpoints\['a'\] must name endpoints of the executor, got \['y'\]; it has: b, x"),
        ({}, {"x"}, r"no model has an endpoint: the executor has \['x'\], the models are a, b, c"),
        ({}, set(), r"no model has an endpoint: the executor has \[\]"),
        ({}, {"a", "x"}, r"the executor's endpoints \['x'\] serve no model; remove them"),
    ],
)
def test_an_endpoint_that_is_unknown_or_serves_no_model_is_refused(
    given: Mapping[str, Mapping[str, float]], known: set[str], rule: str
) -> None:
    with pytest.raises(InputError, match=rule):
        find_places([A, B, C], given, known)


def test_models_without_an_endpoint_are_excluded_with_the_reason_and_the_others_answer() -> None:
    router = serve(Knowing("b", "c"))
    decision = router.route("hello")
    assert decision.ranking == ("b", "c")
    assert decision.excluded == {"a": "the executor has no endpoint for it"}
    assert router.complete("hello").model == "b"
    assert router.fleet.unserved == {"a": "the executor has no endpoint for it"}
    with pytest.raises(NoCandidateError, match="a: the executor has no endpoint for it"):
        router.route("hello", allowed={"a"})
    with pytest.raises(InputError, match=r"fallbacks must name models that exist and have an endpoint, got \['a'\]"):
        router.complete("hello", fallbacks=["a"])


def test_one_endpoint_can_serve_several_models_and_each_has_its_own_live_state() -> None:
    down = CallError("rate_limit", "429", status=429, retry_after_s=60)
    executor = Knowing("shared", shared=[down, "from b", "from b again"])
    router = serve(executor, endpoints={name: {"shared": 1.0} for name in "abc"})
    answer = router.complete("hello")
    assert [(attempt.model, attempt.endpoint) for attempt in answer.attempts] == [("a", "shared"), ("b", "shared")]
    assert set(router.fleet.live.snapshot()) == {"shared/a", "shared/b", "shared/c"}
    assert router.complete("hello").model == "b"
    assert [(request.model, request.endpoint) for request in executor.requests][-1] == ("b", "shared")


def test_an_endpoint_may_not_have_the_name_of_a_shared_ones_model() -> None:
    endpoints = {"a": {"x": 1.0}, "b": {"x": 1.0}, "c": {"x/a": 1.0}}
    with pytest.raises(InputError, match="rename one of them"):
        serve(FakeExecutor(), endpoints=endpoints)
