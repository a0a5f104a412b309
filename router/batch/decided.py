"""Prompts and options come in, the columns of their decisions go out: the same decisions as `Router.route_many`."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from router.batch.classified import Classified, classify, parse
from router.batch.scores import Scores, choose_best, score_prompts
from router.errors import InputError, NoCandidateError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from router.classify.text import ParsedPrompt
    from router.core import Router
    from router.decide import Decider
    from router.options import RouteOptions
    from router.score.scoring import ProfileTable

# The strategies that decide each prompt by itself. Others look at live load, or at the prompts before.
STRATEGIES = ("contextual", "model-aware", "consistent-hash", "weighted-key")


# Columns by their names, one value per row.
Columns: TypeAlias = dict[str, list[str | None] | list[float | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """The decisions of n rows, one list per column. A row with an error has None in all other columns.

    Attributes:
        task: The most likely task. None if nothing speaks for any.
        confidence: Probability of that task, in [0, 1].
        model: The chosen model.
        quality: Its expected score, in [0, 1].
        cost_usd: Its expected cost in USD. None if unknown.
        latency_s: Its expected seconds to a whole answer. None if unknown.
        source: The part that decided the task: `classifier`, `keywords` or `default`.
        tier: The tier of the classifier that read the prompt. None if none did.
        error: Why the row has no decision. None if it has one. It contains no prompt.
    """

    task: list[str | None]
    confidence: list[float | None]
    model: list[str | None]
    quality: list[float | None]
    cost_usd: list[float | None]
    latency_s: list[float | None]
    source: list[str | None]
    tier: list[str | None]
    error: list[str | None]

    def add_prefix(self, prefix: str) -> Columns:
        """Return the columns by their names in a table, which start with a prefix."""
        return {prefix + name: getattr(self, name) for name in COLUMNS}


COLUMNS = tuple(entry.name for entry in fields(Decided))
NUMBERS = ("confidence", "quality", "cost_usd", "latency_s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Sums over rows.

    Attributes:
        rows: Number of rows.
        errors: Number of rows without a decision.
        cost_usd: Summed expected cost. None if a cost is unknown.
        quality: Summed expected quality.
        tasks: Number of rows by task. `unknown` if nothing speaks for any.
        models: Number of rows by model.
    """

    rows: int = 0
    errors: int = 0
    cost_usd: float | None = 0.0
    quality: float = 0.0
    tasks: dict[str, int] = field(default_factory=dict)
    models: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, decided: Decided) -> Totals:
        """Return the sums over these decisions."""
        good = [i for i, error in enumerate(decided.error) if error is None]
        costs = [cost for i in good if (cost := decided.cost_usd[i]) is not None]
        return cls(
            rows=len(decided.error),
            errors=len(decided.error) - len(good),
            cost_usd=math.fsum(costs) if len(costs) == len(good) else None,
            quality=math.fsum(quality for quality in decided.quality if quality is not None),
            tasks=dict(Counter(decided.task[i] or "unknown" for i in good)),
            models=dict(Counter(model for model in decided.model if model is not None)),
        )

    @classmethod
    def add_up(cls, parts: Sequence[Totals]) -> Totals:
        """Return the sums over several totals. They do not depend on the order of the parts."""
        costs = [part.cost_usd for part in parts if part.cost_usd is not None]
        tasks, models = Counter[str](), Counter[str]()
        for part in parts:
            tasks.update(part.tasks)
            models.update(part.models)
        return cls(
            rows=sum(part.rows for part in parts),
            errors=sum(part.errors for part in parts),
            cost_usd=math.fsum(costs) if len(costs) == len(parts) else None,
            quality=math.fsum(part.quality for part in parts),
            tasks=dict(sorted(tasks.items())),
            models=dict(sorted(models.items())),
        )

    @property
    def mean_quality(self) -> float:
        """Mean expected quality of the rows that have a decision. NaN if none has."""
        return self.quality / (self.rows - self.errors) if self.rows > self.errors else math.nan

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return asdict(self)


