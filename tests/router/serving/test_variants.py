"""A model with other parameters, such as a higher reasoning effort, is a candidate of its own."""

from typing import Any

import pytest

from router import CallRequest, InputError, ModelProfile, Router, Serving
from router.score.profile_arrays import tabulate_output_tokens
from tests.router.fakes import model

LOW = {"reasoning_effort": "low"}


def profiles() -> list[ModelProfile]:
    return [
        model("large", 0.9, input_usd_per_mtok=1.0, output_usd_per_mtok=10.0, output_tokens={"math": 1000}),
        model("large@low", 0.8, input_usd_per_mtok=1.0, output_usd_per_mtok=10.0, **variant(0.25)),
    ]


def variant(ratio: float) -> dict[str, Any]:
    return {"variant_of": "large", "request": LOW, "output_tokens_ratio": ratio}


def test_a_variant_is_called_as_its_model_with_its_parameters() -> None:
    seen: list[CallRequest] = []

    def answer(request: CallRequest) -> str:
        seen.append(request)
        return "ok"

    router = Router(profiles(), serving=Serving(executor=answer))
    completion = router.complete("2 + 2?", allowed={"large@low"}, temperature=0.5)
    assert completion.model == "large@low"
    assert (seen[0].model, seen[0].name, seen[0].options) == ("large", "large@low", {**LOW, "temperature": 0.5})
    router.complete("2 + 2?", allowed={"large"})
    assert (seen[1].model, seen[1].name, seen[1].options) == ("large", "large", {})


def test_a_decision_holds_the_parameters_of_its_model() -> None:
    router = Router(profiles())
    cheap, best = router.route("2 + 2?", quality_floor=0.0), router.route("2 + 2?", quality_floor=1.0)
    assert (cheap.model, cheap.request) == ("large@low", {"model": "large", **LOW})
    assert (best.model, best.request) == ("large", {"model": "large"})
    assert cheap.to_dict()["request"] == cheap.request


def test_a_variant_answers_in_a_share_of_its_models_tokens() -> None:
    assert tabulate_output_tokens(profiles(), ["math"]).tolist() == [[1000.0], [250.0]]
    # Without the model, in a share of the median.
    alone = [profiles()[1], model("other", output_tokens={"math": 400})]
    assert tabulate_output_tokens(alone, ["math"]).tolist() == [[100.0], [400.0]]
    own = model("large@low", output_tokens={"math": 7}, **variant(0.25))
    assert tabulate_output_tokens([profiles()[0], own], ["math"]).tolist() == [[1000.0], [7.0]]


def test_a_call_with_another_value_excludes_a_variant() -> None:
    router = Router(profiles(), serving=Serving(executor=lambda request: request.name))
    assert router.complete("2 + 2?", quality_floor=0.0, reasoning_effort="low").text == "large@low"
    decision = router.complete("2 + 2?", quality_floor=0.0, reasoning_effort="high").decision
    assert decision.excluded == {"large@low": "its reasoning_effort is 'low', but the call has another one"}


@pytest.mark.parametrize(
    "fields",
    [
        {"variant_of": "large"},
        {"request": LOW},
        {"variant_of": "a", "request": LOW},
        {"variant_of": "large", "request": "low"},
        {"variant_of": "large", "request": LOW, "output_tokens_ratio": 0},
    ],
)
def test_an_incomplete_variant_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(InputError, match=r"variant_of and request|request must map|output_tokens_ratio must be"):
        ModelProfile(name="a", **fields)  # type: ignore[arg-type]
