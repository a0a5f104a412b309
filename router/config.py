"""One file, TOML or YAML, that says which models there are, where they are served and what may be asked of them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import msgspec

from router.budgets import RateLimit, SpendCap
from router.errors import ConfigError, InputError
from router.execution.limits import CallPolicy
from router.health import HealthPolicy
from router.options import Dial, RouterOptions, find_strategy
from router.serving import Serving
from router.types import ModelProfile, TierChoice

if TYPE_CHECKING:
    from router.execution import Endpoint

_T = TypeVar("_T")
_MAX_BYTES = 1 << 20
_Positive = Annotated[float, msgspec.Meta(gt=0)]
# What environment variables are called; whatever else stands there may be a key, and is not repeated in an error.
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class EndpointConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A server that speaks the OpenAI protocol; the fields are those of `router.execution.Endpoint`."""

    base_url: str
    key_env: str | None = None
    stream_usage: bool = True


class ServedBy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """That an endpoint serves a model, under which name, and how much it takes beside the model's other endpoints."""

    endpoint: str
    model: str | None = None
    weight: _Positive = 1.0


class ModelConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A model that may be chosen."""

    weight: _Positive | None = None
    served_by: list[ServedBy] = []
    fallbacks: list[str] | None = None
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None


class _File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file as it stands."""

    model_folder: str | None = None
    strategy: str = "contextual"
    prefer: str | None = None
    quality_floor: float | None = None
    cost_per_point: float | None = None
    max_loss: float | None = None
    confidence: float | None = None
    max_cost_usd: float | None = None
    learn: bool = False
    cache_size: Annotated[int, msgspec.Meta(ge=0)] = 1024
    tier: TierChoice = "auto"
    endpoints: dict[str, dict[str, Any]] = {}
    models: dict[str, dict[str, Any]] = {}
    calls: dict[str, Any] = {}
    health: dict[str, Any] = {}
    spend: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """A configuration, read and checked.

    Attributes:
        path: Where it stands.
        model_folder: Relative to the file's folder; None: as `Router.load` finds it.
        options: Of the router, but for `serving`.
        models: By name; empty: all models of the folder.
        endpoints: By the name of a served model, `endpoint/model`.
        serving: How models are called, without an executor.
    """

    path: Path
    model_folder: Path | None
    options: RouterOptions
    models: Mapping[str, ModelConfig]
    endpoints: Mapping[str, Endpoint] = field(default_factory=dict)
    serving: Serving


def read_config(path: Path) -> Config:
    """Read and check a configuration.

    Args:
        path: A file whose name ends in `.toml`, `.yaml` or `.yml`.

    Raises:
        ConfigError: If it cannot be read or breaks a rule; names the line or the key.
    """
    file = _convert(path, "", _parse(path), _File)
    endpoints = {name: _convert(path, f"endpoints.{name}", raw, EndpointConfig) for name, raw in file.endpoints.items()}
    for name, endpoint in endpoints.items():
        if endpoint.key_env is not None and not _VARIABLE.fullmatch(endpoint.key_env):
            raise ConfigError(
                f"{path}: endpoints.{name}.key_env must be the name of an environment variable, which holds the key; "
                "keys themselves never stand in this file"
            )
    models = {name: _convert(path, f"models.{name}", raw, ModelConfig) for name, raw in file.models.items()}
    served = {name: _served_by(path, name, model, endpoints) for name, model in models.items()}
    try:
        find_strategy(file.strategy)
        Dial(
            prefer=file.prefer,
            quality_floor=file.quality_floor,
            cost_per_point=file.cost_per_point,
            max_loss=file.max_loss,
            confidence=file.confidence,
        ).check()
    except InputError as error:
        raise ConfigError(f"{path}: {error}") from error
    return Config(
        path=path,
        model_folder=None if file.model_folder is None else path.parent / file.model_folder,
        options={
            "strategy": file.strategy,
            "prefer": file.prefer,
            "quality_floor": file.quality_floor,
            "cost_per_point": file.cost_per_point,
            "max_loss": file.max_loss,
            "confidence": file.confidence,
            "max_cost_usd": file.max_cost_usd,
            "learn": file.learn,
            "cache_size": file.cache_size,
            "tier": file.tier,
        },
        models=models,
        endpoints=_make_endpoints(served, endpoints),
        serving=Serving(
            endpoints={name: _share_out(name, models[name].weight, places) for name, places in served.items() if places},
            fallbacks={name: model.fallbacks for name, model in models.items() if model.fallbacks is not None},
            calls=_convert_policy(path, "calls", file.calls, CallPolicy),
            health=_convert_policy(path, "health", file.health, HealthPolicy),
            limits={name: limit for name, model in models.items() if (limit := _limit(path, name, model))},
            spend=None if file.spend is None else _convert_policy(path, "spend", file.spend, SpendCap),
        ),
    )


