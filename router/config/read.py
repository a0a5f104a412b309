"""A configuration file in, `Config` out. Every mistake is reported with its line or key."""

from __future__ import annotations

import re
from codecs import BOM_UTF8
from collections.abc import Mapping, Sequence
from dataclasses import fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from router.cascade import Cascade
from router.config.experiment import read_experiment
from router.config.schema import Config, ConfigFile, EndpointConfig, ModelConfig
from router.config.served_by import check_all_used, find_endpoints, make_endpoints, share_capacity
from router.errors import ConfigError, InputError
from router.execution.limits import RateLimit, SpendCap
from router.execution.policy import CallPolicy
from router.health.policy import HealthPolicy
from router.options import RouteOptions
from router.score.parameters import DEFAULT_PARAMETERS
from router.score.risk import RiskCurve
from router.serving.serving import Serving
from router.state.settings import RedisState
from router.strategies import make_strategy

_T = TypeVar("_T")
_MAX_BYTES = 1 << 20
# Stands in for a model folder's measurement while a file is checked without its folder.
_ANY_RISK = RiskCurve(reference="", n=0, tolerances=(), losses=(), deviations=(), savings=())


def read_config(path: Path) -> Config:
    """Read and check a configuration.

    Args:
        path: A file whose name ends in `.toml`, `.yaml` or `.yml`.

    Raises:
        ConfigError: If the file cannot be read or breaks a rule. The message names the line or the key.
    """
    raw = _parse(path)
    file, defaults = _split(path, raw)
    _check_quotes(path, "endpoints", file.endpoints, EndpointConfig)
    _check_quotes(path, "models", file.models, ModelConfig)
    endpoints = {name: _read_endpoint(path, name, values) for name, values in file.endpoints.items()}
    models = {name: _convert(path, f"models.{name}", values, ModelConfig) for name, values in file.models.items()}
    served = {name: find_endpoints(path, name, model, endpoints) for name, model in models.items()}
    check_all_used(path, served, endpoints)
    return Config(
        path=path,
        model_folder=None if file.model_folder is None else path.parent / file.model_folder,
        strategy=file.strategy,
        learn=file.learn,
        cache_size=file.cache_size,
        defaults=defaults,
        models=models,
        endpoints=make_endpoints(served, endpoints),
        serving=Serving(
            endpoints={name: share_capacity(name, models[name].weight, places) for name, places in served.items() if places},
            fallbacks={name: model.fallbacks for name, model in models.items() if model.fallbacks is not None},
            calls=_convert_policy(path, "calls", file.calls, CallPolicy),
            health=_convert_policy(path, "health", file.health, HealthPolicy),
            limits={name: limit for name, model in models.items() if (limit := _read_limit(path, name, model))},
            spend=None if file.spend is None else _convert_policy(path, "spend", file.spend, SpendCap),
            state=None if file.state is None else _convert_policy(path, "state", file.state, RedisState),
            cascade=_read_cascade(path, file),
        ),
        calls=file.calls,
        gateway=file.gateway,
        aliases=file.aliases,
        keys=file.keys,
        log=file.log,
        experiment=None if file.experiment is None else read_experiment(path, file.experiment),
    )


def _parse(path: Path) -> Any:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ConfigError(f"{path} must be at most {_MAX_BYTES} bytes; it is no configuration of a router")
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}; name an existing file") from error
    if path.suffix not in (".toml", ".yaml", ".yml"):
        raise ConfigError(f"{path}: the name must end in .toml, .yaml or .yml, which says the format")
    try:
        # Editors of Windows put a byte order mark before the text.
        return (msgspec.toml if path.suffix == ".toml" else msgspec.yaml).decode(content.removeprefix(BOM_UTF8))
    except ImportError as error:
        raise ConfigError(
            f"{path}: YAML needs the package pyyaml; pip install 'contextual-llm-router[yaml]', or write it as TOML"
        ) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be parsed: {error}; correct that line") from error


