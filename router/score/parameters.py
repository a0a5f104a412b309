"""The parameters that a benchmark sets besides the profiles: prompt heads, presets and risk curve."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from router.classify.heads import PromptHeads
from router.score.risk import RiskCurve
from router.types import Preference

# Value of a point of quality without a benchmark, in USD.
_USD_PER_POINT = 5e-4


def make_presets(usd_per_point: float) -> Mapping[str, Preference]:
    """Return the preferences that `prefer` can name.

    Args:
        usd_per_point: USD that a point of quality is worth under `balanced`.
    """
    return {
        "quality": Preference(),
        "balanced": Preference(usd_per_point=usd_per_point),
        "cheap": Preference(usd_per_point=usd_per_point / 10),
        "fast": Preference(usd_per_point=usd_per_point, seconds_per_point=1.0),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoringParameters:
    """Parameters of scoring that come from a benchmark, besides the profiles.

    Attributes:
        heads: Shifts of quality and cost by the text of a prompt. None: only the task counts.
        presets: The preferences that `prefer` can name.
        risk: Measured loss of switching to cheaper models, on held-out prompts. None if not measured.
        overlap: Share of prompts that are hard or easy for all models alike, for cascades. None if not measured.

    >>> ScoringParameters(presets=make_presets(0.0003)).presets["balanced"].usd_per_point
    0.0003
    """

    heads: PromptHeads | None = None
    presets: Mapping[str, Preference] = field(default_factory=lambda: make_presets(_USD_PER_POINT))
    risk: RiskCurve | None = None
    overlap: float | None = None


# The parameters of a router without a benchmark.
DEFAULT_PARAMETERS = ScoringParameters()
