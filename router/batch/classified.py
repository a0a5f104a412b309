"""Prompts come in, everything that scoring and the output need of their classification goes out, as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import IO, TYPE_CHECKING, get_args

import numpy as np

from router.batch.fault import Fault
from router.classify.text import ParsedPrompt, parse_prompt
from router.errors import InputError
from router.types import Source, Tier

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from router.decide import Decider
    from router.options import RouteOptions

_SOURCES: tuple[str, ...] = get_args(Source)
_TIERS: tuple[str, ...] = get_args(Tier)
_NEEDS_PROMPT = "the prompt is missing; it must be a text or a list of messages"


@dataclass(frozen=True, slots=True, kw_only=True)
class Classified:
    """The classification of n prompts, with t tasks and m models. A faulty prompt has an error and no candidates.

    Attributes:
        task: Index of the task, shape (n,). −1 if nothing speaks for any.
        confidence: Probability of that task, shape (n,).
        source: Index of the part that decided, shape (n,).
        tier: Index of the tier that read the prompt, shape (n,). −1 if none did.
        probabilities: Probability of each task of the profile table, shape (n, t).
        tokens: Size of the prompt, shape (n,).
        media: How many of the tokens are audio and images, shape (n, 2).
        shift: Shift of the quality by the prompt, shape (n, m), or (n, 1) without prompt heads.
        log_ratio: Logarithm of the ratio by which the prompt changes the cost, of the same shape.
        candidates: Whether a model can serve the prompt, shape (n, m).
        error: Why a row has no decision, shape (n,). Empty if it has one.
    """

    task: NDArray[np.int16]
    confidence: NDArray[np.float64]
    source: NDArray[np.int8]
    tier: NDArray[np.int8]
    probabilities: NDArray[np.float64]
    tokens: NDArray[np.int64]
    media: NDArray[np.int64]
    shift: NDArray[np.float32]
    log_ratio: NDArray[np.float32]
    candidates: NDArray[np.bool_]
    error: NDArray[np.str_]

    def save(self, stream: IO[bytes]) -> None:
        """Write the arrays, without pickle."""
        np.savez(stream, **{field.name: getattr(self, field.name) for field in fields(self)})

    @classmethod
    def load(cls, path: Path) -> Classified:
        """Read what `save` wrote."""
        with np.load(path, allow_pickle=False) as arrays:
            return cls(**{field.name: arrays[field.name] for field in fields(cls)})

    def name_sources(self) -> list[str | None]:
        """Return the part that decided each row. None if the row has an error."""
        return [None if error else _SOURCES[i] for i, error in zip(self.source.tolist(), self.error.tolist(), strict=True)]

    def name_tiers(self) -> list[str | None]:
        """Return the tier that read each row. None if none did."""
        return [None if i < 0 else _TIERS[i] for i in self.tier.tolist()]


def parse(value: object) -> ParsedPrompt | str:
    """Return a prompt, or the reason why it is none. The reason has no text of the prompt."""
    if value is None:
        return _NEEDS_PROMPT
    if isinstance(value, Fault):
        return value.reason
    try:
        return parse_prompt(value)  # type: ignore[arg-type] # a row may hold anything; an error says so
    except InputError as error:
        return str(error)


def classify(decider: Decider, prompts: Sequence[ParsedPrompt | str], options: RouteOptions) -> Classified:
    """Return the classification of prompts, one after the other, on this thread.

    Args:
        decider: The decider of a router.
        prompts: The prompts. A text is the reason why a row has none.
        options: The options, the router's defaults included.
    """
    table, never = decider.table, decider.exclude_always(options)
    tier, n, m = decider.find_tier(options, never), len(prompts), len(table.names)
    labels = {task: i for i, task in enumerate(table.tasks)}
    found = Classified(
        task=np.full(n, -1, np.int16),
        confidence=np.full(n, np.nan),
        source=np.zeros(n, np.int8),
        tier=np.full(n, -1, np.int8),
        probabilities=np.zeros((n, len(labels))),
        tokens=np.zeros(n, np.int64),
        media=np.zeros((n, 2), np.int64),
        shift=np.zeros((n, m if table.has_heads else 1), np.float32),
        log_ratio=np.zeros((n, m if table.has_heads else 1), np.float32),
        candidates=np.zeros((n, m), np.bool_),
        error=np.array([prompt if isinstance(prompt, str) else "" for prompt in prompts], np.str_),
    )
    # Few different sizes and needs, so each is looked up once.
    masks: dict[tuple[frozenset[str], int], NDArray[np.bool_]] = {}
    for i, prompt in enumerate(prompts):
        if isinstance(prompt, str):
            continue
        classification = decider.predictor.classify(prompt.turns, tier=tier, is_agent=prompt.is_agent)
        prediction = decider.narrow(classification.prediction, options)
        found.task[i] = -1 if prediction.task is None else labels[prediction.task]
        found.confidence[i] = prediction.confidence
        found.source[i] = _SOURCES.index(prediction.source)
        found.tier[i] = -1 if prediction.tier is None else _TIERS.index(prediction.tier)
        found.probabilities[i] = [prediction.probabilities.get(task, 0.0) for task in labels]
        found.tokens[i] = prompt.tokens
        found.media[i] = prompt.media
        shifts = table.find_shifts(classification.features, 1.0 - prediction.inherited)
        if shifts is not None:
            found.shift[i], found.log_ratio[i] = shifts
        kind = (frozenset(options.needs) | prompt.needs, prompt.tokens)
        if kind not in masks:
            excluded = {**never, **decider.exclude_unable(*kind, never)}
            masks[kind] = np.array([name not in excluded for name in table.names])
        found.candidates[i] = masks[kind]
    return found
