"""A model profile in, the columns out that describe the model in a benchmark file."""

from __future__ import annotations

import json

from router.types import PRICES, ModelProfile
from training.data.facts import find_model_of

# Columns with the same name and meaning in a profile.
_SAME = ("provider", *PRICES, "context_window")


def describe_model(profile: ModelProfile) -> dict[str, str]:
    """Return the facts of a model as text by column. Unknown ones are empty.

    Without them, a model folder that is trained on the results alone would know no prices, and no cap could be kept with it.

    >>> facts = describe_model(ModelProfile(name="m", input_usd_per_mtok=0.5, capabilities=frozenset({"tools", "vision"})))
    >>> facts["input_usd_per_mtok"], facts["output_usd_per_mtok"], facts["capabilities"]
    ('0.5', '', 'tools|vision')
    """
    same = {name: "" if (value := getattr(profile, name)) is None else str(value) for name in _SAME}
    # A variant that does not have the name of one cannot be told from a model in a benchmark file.
    is_variant = find_model_of(profile.name, profile.request) == profile.base
    return {
        **same,
        "output_tokens_ratio": str(profile.output_tokens_ratio) if is_variant else "",
        "capabilities": "|".join(sorted(profile.capabilities)),
        "request": json.dumps(profile.request) if is_variant else "",
        "as_of": profile.prices_as_of,
    }
