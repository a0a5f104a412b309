"""What answers teach: scores and lengths that callers report, on top of what the benchmark told."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from router.errors import InputError
from router.types import Estimate, ModelProfile

# The largest variance that a score in [0, 1] can have: feedback never counts for more than it is worth.
_SCORE_VARIANCE = 0.25
# Below this a profile's standard error is taken for this: a benchmark's own prompts are never quite the caller's.
_LEAST_STDERR = 0.02
# How many answers the length that a profile names counts for.
_LENGTH_PRIOR = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What was reported of one model on one task; a prompt counts for a task with its probability.

    Attributes:
        n: Scored answers.
        score: Sum of their scores.
        answers: Answers whose length is known.
        output_tokens: Sum of their lengths.
    """

    n: float = 0.0
    score: float = 0.0
    answers: float = 0.0
    output_tokens: float = 0.0


class Learner:
    """Keeps evidence, and gives profiles that heed it. Thread-safe; the profiles it was given are never changed.

    A quality is the posterior of a normal prior, the profile's mean and standard error, given scores of variance 0.25
    (Gelman et al., 2013, Bayesian Data Analysis, section 2.5). Old evidence fades once there is more than `memory` of it, so
    that a model that changes is noticed, and so that no report can outweigh all others.

    Args:
        profiles: The priors.
        memory: Answers per model and task that are remembered, > 0.
    """

    def __init__(self, profiles: Sequence[ModelProfile], *, memory: float = 500.0) -> None:
        if not (math.isfinite(memory) and memory > 0):
            raise InputError(f"memory must be a positive number of answers, was {memory!r}")
        self._priors = {profile.name: profile for profile in profiles}
        self._memory = memory
        self._evidence: dict[tuple[str, str], Evidence] = {}
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, object]:
        """Leave the lock behind, and keep what was learnt."""
        with self._lock:
            return {name: value for name, value in self.__dict__.items() if name != "_lock"} | {
                "_evidence": dict(self._evidence)
            }

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        self._lock = threading.Lock()

    def add_score(self, model: str, probabilities: Mapping[str, float], score: float) -> None:
        """Heed how good an answer was.

        Args:
            model: Who gave it.
            probabilities: Of each task, of the prompt it answered.
            score: In [0, 1].

        Raises:
            InputError: If the model is unknown or the score out of range.
        """
        if isinstance(score, bool) or not isinstance(score, (int, float)) or not 0 <= score <= 1:
            raise InputError(f"score must be a number in [0, 1], was {score!r}")
        self._check(model)
        with self._lock:
            for task, p in probabilities.items():
                if p > 0:
                    known = self._faded(model, task, "n", p)
                    self._evidence[model, task] = replace(known, n=known.n + p, score=known.score + p * score)

    def add_length(self, model: str, probabilities: Mapping[str, float], output_tokens: float) -> None:
        """Heed how long an answer was, in tokens; what is not finite or negative is ignored."""
        self._check(model)
        if not (math.isfinite(output_tokens) and output_tokens >= 0):
            return
        with self._lock:
            for task, p in probabilities.items():
                if p > 0:
                    known = self._faded(model, task, "answers", p)
                    self._evidence[model, task] = replace(
                        known, answers=known.answers + p, output_tokens=known.output_tokens + p * output_tokens
                    )

    def profiles(self) -> tuple[ModelProfile, ...]:
        """Return the profiles, in the order given, as the evidence so far makes them."""
        with self._lock:
            evidence = dict(self._evidence)
        return tuple(_heed(prior, evidence) for prior in self._priors.values())

    def export(self) -> dict[str, dict[str, Evidence]]:
        """Return the evidence by model and task, to be kept or merged into a benchmark file."""
        with self._lock:
            evidence = dict(self._evidence)
        told: dict[str, dict[str, Evidence]] = {}
        for (model, task), known in evidence.items():
            told.setdefault(model, {})[task] = known
        return told

    def _check(self, model: str) -> None:
        if model not in self._priors:
            raise InputError(f"feedback must name one of {list(self._priors)}, was {model!r}")

    def _faded(self, model: str, task: str, counted: str, more: float) -> Evidence:
        """Return the evidence, so reduced that with `more` of it there is no more than is remembered."""
        known = self._evidence.get((model, task), Evidence())
        size: float = getattr(known, counted)
        if size + more <= self._memory:
            return known
        kept = max(0.0, self._memory - more) / size
        if counted == "n":
            return replace(known, n=known.n * kept, score=known.score * kept)
        return replace(known, answers=known.answers * kept, output_tokens=known.output_tokens * kept)


def _heed(prior: ModelProfile, evidence: Mapping[tuple[str, str], Evidence]) -> ModelProfile:
    quality, lengths = dict(prior.quality), dict(prior.output_tokens)
    for (model, task), known in evidence.items():
        if model != prior.name:
            continue
        if known.n > 0 and task in quality:
            quality[task] = update_estimate(quality[task], n=known.n, mean=known.score / known.n)
        if known.answers > 0:
            before = lengths.get(task)
            weight = _LENGTH_PRIOR if before is not None else 0.0
            lengths[task] = (weight * (before or 0.0) + known.output_tokens) / (weight + known.answers)
    return replace(prior, quality=quality, output_tokens=lengths)


def update_estimate(prior: Estimate, *, n: float, mean: float) -> Estimate:
    """Return the posterior of a quality after n scores of some mean.

    Args:
        prior: What was known before.
        n: Scores, > 0; need not be whole.
        mean: Their mean, in [0, 1].
    """
    before, after = 1 / max(prior.stderr, _LEAST_STDERR) ** 2, n / _SCORE_VARIANCE
    return Estimate(
        mean=(before * prior.mean + after * mean) / (before + after), stderr=(before + after) ** -0.5, n=prior.n + n
    )
