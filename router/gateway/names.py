"""The model that a client asks for in, how the router should choose out."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from router.errors import InputError
from router.options import RouteOptions

if TYPE_CHECKING:
    from router.config.schema import Config
    from router.core import Router

AUTO = "auto"
_LONGEST_NAME = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """How the router should choose.

    Attributes:
        options: The options that the name stands for.
        fallbacks: Models to ask if the first one fails. None: the rest of the ranking.
    """

    options: RouteOptions
    fallbacks: Sequence[str] | None = None


class Names:
    """The names of models that clients may ask for.

    - `auto`: the router chooses. `auto:cheap`, and so on for each position of the dial, chooses at that position.
    - An alias of the configuration stands for another name, or for some models to choose from.
    - The name of a model stands for that model, then for its fallbacks.

    Args:
        presets: The named positions of the dial.
        models: The models.
        fallbacks: The fallbacks of models that have some.
        aliases: The aliases.

    Raises:
        InputError: If an alias hides another name, or stands for an unknown one.
    """

    def __init__(
        self,
        presets: Collection[str],
        models: Sequence[str],
        fallbacks: Mapping[str, Sequence[str]],
        aliases: Mapping[str, str | Sequence[str]],
    ) -> None:
        self._choices = {AUTO: Choice(options=RouteOptions())}
        self._choices |= {f"{AUTO}:{name}": Choice(options=RouteOptions(prefer=name)) for name in presets}
        self._choices |= {
            model: Choice(options=RouteOptions(allowed=(model,)), fallbacks=fallbacks.get(model, ())) for model in models
        }
        own = dict(self._choices)
        for alias, meant in aliases.items():
            if alias in own:
                raise InputError(f"aliases.{alias} is the name of a model or a position of the dial; choose another name")
            self._choices[alias] = _read_alias(alias, meant, own, models)

    def list_all(self, client_models: Collection[str] = ()) -> list[str]:
        """Return the names that a client may ask for: those of the dial, the models, the aliases.

        Args:
            client_models: Models that the client may use. Empty: all.
        """
        allowed = {name: choice.options.allowed for name, choice in self._choices.items()}
        return [
            name
            for name, models in allowed.items()
            if not (client_models and models and set(models).isdisjoint(client_models))
        ]

    def find(self, name: str, options: RouteOptions, client_models: Collection[str]) -> Choice:
        """Return how to choose for a request.

        Args:
            name: The model that the client asks for.
            options: The options of the request. They go before those of the name.
            client_models: Models that the client may use. Empty: all.

        Raises:
            UnknownModelError: If the name is unknown.
            InputError: If the client may use none of the models that remain.
        """
        choice = self._choices.get(name)
        if choice is None:
            raise UnknownModelError(f"the model {shorten(name)!r} does not exist; GET /v1/models lists the names")
        found = options.with_defaults(choice.options)
        allowed = [set(names) for names in (choice.options.allowed, options.allowed, client_models or None) if names]
        if allowed:
            kept = set.intersection(*allowed)
            if not kept:
                raise ForbiddenModelError(
                    f"none of the models of {shorten(name)!r} is allowed for this request; ask for {AUTO!r}"
                )
            found = replace(found, allowed=tuple(sorted(kept)))
        return Choice(options=found, fallbacks=_keep(choice.fallbacks, client_models))


def make_names(router: Router, config: Config | None) -> Names:
    """Return the names of a router with the aliases of a configuration.

    Raises:
        InputError: If an alias or the baseline names something unknown.
    """
    known = [profile.name for profile in router.profiles]
    baseline = None if config is None else config.gateway.baseline
    if baseline is not None and baseline not in known:
        raise InputError(f"gateway.baseline must be one of {', '.join(known)}, got {baseline!r}")
    served = [name for name in known if name not in router.fleet.unserved]
    return Names(list(router.presets), served, router.fleet.serving.fallbacks, {} if config is None else config.aliases)


class UnknownModelError(InputError):
    """A client asks for a model that does not exist."""


class ForbiddenModelError(InputError):
    """A client asks for a model that it may not use."""


def shorten(name: str) -> str:
    """Return a name that a client made up, as it may stand in messages and in the log."""
    return name[:_LONGEST_NAME].encode("utf-8", "replace").decode()


def _keep(fallbacks: Sequence[str] | None, client_models: Collection[str]) -> Sequence[str] | None:
    return fallbacks if fallbacks is None or not client_models else [m for m in fallbacks if m in client_models]


def _read_alias(alias: str, meant: str | Sequence[str], own: Mapping[str, Choice], models: Sequence[str]) -> Choice:
    if isinstance(meant, str):
        if meant not in own:
            raise InputError(f"aliases.{alias} must stand for one of {', '.join(own)}, got {meant!r}")
        return own[meant]
    unknown = [model for model in meant if model not in models]
    if unknown or not meant:
        raise InputError(f"aliases.{alias} must list some of {', '.join(models)}, got {list(meant)}")
    return Choice(options=RouteOptions(allowed=tuple(meant)))
