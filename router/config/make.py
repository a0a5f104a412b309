"""A checked configuration in, the router that it describes out. Loading a file and checking it both end here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from router.errors import ConfigError, InputError
from router.model_folder.load import find_model_folder, load_model_folder
from router.types import ModelProfile

if TYPE_CHECKING:
    from router.calls import AsyncExecutor, CallRequest, Chunk, Executor, Reply
    from router.config.schema import Config
    from router.core import Router
    from router.execution.endpoint import Endpoint
    from router.execution.openai import OpenAIExecutor


@dataclass(frozen=True, slots=True)
class Unconnected:
    """An executor that knows its endpoints but calls none, to check a configuration without the SDK.

    Attributes:
        endpoints: The endpoints by name.
    """

    endpoints: Mapping[str, Endpoint]

    def call(self, request: CallRequest, /) -> Reply | Iterator[Chunk]:
        """Raise an `InputError`."""
        raise InputError(f"no call to {request.endpoint} is made while a configuration is checked; use Router.from_config")


def make_router(
    kind: type[Router], config: Config, *, connect: Callable[[Mapping[str, Endpoint]], Executor | AsyncExecutor]
) -> Router:
    """Return the router that a configuration describes.

    Args:
        kind: The class of the router.
        config: The configuration.
        connect: Makes the executor for the endpoints.

    Raises:
        ConfigError: If the parts of the configuration do not fit together.
        ModelFolderError: If the model folder cannot be loaded.
    """
    folder = load_model_folder(config.model_folder or find_model_folder())
    profiles = choose_profiles(config, folder.profiles)
    try:
        serving = config.serving
        if config.endpoints:
            serving = replace(serving, executor=connect(config.endpoints))
        return kind.from_model_folder(
            replace(folder, profiles=profiles),
            strategy=config.strategy,
            serving=serving,
            learn=config.learn,
            cache_size=config.cache_size,
            **config.defaults.given(),
        )
    except InputError as error:
        raise ConfigError(f"{config.path}: {error}") from error


def connect_openai(endpoints: Mapping[str, Endpoint]) -> OpenAIExecutor:
    """Return an executor that calls the endpoints through the SDK."""
    from router.execution.openai import OpenAIExecutor

    return OpenAIExecutor(endpoints)


def choose_profiles(config: Config, profiles: Sequence[ModelProfile]) -> tuple[ModelProfile, ...]:
    """Return the profiles of the models that a configuration names, with the weights that it gives them.

    Raises:
        ConfigError: If it names a model that the model folder lacks.
    """
    known = [profile.name for profile in profiles]
    for name, model in config.models.items():
        unknown = [other for other in (name, *(model.fallbacks or ())) if other not in known]
        if unknown:
            raise ConfigError(
                f"{config.path}: models.{name}: unknown models {unknown}; the model folder has: {', '.join(known)}"
            )
    chosen = [profile for profile in profiles if profile.name in (config.models or known)]
    weights = {name: model.weight for name, model in config.models.items() if model.weight is not None}
    return tuple(replace(profile, weight=weights.get(profile.name, profile.weight)) for profile in chosen)
