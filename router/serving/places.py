"""The models, their endpoints and the endpoints that an executor knows in, the endpoints of each model out."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from router.errors import InputError
from router.types import ModelProfile


def find_places(
    profiles: Sequence[ModelProfile], given: Mapping[str, Mapping[str, float]], known: Collection[str] | None
) -> dict[str, dict[str, float]]:
    """Return the endpoints of each model with their capacity. A model that cannot be called is missing.

    Args:
        profiles: The models.
        given: The endpoints that the user gave, by model. A model that is missing has one endpoint with its own name.
        known: The endpoints that the executor knows. None if it does not say, so that it can call every model.

    Raises:
        InputError: If a given endpoint is unknown, an endpoint serves no model, or no model has an endpoint.
    """
    places = {profile.name: dict(given.get(profile.name) or {profile.name: profile.weight}) for profile in profiles}
    if known is None:
        return places
    for model, endpoints in given.items():
        unknown = sorted(set(endpoints) - set(known))
        if unknown:
            raise InputError(
                f"endpoints[{model!r}] must name endpoints of the executor, got {unknown}; it has: "
                f"{', '.join(sorted(known))}"
            )
    served = {model: endpoints for model, endpoints in places.items() if set(endpoints) <= set(known)}
    if not served:
        raise InputError(
            f"no model has an endpoint: the executor has {sorted(known)}, the models are {', '.join(places)}; name the "
            "endpoints after the models, or say in Serving(endpoints={model: {endpoint: 1.0}}) which ones serve a model"
        )
    unused = sorted(set(known) - {endpoint for endpoints in served.values() for endpoint in endpoints})
    if unused:
        raise InputError(
            f"the executor's endpoints {unused} serve no model; remove them, or say in "
            "Serving(endpoints={model: {endpoint: 1.0}}) which model they serve"
        )
    return served