class PromptDecider:
    """Decides blocks of prompts with one router, as `Router.route_many` does.

    Args:
        router: The router.
        options: The options of every decision.

    Raises:
        InputError: If the strategy needs live state or the prompts before, or an option names something unknown.
    """

    def __init__(self, router: Router, options: RouteOptions) -> None:
        self._decider: Decider = router.decider
        self._options = options.with_defaults(router.defaults)
        self._decider.check(self._options)
        self._preference = self._decider.find_preference(self._options)
        strategy = self._decider.strategy
        self._is_contextual = strategy.by_name and strategy.name == "contextual"
        if not strategy.by_name or strategy.name not in STRATEGIES:
            raise InputError(
                f"the strategy of a batch must decide each prompt by itself, got {strategy.name!r}; use one of "
                f"{', '.join(STRATEGIES)}"
            )

    @property
    def table(self) -> ProfileTable:
        """The profiles as arrays."""
        return self._decider.table

    def decide(self, values: Sequence[object]) -> Decided:
        """Return the decisions of prompts. A faulty one gets an error.

        Args:
            values: Texts, lists of messages, or anything else, which is faulty.
        """
        prompts = [parse(value) for value in values]
        if not self._is_contextual:
            return self._decide_each(prompts)
        classified, scores = self._classify(prompts)
        return self.describe(classified, scores, choose_best(self.table, scores, self._preference))

    def classify(self, values: Sequence[object]) -> tuple[Classified, Scores]:
        """Return the classification and the scores of prompts, with an error for each row that no model can take."""
        return self._classify([parse(value) for value in values])

    def score(self, classified: Classified) -> Scores:
        """Return the scores of classified prompts."""
        limit = self._options.max_cost_usd
        limit = math.inf if limit is None else limit
        return score_prompts(self.table, classified, limit, self._preference.risk_aversion)

    def describe(self, classified: Classified, scores: Scores, choices: NDArray[np.int64]) -> Decided:
        """Return the columns of decisions.

        Args:
            classified: The prompts.
            scores: Their scores.
            choices: Index of the model of each prompt, shape (n,). −1 if it has an error.
        """
        rows, names = np.arange(len(choices)), self.table.names
        good = choices >= 0
        chosen = [getattr(scores, name)[rows, choices] for name in ("quality", "cost_usd", "latency_s")]
        quality, cost_usd, latency_s = (_to_list(np.where(good, values, np.nan)) for values in chosen)
        return Decided(
            task=[None if i < 0 else self.table.tasks[i] for i in np.where(good, classified.task, -1).tolist()],
            confidence=_to_list(np.where(good, classified.confidence, np.nan)),
            model=[None if i < 0 else names[i] for i in choices.tolist()],
            quality=quality,
            cost_usd=cost_usd,
            latency_s=latency_s,
            source=classified.name_sources(),
            tier=[tier if is_good else None for tier, is_good in zip(classified.name_tiers(), good.tolist(), strict=True)],
            error=[error or None for error in classified.error.tolist()],
        )

    def _classify(self, prompts: Sequence[ParsedPrompt | str]) -> tuple[Classified, Scores]:
        classified = classify(self._decider, prompts, self._options)
        scores = self.score(classified)
        errors = classified.error.tolist()
        for i in np.flatnonzero(~scores.usable.any(axis=1)).tolist():
            prompt = prompts[i]
            if not isinstance(prompt, str):
                errors[i] = self._explain(prompt)
        return replace(classified, error=np.array(errors, np.str_)), scores

    def _explain(self, prompt: ParsedPrompt) -> str:
        """Return why no model can take a prompt."""
        try:
            self._decider.decide([prompt], self._options)
        except NoCandidateError as error:
            return str(error)
        raise AssertionError("scores and decisions must exclude the same models")  # pragma: no cover

    def _decide_each(self, prompts: Sequence[ParsedPrompt | str]) -> Decided:
        """Return the decisions of a strategy that is a function of one prompt."""
        columns: dict[str, list[Any]] = {name: [] for name in COLUMNS}
        for prompt in prompts:
            row = dict.fromkeys(COLUMNS)
            if isinstance(prompt, str):
                row["error"] = prompt
            else:
                row |= self._decide_one(prompt)
            for name, value in row.items():
                columns[name].append(value)
        return Decided(**columns)

    def _decide_one(self, prompt: ParsedPrompt) -> dict[str, Any]:
        try:
            (decision,) = self._decider.decide([prompt], self._options)
        except NoCandidateError as error:
            return {"error": str(error)}
        prediction, score = decision.prediction, decision.expected
        return {
            "task": prediction.task,
            "confidence": prediction.confidence,
            "model": decision.model,
            "quality": score.quality,
            "cost_usd": score.cost_usd,
            "latency_s": score.latency_s,
            "source": prediction.source,
            "tier": prediction.tier,
        }


def _to_list(values: NDArray[np.float64]) -> list[float | None]:
    """Return the values, with None for NaN."""
    return [None if math.isnan(value) else value for value in values.tolist()]
