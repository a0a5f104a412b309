"""Models at the prices of direct calls in, the same models at those of their providers' batch APIs out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from router.types import ModelProfile


def at_batch_prices(profiles: Iterable[ModelProfile]) -> tuple[ModelProfile, ...]:
    """Return the models with the prices of the batch APIs. A model without such prices keeps its own.

    >>> profile = ModelProfile(name="a", input_usd_per_mtok=2.0, output_usd_per_mtok=8.0, batch_input_usd_per_mtok=1.0)
    >>> [(p.input_usd_per_mtok, p.output_usd_per_mtok) for p in at_batch_prices([profile])]
    [(1.0, 8.0)]
    """
    return tuple(
        replace(
            profile,
            input_usd_per_mtok=_prefer(profile.batch_input_usd_per_mtok, profile.input_usd_per_mtok),
            output_usd_per_mtok=_prefer(profile.batch_output_usd_per_mtok, profile.output_usd_per_mtok),
        )
        for profile in profiles
    )


def _prefer(price: float | None, other: float | None) -> float | None:
    return other if price is None else price
