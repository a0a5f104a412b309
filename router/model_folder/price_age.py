"""The models of a folder in, a warning about old prices out."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from router.dates import first_day
from router.types import ModelProfile

# A quarter. Makers change some list prices in each.
MAX_PRICE_AGE_DAYS = 90


def describe_old_prices(profiles: Sequence[ModelProfile], *, today: date) -> str | None:
    """Return a warning if prices are more than 90 days old. None if there are none. Prices without a date do not count.

    Args:
        profiles: The models.
        today: The day to count from.

    >>> profile = ModelProfile(name="a", input_usd_per_mtok=1.0, prices_as_of="2026-06")
    >>> describe_old_prices([profile], today=date(2026, 8, 30))
    >>> print(describe_old_prices([profile], today=date(2026, 8, 31)))
    the prices of 1 of 1 models are more than 90 days old (a: 2026-06); update them with llm-router-train prices, then train
    """
    dated = [(day, profile) for profile in profiles if (day := first_day(profile.prices_as_of))]
    old = [(day, profile) for day, profile in dated if (today - day).days > MAX_PRICE_AGE_DAYS]
    if not old:
        return None
    _, oldest = min(old, key=lambda pair: pair[0])
    return (
        f"the prices of {len(old)} of {len(profiles)} models are more than {MAX_PRICE_AGE_DAYS} days old "
        f"({oldest.name}: {oldest.prices_as_of}); update them with llm-router-train prices, then train"
    )
