"""The largest tolerance at which switching to cheaper models loses no more quality than the caller allows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

from router.errors import InputError


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskCurve:
    """Measured loss of switching away from the best single model, on held-out benchmark prompts.

    At tolerance t, a prompt goes to the cheapest model whose expected quality is at least that of the reference less t. The
    larger t, the more prompts leave the reference.

    Attributes:
        reference: The model with the best mean score.
        n: Number of prompts.
        tolerances: Tolerances in expected score, ascending.
        losses: For each tolerance, the mean of the reference's score less that of the chosen model.
        deviations: For each tolerance, the standard deviation of that difference over the prompts.
        savings: For each tolerance, the saved share of the reference's cost. 0 if no cost is known.

    Raises:
        InputError: If the lists differ in length or the tolerances are not ascending.
    """

    reference: str
    n: int
    tolerances: Sequence[float]
    losses: Sequence[float]
    deviations: Sequence[float]
    savings: Sequence[float]

    def __post_init__(self) -> None:
        lengths = [len(values) for values in (self.tolerances, self.losses, self.deviations, self.savings)]
        if len(set(lengths)) != 1 or list(self.tolerances) != sorted(self.tolerances):
            raise InputError(
                "tolerances must be ascending, and as many as losses, deviations and savings, "
                f"got lengths {lengths} and tolerances {list(self.tolerances)}"
            )

    def choose(self, max_loss: float, confidence: float) -> float:
        """Return the largest tolerance whose average loss is at most `max_loss`. Minus infinity if no tolerance passes.

        Learn then Test (Angelopoulos et al., 2021, arXiv:2110.01052) by fixed-sequence testing. It starts at the smallest
        tolerance. It goes on as long as the hypothesis that the average loss exceeds `max_loss` is rejected at level
        1 − confidence. The test is the one-sided z-test, which is valid as n grows. With few prompts nothing is rejected, so
        no prompt is switched.

        Args:
            max_loss: Largest loss in expected score, in [0, 1]. 0.02 is two points.
            confidence: Probability that the bound holds, over the draw of the benchmark's prompts, in (0, 1).

        Raises:
            InputError: If an argument is out of range.
        """
        if not 0 <= max_loss <= 1:
            raise InputError(f"max_loss must be between 0 and 1, got {max_loss!r}")
        if not 0 < confidence < 1:
            raise InputError(f"confidence must be above 0 and below 1, got {confidence!r}")
        margin = NormalDist().inv_cdf(confidence) / math.sqrt(max(self.n, 1))
        chosen = -math.inf
        for tolerance, loss, deviation in zip(self.tolerances, self.losses, self.deviations, strict=True):
            # Stop at the first failure. A fixed sequence needs no correction for testing many tolerances.
            if loss + margin * deviation > max_loss:
                break
            chosen = tolerance
        return chosen