def _split(path: Path, raw: Any) -> tuple[ConfigFile, RouteOptions]:
    """Return the keys of the file itself, and the routing options that stand beside them."""
    names = {field.name for field in fields(RouteOptions)}
    is_table = isinstance(raw, dict)
    options = {key: value for key, value in raw.items() if key in names} if is_table else {}
    rest = {key: value for key, value in raw.items() if key not in names} if is_table else raw
    file, defaults = _convert(path, "", rest, ConfigFile), _convert(path, "", options, RouteOptions)
    try:
        make_strategy(file.strategy)
        # The measured loss is the model folder's; everything else about the dial can be checked here.
        defaults.find_preference(DEFAULT_PARAMETERS.presets, _ANY_RISK)
    except InputError as error:
        raise ConfigError(f"{path}: {error}") from error
    return file, defaults


def _read_endpoint(path: Path, name: str, values: Mapping[str, Any]) -> EndpointConfig:
    endpoint = _convert(path, f"endpoints.{name}", values, EndpointConfig)
    try:
        endpoint.make_endpoint()
    except InputError as error:
        raise ConfigError(f"{path}: endpoints.{name}: {error}") from error
    return endpoint


def _check_quotes(path: Path, table: str, entries: Mapping[str, Mapping[str, Any]], kind: type[msgspec.Struct]) -> None:
    """Raise a `ConfigError` if a name with a dot stands without quotes, so that TOML made nested tables of it."""
    for name, values in entries.items():
        for key, value in values.items() if isinstance(values, Mapping) else ():
            if key not in kind.__struct_fields__ and isinstance(value, Mapping):
                raise ConfigError(
                    f'{path}: {table}.{name}.{key}: a name with a dot needs quotes; write [{table}."{name}.{key}"]'
                )


def _read_limit(path: Path, name: str, model: ModelConfig) -> RateLimit | None:
    if model.requests_per_minute is None and model.tokens_per_minute is None:
        return None
    try:
        return RateLimit(requests_per_minute=model.requests_per_minute, tokens_per_minute=model.tokens_per_minute)
    except InputError as error:
        raise ConfigError(f"{path}: models.{name}: {error}") from error


def _read_cascade(path: Path, file: ConfigFile) -> Cascade | None:
    if file.cascade is None:
        return None
    if "cascade" not in [name.strip() for name in file.strategy.split(">")]:
        raise ConfigError(f'{path}: cascade needs strategy = "cascade", got {file.strategy!r}; set it, or remove the table')
    try:
        return file.cascade.make_cascade()
    except InputError as error:
        raise ConfigError(f"{path}: cascade: {error}") from error


def _convert(path: Path, key: str, raw: Any, kind: type[_T]) -> _T:
    try:
        return msgspec.convert(raw, kind)
    except msgspec.ValidationError as error:
        message = str(error).replace("`$.", f"`{key}." if key else "`").replace("`$`", f"`{key or 'the file'}`")
        place = "" if not key or key in message else f"{key}: "
        message += _describe_nearest(message, _list_keys(kind, top=not key))
        raise ConfigError(f"{path}: {place}{message}") from error


def _list_keys(kind: type[_T], *, top: bool) -> list[str]:
    """Return the keys of a table. The top one also has the options of a decision."""
    return [*getattr(kind, "__struct_fields__", ()), *(one.name for one in fields(RouteOptions) if top)]


def _describe_nearest(message: str, keys: Sequence[str]) -> str:
    """Return a remedy for a key that does not exist: the nearest one that does. Empty for other messages."""
    unknown = re.search(r"unknown field `([^`]*)`", message)
    if unknown is None:
        return ""
    nearest = get_close_matches(unknown[1], keys, n=1, cutoff=0.5)
    return f"; the nearest key is {nearest[0]!r}" if nearest else f"; the keys are {', '.join(keys)}"


def _convert_policy(path: Path, key: str, raw: Mapping[str, Any], kind: type[_T]) -> _T:
    """Return a dataclass of numbers. msgspec ignores unknown keys of a dataclass, so they are checked here."""
    known = [one.name for one in fields(kind)]  # type: ignore[arg-type]  # every caller names a dataclass
    for name in raw:
        if name not in known:
            raise ConfigError(f"{path}: {key}.{name} is unknown; known: {', '.join(known)}")
    return _convert(path, key, raw, kind)
