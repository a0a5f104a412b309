"""The keys of a configuration file and their types."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec

from router.config.cascade import CascadeConfig
from router.experiment.kinds import Experiment
from router.options import RouteOptions
from router.serving.serving import Serving
from router.types import WireProtocol

if TYPE_CHECKING:
    from router.execution.endpoint import Endpoint

Positive = Annotated[float, msgspec.Meta(gt=0)]


class EndpointConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A server. The fields are those of `router.Endpoint`."""

    base_url: str
    key_env: str | None = None
    key_header: str = "Authorization"
    headers: dict[str, str] = {}
    rename: dict[str, str] = {}
    drop: list[str] = []
    stream_usage: bool = True
    protocols: list[WireProtocol] = msgspec.field(default_factory=lambda: list[WireProtocol](["chat"]))

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
            protocols=tuple(self.protocols),
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
        model: The model that this is with other parameters. None: it is a model of the model folder.
        request: The parameters that make this variant, such as `{reasoning_effort = "high"}`.
        weight: Capacity relative to the other models. None: that of its profile.
        served_by: Its endpoints. Empty: the only endpoint of the file.
        fallbacks: Models to call if it fails. None: the rest of the ranking.
        requests_per_minute: Rate limit. None: no limit.
        tokens_per_minute: Rate limit. None: no limit.
    """

    model: str | None = None
    request: dict[str, Any] = {}
    weight: Positive | None = None
    served_by: list[ServedBy] = []
    fallbacks: list[str] | None = None
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None


class KeyConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A client of the gateway.

    Attributes:
        env: Name of the environment variable that holds the client's key.
        models: Models that the client may use. Empty: all.
        budget_usd: Most USD that its answers may cost in a period. None: no limit.
        budget_window_s: Length of the period in seconds.
        requests_per_minute: Rate limit. None: no limit.
        operator: Whether the client may see the requests and the costs of all clients, at `/metrics` and `/v1/live`.
    """

    env: str
    models: list[str] = []
    budget_usd: Positive | None = None
    budget_window_s: Positive = 86_400.0
    requests_per_minute: Annotated[int, msgspec.Meta(ge=1)] | None = None
    operator: bool = False


class LogConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The log of the gateway.

    Attributes:
        file: The file, relative to that of the configuration. `.jsonl`: JSON Lines. `.sqlite`: a database.
        log: `decisions`, or `prompts` to write the prompts too, or `answers` to write prompts and answers.
        max_mb: Size of a file before the next one begins, in MB.
        keep: Number of older files.
    """

    file: str
    log: Literal["decisions", "prompts", "answers"] = "decisions"
    max_mb: Positive = 100.0
    keep: Annotated[int, msgspec.Meta(ge=0)] = 5


class GatewayConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The gateway.

    Attributes:
        baseline: Model to compare the cost with. None: no savings are reported.
        max_body_mb: Largest body of a request, in MB.
        max_concurrent: Most requests at the same time.
        read_s: Seconds until a request has arrived.
    """

    baseline: str | None = None
    max_body_mb: Positive = 32.0
    max_concurrent: Annotated[int, msgspec.Meta(ge=1)] = 2_000
    read_s: Positive = 30.0


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
    state: dict[str, Any] | None = None
    cascade: CascadeConfig | None = None
    gateway: GatewayConfig = GatewayConfig()
    aliases: dict[str, str | list[str]] = {}
    keys: dict[str, KeyConfig] = {}
    log: LogConfig | None = None
    experiment: dict[str, Any] | None = None


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
        calls: The keys of `[calls]` that the file has. The others have the defaults of `CallPolicy`.
        gateway: The limits of the gateway.
        aliases: More names that clients may ask for: each stands for another name, or for some models to choose from.
        keys: The clients of the gateway by name. Empty: it asks for no key.
        log: The log of the gateway. None: there is none.
        experiment: The experiment. None: there is none.
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
    calls: Mapping[str, Any] = field(default_factory=dict)
    gateway: GatewayConfig = GatewayConfig()  # noqa: RUF009 - a frozen value
    aliases: Mapping[str, str | list[str]] = field(default_factory=dict)
    keys: Mapping[str, KeyConfig] = field(default_factory=dict)
    log: LogConfig | None = None
    experiment: Experiment | None = None
