"""The keys of a configuration file and their types."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from router.options import RouteOptions
from router.serving.serving import Serving

if TYPE_CHECKING:
    from router.execution.endpoint import Endpoint

Positive = Annotated[float, msgspec.Meta(gt=0)]


class EndpointConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A server that speaks the OpenAI protocol. The fields are those of `router.Endpoint`."""

    base_url: str
    key_env: str | None = None
    key_header: str = "Authorization"
    headers: dict[str, str] = {}
    rename: dict[str, str] = {}
    drop: list[str] = []
    stream_usage: bool = True

    def make_endpoint(self, model: str | None = None) -> Endpoint:
        """Return the endpoint of the executor.

        Args:
            model: Name of the model at the server. None: the router's name.

        Raises:
            InputError: If the URL or a name is invalid.
        """
        from router.execution.endpoint import Endpoint

        return Endpoint(
            base_url=self.base_url,
            key_env=self.key_env,
            key_header=self.key_header,
            headers=self.headers,
            rename=self.rename,
            drop=tuple(self.drop),
            stream_usage=self.stream_usage,
            model=model,
        )


class ServedBy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One endpoint that serves a model.

    Attributes:
        endpoint: Name of the endpoint.
        model: Name of the model there. None: the same as in the router.
        weight: Capacity relative to the model's other endpoints, above 0.
    """

    endpoint: str
    model: str | None = None
    weight: Positive = 1.0


class ModelConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A model that may be chosen.

    Attributes:
        weight: Capacity relative to the other models. None: that of its profile.
        served_by: Its endpoints. Empty: the only endpoint of the file.
        fallbacks: Models to call if it fails. None: the rest of the ranking.
        requests_per_minute: Rate limit. None: no limit.
        tokens_per_minute: Rate limit. None: no limit.
    """

    weight: Positive | None = None
    served_by: list[ServedBy] = []
    fallbacks: list[str] | None = None
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None


class ConfigFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file itself, without the options of `RouteOptions`, which stand beside these keys."""

    model_folder: str | None = None
    strategy: str = "contextual"
    learn: bool = False
    cache_size: Annotated[int, msgspec.Meta(ge=0)] = 1024
    endpoints: dict[str, dict[str, Any]] = {}
    models: dict[str, dict[str, Any]] = {}
    calls: dict[str, Any] = {}
    health: dict[str, Any] = {}
    spend: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """A configuration, read and checked.

    Attributes:
        path: The file.
        model_folder: The model folder, relative to the file's folder. None: the one that `Router.load` finds.
        strategy: Name of the strategy.
        learn: Whether feedback changes the profiles.
        cache_size: Number of recent prompts whose task is cached.
        defaults: The options of every decision.
        models: The models by name. Empty: all models of the folder.
        endpoints: By the name of a served model, `endpoint/model`.
        serving: How models are called, without an executor.
    """

    path: Path
    model_folder: Path | None
    strategy: str
    learn: bool
    cache_size: int
    defaults: RouteOptions
    models: Mapping[str, ModelConfig]
    endpoints: Mapping[str, Endpoint] = field(default_factory=dict)
    serving: Serving
