"""The table `[cascade]` of a configuration file in, the options of a cascade out."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from router.cascade import DEFAULT_MIN_GAIN, Agreement, Cascade, Judge, Rates, TokenProbability
from router.errors import InputError


class CascadeConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the strategy `cascade` checks answers. The other fields are those of `router.Cascade` and its verifier.

    Attributes:
        verifier: `judge`, `agreement` or `logprobs`.
        model: The judge, or the model with which the first one must agree.
        threshold: Points of a judge from 0 to 10, or a log-probability. None: that of a `Judge`.
        accuracy: Share of right and of wrong answers that the verifier judges correctly. None: the two rates are given.
        true_accept: Share of right answers that it accepts.
        false_accept: Share of wrong answers that it accepts.
        overlap: Share of prompts that are hard or easy for all models alike. None: as measured for the model
            folder.
    """

    verifier: Literal["judge", "agreement", "logprobs"]
    model: str | None = None
    threshold: float | None = None
    rubric: str | None = None
    request: dict[str, Any] = {}
    over: Literal["mean", "min"] = "mean"
    accuracy: float | None = None
    true_accept: float | None = None
    false_accept: float | None = None
    max_models: int = 2
    overlap: float | None = None
    min_gain: float = DEFAULT_MIN_GAIN
    check_usd: float = 0.0
    check_s: float = 0.0

    def make_cascade(self) -> Cascade:
        """Return the options of the cascade.

        Raises:
            InputError: If a value is out of range or missing.
        """
        return Cascade(
            verifier=self._make_verifier(),
            rates=self._make_rates(),
            max_models=self.max_models,
            min_gain=self.min_gain,
            check_usd=self.check_usd,
            check_s=self.check_s,
            overlap=self.overlap,
        )

    def _make_verifier(self) -> Judge | Agreement | TokenProbability:
        if self.verifier == "logprobs":
            if self.threshold is None:
                raise InputError("logprobs need a threshold, 0 or less, such as threshold = -0.1")
            return TokenProbability(threshold=self.threshold, over=self.over)
        if self.model is None:
            raise InputError(f"{self.verifier} needs a model; add model = ...")
        if self.verifier == "agreement":
            return Agreement(model=self.model)
        named: dict[str, Any] = {"threshold": self.threshold, "rubric": self.rubric}
        chosen = {name: value for name, value in named.items() if value is not None}
        return Judge(model=self.model, request=self.request, **chosen)

    def _make_rates(self) -> Rates:
        if self.accuracy is not None and self.true_accept is None and self.false_accept is None:
            return Rates.of_accuracy(self.accuracy)
        if self.accuracy is None and self.true_accept is not None and self.false_accept is not None:
            return Rates(true_accept=self.true_accept, false_accept=self.false_accept)
        raise InputError("set accuracy, or true_accept and false_accept; `llm-router-train verifier FILE` measures them")
