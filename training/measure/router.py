"""A configuration file in, a router that asks any of its models out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from router.config.make import connect_openai, make_router
from router.config.read import read_config
from router.core import Router
from router.errors import ConfigError
from router.model_folder.load import ModelFolder, find_model_folder, load_model_folder
from router.options import RouteOptions


def open_router(path: Path) -> tuple[Router, ModelFolder]:
    """Return the router of a configuration, without the options that would exclude models, and its model folder.

    Endpoints, limits, deadlines and retries are those of the file.

    Args:
        path: The file, as for `Router.from_config`.

    Raises:
        ConfigError: If the file breaks a rule, or has no endpoint.
        ModelFolderError: If the model folder cannot be loaded.
    """
    config = read_config(path)
    if not config.endpoints:
        raise ConfigError(f"{path}: no model can be called, because there are no [endpoints]; add one")
    folder = load_model_folder(config.model_folder or find_model_folder())
    # A measurement must not depend on what the router learns, and asks each model even if routing would not choose it.
    config = replace(config, defaults=RouteOptions(), strategy="contextual", learn=False)
    return make_router(Router, config, connect=connect_openai, folder=folder), folder
