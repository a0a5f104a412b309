"""The options of a decision are one value, whichever way they come in."""

import asyncio
import inspect
import typing
from dataclasses import fields

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router import FakeExecutor, InputError, RouteOptions, Router, Serving, route
from router.cli.options import make_options, route_options
from router.options import RouteKeywords
from router.score.parameters import make_presets
from router.score.risk import RiskCurve
from tests.router.fakes import model

NAMES = [field.name for field in fields(RouteOptions)]
PRESETS = make_presets(0.001)
RISK = RiskCurve(reference="big", n=400, tolerances=[0.0], losses=[0.0], deviations=[0.0], savings=[0.5])
DIALS = {"prefer": "cheap", "quality_floor": 0.9, "usd_per_point": 0.002, "max_loss": 0.1}


def test_type_checkers_the_command_line_and_the_value_know_the_same_options() -> None:
    @click.command()
    @route_options
    def command() -> None: ...

    assert list(typing.get_type_hints(RouteKeywords)) == NAMES
    assert [parameter.name for parameter in command.params] == NAMES
    assert make_options(dict.fromkeys(NAMES) | {"allowed": (), "needs": (), "key": ""}) == RouteOptions(needs=())


@pytest.mark.parametrize(
    "function", [route, Router, Router.route, Router.aroute, Router.route_many, Router.complete, Router.acomplete]
)
def test_every_function_lists_every_option_in_its_signature(function: typing.Callable[..., object]) -> None:
    assert list(inspect.signature(function).parameters)[-len(NAMES) :] == NAMES


def test_every_function_refuses_the_same_options_in_the_same_words() -> None:
    router = Router([model("a")], serving=Serving(executor=FakeExecutor()))
    calls: list[typing.Callable[..., object]] = [
        router.route,
        lambda prompt, **options: router.route_many([prompt], **options),
        router.complete,
        lambda prompt, **options: asyncio.run(router.aroute(prompt, **options)),
        lambda prompt, **options: asyncio.run(router.acomplete(prompt, **options)),
        lambda _, **options: Router([model("a")], **options),
    ]
    for options, message in (
        ({"colour": "red"}, "unknown option 'colour'; the options are prefer, quality_floor"),
        ({"quality_floor": 2}, "quality_floor must be a number between 0 and 1, got 2"),
        ({"prefer": "cheap", "max_loss": 0.1}, "set at most one of .*, got prefer and max_loss"),
        ({"needs": "tools"}, "needs must be a collection of names"),
        ({"key": 7}, "key must be a string"),
        ({"prefer": "best"}, "prefer must be one of"),
    ):
        for call in calls:
            with pytest.raises(InputError, match=message):
                call("hello", **options)


@given(st.sampled_from(sorted(DIALS)), st.sampled_from(sorted(DIALS)))
def test_a_dial_replaces_the_default_dial(own: str, default: str) -> None:
    merged = RouteOptions(**{own: DIALS[own]}).with_defaults(RouteOptions(**{default: DIALS[default]}, max_cost_usd=1))
    assert merged == RouteOptions(**{own: DIALS[own]}, max_cost_usd=1)


def test_an_option_that_is_not_given_has_the_default() -> None:
    defaults = RouteOptions(max_loss=0.1, confidence=0.8, allowed={"a"}, focus="math", key="k", tier="full", needs={"tools"})
    assert RouteOptions().with_defaults(defaults) == defaults
    merged = RouteOptions(key="other", allowed={"b"}).with_defaults(defaults)
    assert (merged.key, merged.allowed, merged.focus, merged.needs) == ("other", {"b"}, "math", {"tools"})


def test_a_confidence_alone_changes_that_of_the_default_bound() -> None:
    merged = RouteOptions(confidence=0.5).with_defaults(RouteOptions(max_loss=0.1, confidence=0.99))
    assert (merged.max_loss, merged.confidence) == (0.1, 0.5)
    # Another dial forgets the confidence, which would not fit it.
    assert RouteOptions(prefer="cheap").with_defaults(merged).find_preference(PRESETS, None) == PRESETS["cheap"]
    with pytest.raises(InputError, match="confidence applies only together with max_loss"):
        RouteOptions(confidence=0.5).find_preference(PRESETS, RISK)


def test_each_dial_is_its_preference() -> None:
    assert RouteOptions().find_preference(PRESETS, None) == PRESETS["balanced"]
    assert RouteOptions(quality_floor=0.9).find_preference(PRESETS, None).quality_floor == 0.9
    assert RouteOptions(usd_per_point=0.002).find_preference(PRESETS, None).usd_per_point == 0.002
    bounded = RouteOptions(max_loss=0.1).find_preference(PRESETS, RISK)
    assert (bounded.reference, bounded.tolerance) == ("big", 0.0)


def test_defaults_of_a_router_hold_for_every_decision() -> None:
    router = Router([model("a"), model("b", 0.9)], allowed={"a"}, tier="full")
    assert router.route("hello").model == "a"
    assert router.route("hello", allowed={"b"}).model == "b"
