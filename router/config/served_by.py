"""The `served_by` of each model and the endpoints of a file in, the named endpoints of each model out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from router.config.schema import EndpointConfig, ModelConfig, ServedBy
from router.errors import ConfigError

if TYPE_CHECKING:
    from router.execution.endpoint import Endpoint


def find_endpoints(path: Path, name: str, model: ModelConfig, endpoints: Mapping[str, EndpointConfig]) -> list[ServedBy]:
    """Return the endpoints that serve a model. If the file has one endpoint, it serves the models that name none.

    Raises:
        ConfigError: If a model names no endpoint, an unknown one, or one twice.
    """
    if not model.served_by and endpoints:
        if len(endpoints) > 1:
            raise ConfigError(f"{path}: models.{name}.served_by must name one or more of {list(endpoints)}; add it")
        return [ServedBy(endpoint=next(iter(endpoints)))]
    for place in model.served_by:
        if place.endpoint not in endpoints:
            known = list(endpoints)
            raise ConfigError(f"{path}: models.{name}.served_by must name one of {known}, got {place.endpoint!r}")
    if len({_name(name, place) for place in model.served_by}) < len(model.served_by):
        raise ConfigError(f"{path}: models.{name}.served_by names an endpoint and model twice; remove one")
    return model.served_by


def share_capacity(model: str, weight: float | None, places: list[ServedBy]) -> dict[str, float]:
    """Return the capacity of each of a model's endpoints. Together they have the model's weight if it has one."""
    scale = 1.0 if weight is None else weight / sum(place.weight for place in places)
    return {_name(model, place): scale * place.weight for place in places}


def make_endpoints(served: Mapping[str, list[ServedBy]], endpoints: Mapping[str, EndpointConfig]) -> dict[str, Endpoint]:
    """Return an endpoint of the OpenAI executor for every place in which a model is served."""
    return {
        _name(model, place): endpoints[place.endpoint].make_endpoint(place.model)
        for model, places in served.items()
        for place in places
    }


def check_all_used(path: Path, served: Mapping[str, list[ServedBy]], endpoints: Mapping[str, EndpointConfig]) -> None:
    """Raise a `ConfigError` if an endpoint serves no model."""
    used = {place.endpoint for places in served.values() for place in places}
    unused = [name for name in endpoints if name not in used]
    if unused:
        raise ConfigError(
            f'{path}: endpoints.{unused[0]} serves no model; add a table [models."NAME"] for each model that it serves, '
            "or remove it"
        )


def _name(model: str, place: ServedBy) -> str:
    """Return the name of a place for the live state, which must differ between the router's models."""
    return f"{place.endpoint}/{model}" if place.model is None else f"{place.endpoint}/{model}={place.model}"
