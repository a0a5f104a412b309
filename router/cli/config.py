"""`llm-router config check`: a configuration file in, what it would serve out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click

from router.config.make import Unconnected, make_router
from router.config.read import read_config
from router.config.schema import Config
from router.core import Router
from router.errors import ConfigError, InputError
from router.experiment.kinds import Bandit, Experiment, Shadow
from router.gateway.names import make_names
from router.types import ModelProfile


@click.group()
def config() -> None:
    """Check configuration files: models, endpoints, limits."""


@config.command(name="check")
@click.argument("file", type=click.Path(path_type=Path))
def check_config(file: Path) -> None:
    """Make the router that FILE, TOML or YAML, describes. Print its models, endpoints and limits. Nothing is called."""
    config = read_config(file)
    # Nothing is called, and no state is shared.
    alone = replace(config, serving=replace(config.serving, state=None))
    router = make_router(Router, alone, connect=Unconnected)
    try:
        make_names(router, config)
    except InputError as error:
        raise ConfigError(f"{config.path}: {error}") from error
    click.echo("\n".join(_describe(router.profiles, config)))


def _describe(profiles: Sequence[ModelProfile], config: Config) -> list[str]:
    serving = config.serving
    strategy = "bandit" if isinstance(config.experiment, Bandit) else config.strategy
    lines = [f"{config.path}: {len(profiles)} models, strategy {strategy}, {_describe_defaults(config)}"]
    if config.experiment is not None:
        lines.append(f"experiment: {_describe_experiment(config.experiment)}")
    if serving.spend:
        lines.append(f"spend: {serving.spend.usd:g} USD per {serving.spend.window_s:g} s, then {serving.spend.on_spent}")
    if serving.state:
        unset = "" if serving.state.url_env in os.environ else " (not set)"
        lines.append(
            f"state: shared by routers with the prefix {serving.state.prefix}, URL in ${serving.state.url_env}{unset}"
        )
    for profile in profiles if config.models else ():
        lines.append(f"{profile.name}  {_describe_limits(config, profile.name)}".rstrip())
        for name, weight in serving.endpoints.get(profile.name, {}).items():
            endpoint = config.endpoints[name]
            key = "no key" if endpoint.key_env is None else f"key in ${endpoint.key_env}"
            unset = " (not set)" if endpoint.key_env and endpoint.key_env not in os.environ else ""
            lines.append(f"  {endpoint.base_url}  as {endpoint.name_of(profile.base)}, weight {weight:g}, {key}{unset}")
    return lines


def _describe_defaults(config: Config) -> str:
    return ", ".join(f"{name} {value}" for name, value in config.defaults.given().items()) or "prefer balanced"


def _describe_experiment(experiment: Experiment) -> str:
    if isinstance(experiment, Shadow):
        return (
            f"{experiment.model} also answers a share of {experiment.share:g} in the background, for at most "
            f"{experiment.usd:g} USD per {experiment.window_s:g} s and {experiment.most_at_once} calls at once"
        )
    if isinstance(experiment, Bandit):
        return (
            f"bandit among the models that reach {experiment.quality_floor:g} of the best quality at confidence "
            f"{experiment.confidence:g}, memory {experiment.memory:g}"
        )
    total = sum(experiment.shares.get(arm, 1.0) for arm in experiment.arms)
    arms = [f"{arm} {experiment.shares.get(arm, 1.0) / total:.0%}" for arm in experiment.arms]
    return f"{experiment.name} splits the keys into {', '.join(arms)}"


def _describe_limits(config: Config, model: str) -> str:
    limits = config.models[model]
    parts = [
        f"{number} {unit} per minute"
        for number, unit in ((limits.requests_per_minute, "requests"), (limits.tokens_per_minute, "tokens"))
        if number is not None
    ]
    if limits.fallbacks is not None:
        parts.append(f"then {', '.join(limits.fallbacks) or 'no other model'}")
    return ", ".join(parts)