def _parse(path: Path) -> Any:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ConfigError(f"{path} must be at most {_MAX_BYTES} bytes; it is no configuration of a router")
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}; name an existing file") from error
    if path.suffix not in (".toml", ".yaml", ".yml"):
        raise ConfigError(f"{path}: its name must end in .toml, .yaml or .yml, to tell how it is written")
    try:
        return (msgspec.toml if path.suffix == ".toml" else msgspec.yaml).decode(content)
    except ImportError as error:
        raise ConfigError(
            f"{path}: YAML needs the package pyyaml; pip install 'contextual-llm-router[yaml]', or write it as TOML"
        ) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be parsed: {error}; correct that line") from error


def _convert(path: Path, key: str, raw: Any, kind: type[_T]) -> _T:
    try:
        return msgspec.convert(raw, kind)
    except msgspec.ValidationError as error:
        told = str(error).replace("`$.", f"`{key}." if key else "`").replace("`$`", f"`{key or 'the file'}`")
        where = "" if not key or key in told else f"{key}: "
        raise ConfigError(f"{path}: {where}{told}") from error


def _convert_policy(path: Path, key: str, raw: Mapping[str, Any], kind: type[_T]) -> _T:
    """Make a dataclass of numbers; msgspec would pass over keys that it does not have."""
    known = [one.name for one in fields(kind)]  # type: ignore[arg-type]  # every caller names a dataclass
    for name in raw:
        if name not in known:
            raise ConfigError(f"{path}: {key}.{name} is unknown; known: {', '.join(known)}")
    return _convert(path, key, raw, kind)


def _served_by(path: Path, name: str, model: ModelConfig, endpoints: Mapping[str, EndpointConfig]) -> list[ServedBy]:
    """Return where a model is served; where only one endpoint is named, it serves what does not say otherwise."""
    if not model.served_by and endpoints:
        if len(endpoints) > 1:
            raise ConfigError(f"{path}: models.{name}.served_by must name one or more of {list(endpoints)}; add it")
        return [ServedBy(endpoint=next(iter(endpoints)))]
    for place in model.served_by:
        if place.endpoint not in endpoints:
            known = list(endpoints)
            raise ConfigError(f"{path}: models.{name}.served_by must name one of {known}, was {place.endpoint!r}")
    if len({_name(name, place) for place in model.served_by}) < len(model.served_by):
        raise ConfigError(f"{path}: models.{name}.served_by must name each endpoint and model there once; remove one")
    return model.served_by


def _share_out(model: str, weight: float | None, places: list[ServedBy]) -> dict[str, float]:
    """Return the capacity of each of a model's endpoints; together they have the model's, where it is named."""
    scale = 1.0 if weight is None else weight / sum(place.weight for place in places)
    return {_name(model, place): scale * place.weight for place in places}


def _name(model: str, place: ServedBy) -> str:
    """Return what live state calls it, which must differ between the router's models."""
    return f"{place.endpoint}/{model}" if place.model is None else f"{place.endpoint}/{model}={place.model}"


def _make_endpoints(served: Mapping[str, list[ServedBy]], endpoints: Mapping[str, EndpointConfig]) -> dict[str, Endpoint]:
    if not endpoints:
        return {}
    from router.execution import Endpoint

    return {
        _name(model, place): Endpoint(
            base_url=endpoints[place.endpoint].base_url,
            key_env=endpoints[place.endpoint].key_env,
            stream_usage=endpoints[place.endpoint].stream_usage,
            model=place.model or model,
        )
        for model, places in served.items()
        for place in places
    }


def _limit(path: Path, name: str, model: ModelConfig) -> RateLimit | None:
    if model.requests_per_minute is None and model.tokens_per_minute is None:
        return None
    try:
        return RateLimit(requests_per_minute=model.requests_per_minute, tokens_per_minute=model.tokens_per_minute)
    except InputError as error:
        raise ConfigError(f"{path}: models.{name}: {error}") from error


def choose_profiles(config: Config, profiles: Sequence[ModelProfile]) -> tuple[ModelProfile, ...]:
    """Return the profiles of the models that a configuration names, with the weights that it gives them.

    Raises:
        ConfigError: If it names a model that is not among them.
    """
    known = [profile.name for profile in profiles]
    for name, model in config.models.items():
        unknown = [other for other in (name, *(model.fallbacks or ())) if other not in known]
        if unknown:
            raise ConfigError(f"{config.path}: models.{name}: {unknown} stand not in the model folder; known: {known}")
    chosen = [profile for profile in profiles if profile.name in (config.models or known)]
    weights = {name: model.weight for name, model in config.models.items() if model.weight is not None}
    return tuple(replace(profile, weight=weights.get(profile.name, profile.weight)) for profile in chosen)


def make_serving(config: Config) -> Serving:
    """Return how models are called, through the endpoints of the configuration where it names any."""
    if not config.endpoints:
        return config.serving
    from router.execution import OpenAIExecutor

    return replace(config.serving, executor=OpenAIExecutor(config.endpoints))
