"""Reported scores and lengths of answers come in, updated profiles go out."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Real

from router.errors import InputError
from router.types import Estimate, ModelProfile

# Largest possible variance of a score in [0, 1], so feedback never counts for more than it is worth.
_SCORE_VARIANCE = 0.25
# Smallest standard error of a prior. The prompts of a benchmark are never quite those of the caller, however many there are.
_MIN_STDERR = 0.02
# Number of answers that the length in a profile counts for.
_LENGTH_PRIOR = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Feedback on one model and one task. A prompt counts for a task with the probability of that task.

    Attributes:
        n: Number of scored answers.
        score: Sum of their scores.
        answers: Number of answers with a known length.
        output_tokens: Sum of their lengths.
    """

    n: float = 0.0
    score: float = 0.0
    answers: float = 0.0
    output_tokens: float = 0.0

    def __add__(self, more: Evidence) -> Evidence:
        return Evidence(
            n=self.n + more.n,
            score=self.score + more.score,
            answers=self.answers + more.answers,
            output_tokens=self.output_tokens + more.output_tokens,
        )


class Learner:
    """Collect feedback and return profiles that take it into account. Thread-safe. The given profiles never change.

    A quality is the posterior of a normal prior, given scores of variance 0.25 (Gelman et al., 2013, Bayesian Data
    Analysis, section 2.5). The prior is the mean and standard error in the profile. Once there is more evidence than
    `memory`, the old evidence fades. The prior loses weight evenly while the memory fills, because a prior from a large
    benchmark would outweigh all that can be remembered. So the learner notices if a model changes, and no single report
    outweighs all others.

    Args:
        profiles: The priors.
        memory: Number of answers to remember per model and task, > 0.

    Raises:
        InputError: If `memory` is not a positive number.
    """

    def __init__(self, profiles: Sequence[ModelProfile], *, memory: float = 500.0) -> None:
        if not (math.isfinite(memory) and memory > 0):
            raise InputError(f"memory must be a positive number of answers, got {memory!r}")
        self._priors = {profile.name: profile for profile in profiles}
        self._memory = memory
        self._evidence: dict[tuple[str, str], Evidence] = {}
        # What other processes have not heard yet.
        self._news: dict[tuple[str, str], Evidence] = {}
        self._lock = threading.Lock()

    @property
    def memory(self) -> float:
        """Number of answers to remember per model and task."""
        return self._memory

    def __getstate__(self) -> dict[str, object]:
        """Return the state without the lock, which cannot be pickled."""
        with self._lock:
            return {name: value for name, value in self.__dict__.items() if name != "_lock"} | {
                "_evidence": dict(self._evidence)
            }

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        self._lock = threading.Lock()

    def add_score(self, model: str, probabilities: Mapping[str, float], score: float) -> None:
        """Add the score of an answer.

        Args:
            model: The model that answered.
            probabilities: Probability of each task of the prompt.
            score: How good the answer was, in [0, 1].

        Raises:
            InputError: If the model is unknown or the score is out of range.
        """
        # numpy's numbers are registered as Real, too.
        given: object = score
        if isinstance(given, bool) or not isinstance(given, Real) or not 0 <= float(given) <= 1:
            raise InputError(f"score must be a number between 0 and 1, got {score!r}")
        self._check_model(model)
        with self._lock:
            for task, p in probabilities.items():
                if p > 0:
                    known = self._fade(model, task, "n", p)
                    more = Evidence(n=p, score=p * score)
                    self._evidence[model, task] = known + more
                    self._news[model, task] = self._news.get((model, task), Evidence()) + more

    def add_length(self, model: str, probabilities: Mapping[str, float], output_tokens: float) -> None:
        """Add the length of an answer.

        Args:
            model: The model that answered.
            probabilities: Probability of each task of the prompt.
            output_tokens: Length in tokens. A length that is negative or not finite is ignored.

        Raises:
            InputError: If the model is unknown.
        """
        self._check_model(model)
        # Lengths come from servers, not from the caller, so a bad one must not fail the call.
        if not (math.isfinite(output_tokens) and output_tokens >= 0):
            return
        with self._lock:
            for task, p in probabilities.items():
                if p > 0:
                    known = self._fade(model, task, "answers", p)
                    more = Evidence(answers=p, output_tokens=p * output_tokens)
                    self._evidence[model, task] = known + more
                    self._news[model, task] = self._news.get((model, task), Evidence()) + more

    def tell(self) -> dict[tuple[str, str], Evidence]:
        """Return what other processes have not heard yet, by model and task. It counts as told."""
        with self._lock:
            told, self._news = self._news, {}
            return told

    def take_back(self, told: Mapping[tuple[str, str], Evidence]) -> None:
        """Keep what could not be told, to tell it later."""
        with self._lock:
            for name, evidence in told.items():
                self._news[name] = evidence + self._news.get(name, Evidence())

    def hear(self, heard: Mapping[tuple[str, str], Evidence]) -> None:
        """Take over what all processes have learned together, by model and task."""
        with self._lock:
            known = {name: evidence for name, evidence in heard.items() if name[0] in self._priors}
            self._evidence = known | {name: known.get(name, Evidence()) + more for name, more in self._news.items()}

    def profiles(self) -> tuple[ModelProfile, ...]:
        """Return the profiles, in the given order, updated by the evidence so far."""
        with self._lock:
            evidence = dict(self._evidence)
        return tuple(_update_profile(prior, evidence, self._memory) for prior in self._priors.values())

    def export(self) -> dict[str, dict[str, Evidence]]:
        """Return the evidence by model and task, to store it or to merge it into a benchmark file."""
        with self._lock:
            evidence = dict(self._evidence)
        by_model: dict[str, dict[str, Evidence]] = {}
        for (model, task), known in evidence.items():
            by_model.setdefault(model, {})[task] = known
        return by_model

    def _check_model(self, model: str) -> None:
        if model not in self._priors:
            raise InputError(f"feedback must name one of {list(self._priors)}, got {model!r}")

    def _fade(self, model: str, task: str, field: str, more: float) -> Evidence:
        """Return the known evidence, reduced so that together with `more` it does not exceed the memory.

        Args:
            model: The model.
            task: The task.
            field: The field that counts, `n` or `answers`.
            more: Amount of evidence to be added.
        """
        known = self._evidence.get((model, task), Evidence())
        size: float = getattr(known, field)
        if size + more <= self._memory:
            return known
        kept = max(0.0, self._memory - more) / size
        if field == "n":
            return replace(known, n=known.n * kept, score=known.score * kept)
        return replace(known, answers=known.answers * kept, output_tokens=known.output_tokens * kept)


