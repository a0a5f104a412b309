"""A request and a group of LiteLLM's deployments in, the deployment of the model that the router chose out."""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Unpack

from litellm import Router as LiteLLMRouter
from litellm.types.router import CustomRoutingStrategyBase, RouterRateLimitErrorBasic

from router.core import Router
from router.options import RouteKeywords

# A deployment as LiteLLM holds it: `model_name`, `litellm_params`, `model_info`.
_Deployment = Mapping[str, Any]
_Messages = Sequence[Mapping[str, Any]]
_Request = Mapping[str, Any]


class RouterStrategy(CustomRoutingStrategyBase):
    """Chooses among the deployments of a group. LiteLLM makes the calls, with its own retries, cooldowns and budgets.

    The model of a deployment is its `model_info["base_model"]`, or else the end of its `litellm_params["model"]`:
    `openrouter/openai/gpt-5.5` is `gpt-5.5`. Deployments of one model share its requests at random. A deployment that failed
    in the same request is asked again only if no other is left. Deployments of models that the model folder does not know
    are chosen only if all are unknown, as in a group of embedding models.

    Args:
        litellm_router: The router of LiteLLM, whose groups have the deployments.
        router: Decides. None: the router of `Router.load()`.
        rng: Shares the requests among the deployments of one model. None: a new generator, seeded by the system.
        **options: Options of the decisions, such as `prefer`. See `RouteOptions`.

    Raises:
        NoCandidateError: A request raises it if no model of the group can take it.

    >>> params = [{"model": f"openai/{name}", "api_key": "none"} for name in ("gpt-5.5", "gpt-4.1-mini")]
    >>> gateway = LiteLLMRouter(model_list=[{"model_name": "auto", "litellm_params": each} for each in params])
    >>> strategy = RouterStrategy(gateway, prefer="quality")
    >>> gateway.register_plugin(strategy)
    >>> strategy.get_available_deployment("auto", [{"role": "user", "content": "hi"}])["litellm_params"]["model"]
    'openai/gpt-5.5'
    """

    def __init__(
        self,
        litellm_router: LiteLLMRouter,
        router: Router | None = None,
        *,
        rng: random.Random | None = None,
        **options: Unpack[RouteKeywords],
    ) -> None:
        self._litellm, self._router, self._options = litellm_router, router or Router.load(), options
        self._rng = rng or random.Random()  # noqa: S311 - no secret depends on it
        self._models = frozenset(profile.name for profile in self._router.profiles)

    async def async_get_available_deployment(
        self, model: str, messages: _Messages | None = None, *, request_kwargs: _Request | None = None, **selection: Any
    ) -> _Deployment:
        """Return a deployment of a group. LiteLLM leaves out those that cool down or do not fit the request.

        Args:
            model: Name of the group, or one that stands for a single deployment.
            messages: The messages of the request.
            request_kwargs: The other arguments of the request.
            **selection: More of the request by which LiteLLM leaves out deployments, such as `input`.
        """
        import asyncio

        found = await self._litellm.select(model, request_kwargs or {}, kind="healthy", messages=messages, **selection)
        # A name that stands for one deployment.
        if isinstance(found, Mapping):
            return found
        # In another thread, because the classifier computes for milliseconds.
        return await asyncio.to_thread(self._choose, found, messages, request_kwargs or {})

    def get_available_deployment(
        self, model: str, messages: _Messages | None = None, *, request_kwargs: _Request | None = None, **_: object
    ) -> _Deployment:
        """Like `async_get_available_deployment`. Only deployments that cool down are left out.

        Raises:
            RouterRateLimitErrorBasic: If all deployments of the group cool down.
        """
        group = self._litellm.registry().deployments(model) or []
        cooling = self._litellm.health().cooldowns.get_active_cooldowns([_id_of(each) for each in group], None)
        available = _without(group, [name for name, _ in cooling])
        if not available:
            raise RouterRateLimitErrorBasic(model=model)
        return self._choose(available, messages, request_kwargs or {})

    def _choose(self, deployments: Sequence[_Deployment], messages: _Messages | None, request: _Request) -> _Deployment:
        metadata = request.get("metadata") or request.get("litellm_metadata") or {}
        failed = [attempt.get("deployment_id") for attempt in metadata.get("previous_models") or ()]
        deployments = _without(deployments, failed) or deployments
        models = {name for each in deployments if (name := self._find_model(each))}
        if not messages or not models:
            return self._rng.choice(deployments)
        allowed = self._options.get("allowed")
        options: RouteKeywords = {"key": str(request.get("litellm_session_id") or ""), **self._options}
        options["allowed"] = models if allowed is None else models.intersection(allowed)
        decision = self._router.route(messages, tools=request.get("tools"), **options)
        return self._rng.choice([each for each in deployments if self._find_model(each) == decision.model])

    def _find_model(self, deployment: _Deployment) -> str | None:
        """Return the router's name of a deployment's model. None if it does not know it."""
        info, name = deployment.get("model_info") or {}, str(deployment["litellm_params"]["model"])
        parts = name.split("/")
        ends = ["/".join(parts[first:]) for first in range(len(parts))]
        return next((each for each in (info.get("base_model"), *ends) if each in self._models), None)


def _id_of(deployment: _Deployment) -> str:
    return str(deployment["model_info"]["id"])


def _without(deployments: Sequence[_Deployment], ids: Collection[object]) -> list[_Deployment]:
    return [each for each in deployments if _id_of(each) not in ids]
