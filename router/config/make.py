"""A checked configuration in, the router that it describes out. Loading a file and checking it both end here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from router.errors import ConfigError, InputError
from router.model_folder.load import ModelFolder, find_model_folder, load_model_folder
from router.types import ModelProfile

if TYPE_CHECKING:
    from pathlib import Path

    from router.calls import AsyncExecutor, CallRequest, Chunk, Executor, Reply
    from router.config.schema import Config, ModelConfig
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
    kind: type[Router],
    config: Config,
    *,
    connect: Callable[[Mapping[str, Endpoint]], Executor | AsyncExecutor],
    folder: ModelFolder | None = None,
) -> Router:
    """Return the router that a configuration describes.

    Args:
        kind: The class of the router.
        config: The configuration.
        connect: Makes the executor for the endpoints.
        folder: The model folder. None: the one that the configuration names, or else the default one.

    Raises:
        ConfigError: If the parts of the configuration do not fit together.
        ModelFolderError: If the model folder cannot be loaded.
    """
    folder = folder or load_model_folder(config.model_folder or find_model_folder())
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
            experiment=config.experiment,
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
    by_name = {profile.name: profile for profile in profiles}
    for name, model in config.models.items():
        profile = _make_variant(config.path, name, model, by_name)
        if profile is not None:
            by_name[name] = profile
    for name, model in config.models.items():
        unknown = [other for other in (name, *(model.fallbacks or ())) if other not in by_name]
        if unknown:
            raise ConfigError(
                f"{config.path}: models.{name}: unknown models {unknown}; the model folder has: {', '.join(by_name)}"
            )
    chosen = [profile for profile in by_name.values() if profile.name in (config.models or by_name)]
    weights = {name: model.weight for name, model in config.models.items() if model.weight is not None}
    return tuple(replace(profile, weight=weights.get(profile.name, profile.weight)) for profile in chosen)


def _make_variant(path: Path, name: str, model: ModelConfig, profiles: Mapping[str, ModelProfile]) -> ModelProfile | None:
    """Return the profile of a variant that a configuration describes. None if it describes none.

    A variant that the model folder does not know has the figures of its model.

    Raises:
        ConfigError: If the description is incomplete, or names an unknown model.
    """
    if model.model is None and not model.request:
        return None
    if model.model is None or not model.request:
        raise ConfigError(f"{path}: models.{name}: model and request make a variant together; add the other one")
    base = profiles.get(model.model)
    if base is None:
        raise ConfigError(
            f"{path}: models.{name}.model: unknown model {model.model!r}; the model folder has: {', '.join(profiles)}"
        )
    known = profiles.get(name, base)
    try:
        return replace(known, name=name, variant_of=base.base, request=model.request)
    except InputError as error:
        raise ConfigError(f"{path}: models.{name}: {error}") from error
