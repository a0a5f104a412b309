"""The name of a model at a provider in, its prices in the package `genai-prices` out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from decimal import Decimal

    from genai_prices.types import ModelInfo, ModelPrice

PACKAGE = "genai-prices"
# Our column, and its key in a price of the package.
_KEYS: Mapping[str, str] = {
    "input_usd_per_mtok": "input_mtok",
    "output_usd_per_mtok": "output_mtok",
    "cached_input_usd_per_mtok": "cache_read_mtok",
    "cache_write_usd_per_mtok": "cache_write_mtok",
    "audio_input_usd_per_mtok": "input_audio_mtok",
    "audio_output_usd_per_mtok": "output_audio_mtok",
    "image_input_usd_per_mtok": "input_image_mtok",
}
_BATCH_KEYS: Mapping[str, str] = {"batch_input_usd_per_mtok": "input_mtok", "batch_output_usd_per_mtok": "output_mtok"}
_BATCH = {"processing": "batch"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """The prices of a model.

    Attributes:
        usd_per_mtok: USD per million tokens, by column. A price that the list lacks is missing.
        dearer_above: A longer prompt, in tokens, costs more than these prices. None if none does.
        varies_by_time: Whether the price depends on the time of day.
    """

    usd_per_mtok: Mapping[str, Decimal]
    dearer_above: int | None
    varies_by_time: bool


class PriceList:
    """The prices that the installed package holds. It looks nothing up on the network.

    Args:
        today: The prices are those of this day at noon, UTC.

    Attributes:
        version: Version of the package.
        as_of: The newest day, up to `today`, on which one of its prices begins. So its data are at least as new.

    Raises:
        ImportError: If the package is missing.
    """

    def __init__(self, today: date) -> None:
        from genai_prices.data import providers

        self.version = version(PACKAGE)
        self._noon = datetime.combine(today, time(12), UTC)
        self._models = {f"{provider.id}/{model.id}": model for provider in providers for model in provider.models}
        self.as_of = max(day for model in self._models.values() for day in _find_days(model) if day <= today)

    def find(self, name: str) -> Listed | None:
        """Return the prices of a model. None if the list does not know it.

        Args:
            name: `PROVIDER/MODEL`, exactly as the package names them, such as `openai/gpt-5.5`.
        """
        model = self._models.get(name)
        if model is None:
            return None
        usual = model.get_prices(self._noon)
        prices = _read(usual, _KEYS)
        if any(
            variant.when == _BATCH and _is_active(variant.constraint, self._noon) for variant in model.price_variants or ()
        ):
            prices |= _read(model.get_prices(self._noon, _BATCH), _BATCH_KEYS)
        tiers = [tier.start for key in _KEYS.values() for tier in getattr(getattr(usual, key, None), "tiers", ())]
        return Listed(usd_per_mtok=prices, dearer_above=min(tiers, default=None), varies_by_time=_varies_by_time(model))

    def suggest(self, name: str) -> list[str]:
        """Return models that the package takes this name for, by its own rules. Another provider may have another price.

        Args:
            name: Name of a model without a provider.
        """
        return [known for known, model in self._models.items() if model.is_match(name)]


def _read(price: ModelPrice, keys: Mapping[str, str]) -> dict[str, Decimal]:
    """Return the prices by column. A price by length of the prompt counts as that of short prompts."""
    found: dict[str, Any] = {column: getattr(price, key, None) for column, key in keys.items()}
    return {column: getattr(value, "base", value) for column, value in found.items() if value is not None}


def _find_days(model: ModelInfo) -> Iterator[date]:
    """Yield the days on which prices of a model begin."""
    from genai_prices.types import StartDateConstraint

    conditional = model.prices if isinstance(model.prices, list) else []
    for price in (*conditional, *(model.price_variants or ())):
        if isinstance(price.constraint, StartDateConstraint):
            yield price.constraint.start_date


def _varies_by_time(model: ModelInfo) -> bool:
    from genai_prices.types import TimeOfDateConstraint

    conditional = model.prices if isinstance(model.prices, list) else []
    return any(isinstance(price.constraint, TimeOfDateConstraint) for price in conditional)


def _is_active(constraint: object, at: datetime) -> bool:
    return constraint is None or bool(constraint.active(at))  # type: ignore[attr-defined] # one of two classes of the package