def _update_profile(prior: ModelProfile, evidence: Mapping[tuple[str, str], Evidence], memory: float) -> ModelProfile:
    quality, lengths = dict(prior.quality), dict(prior.output_tokens)
    for (model, task), known in evidence.items():
        if model != prior.name:
            continue
        # A task without a prior keeps the mean of the other tasks, see `tabulate_quality`.
        if known.n > 0 and task in quality:
            kept = max(0.0, 1 - known.n / memory)
            quality[task] = update_estimate(quality[task], n=known.n, mean=known.score / known.n, kept=kept)
        if known.answers > 0:
            before = lengths.get(task)
            weight = _LENGTH_PRIOR if before is not None else 0.0
            lengths[task] = (weight * (before or 0.0) + known.output_tokens) / (weight + known.answers)
    return replace(prior, quality=quality, output_tokens=lengths)


def update_estimate(prior: Estimate, *, n: float, mean: float, kept: float = 1.0) -> Estimate:
    """Return the posterior of a quality after n scores.

    Args:
        prior: The estimate before.
        n: Number of scores, > 0. It need not be whole.
        mean: Mean of the scores, in [0, 1].
        kept: Share of the prior's weight that is left, in [0, 1].
    """
    before, after = kept / max(prior.stderr, _MIN_STDERR) ** 2, n / _SCORE_VARIANCE
    return Estimate(
        mean=(before * prior.mean + after * mean) / (before + after), stderr=(before + after) ** -0.5, n=prior.n + n
    )
