"""How much worse a cheaper model may look, so that switching to it costs no more quality than the caller allows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

from router.errors import InputError


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskCurve:
    """What switching away from the best single model cost on benchmark prompts that were held out.

    At a tolerance t a prompt goes to the cheapest model whose expected quality is at least the reference's less t. The
    larger t, the more prompts leave the reference.

    Attributes:
        reference: The model with the best mean score.
        n: Prompts.
        tolerances: In expected score, ascending.
        losses: Mean of the reference's score less that of the model chosen, by tolerance.
        deviations: Standard deviations of that difference over the prompts, by tolerance.
        savings: Share of the reference's cost that is saved, by tolerance; 0 where no cost is known.
    """

    reference: str
    n: int
    tolerances: Sequence[float]
    losses: Sequence[float]
    deviations: Sequence[float]
    savings: Sequence[float]

    def __post_init__(self) -> None:
        lengths = {len(values) for values in (self.tolerances, self.losses, self.deviations, self.savings)}
        if len(lengths) != 1 or list(self.tolerances) != sorted(self.tolerances):
            raise ValueError("a risk curve needs as many losses, deviations and savings as ascending tolerances")

    def choose(self, max_loss: float, confidence: float) -> float:
        """Return the largest tolerance whose average loss is at most `max_loss`; minus infinity where none is shown to be.

        Learn then Test (Angelopoulos et al., 2021, arXiv:2110.01052) by fixed-sequence testing: from the smallest tolerance
        up, as long as the hypothesis that the average loss exceeds `max_loss` is rejected at level 1 − confidence. The test
        is the one-sided z-test, valid as n grows; with few prompts nothing is rejected and nothing is switched.

        Args:
            max_loss: In expected score, as 0.02 for two points.
            confidence: In (0, 1): how sure that must be, over the draw of the benchmark's prompts.

        Raises:
            InputError: If one of them is out of range.
        """
        if not 0 <= max_loss <= 1:
            raise InputError(f"max_loss must be in [0, 1], was {max_loss!r}")
        if not 0 < confidence < 1:
            raise InputError(f"confidence must be between 0 and 1, was {confidence!r}")
        margin = NormalDist().inv_cdf(confidence) / math.sqrt(max(self.n, 1))
        chosen = -math.inf
        for tolerance, loss, deviation in zip(self.tolerances, self.losses, self.deviations, strict=True):
            if loss + margin * deviation > max_loss:
                break
            chosen = tolerance
        return chosen
