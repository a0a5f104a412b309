"""A model and its messages in, its answer out: from the store, or from a call within the budget."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections import Counter
from collections.abc import Mapping, Sequence

from router.calls import AttemptRecord, Completion
from router.core import Router
from router.errors import BudgetExceededError, InputError, NoCandidateError, RouterError, ServingError
from router.types import ModelProfile
from training.measure.budget import Budget
from training.measure.store import Answer, AnswerStore

Messages = Sequence[Mapping[str, str]]
# Tokens of the frame of a conversation, above those of its texts.
_FRAME_TOKENS, _MESSAGE_TOKENS = 32, 16
_STATUS = re.compile(r"\b[1-5]\d\d\b")
_LIMITS = ("max_tokens", "max_completion_tokens")
# Then a model is left alone for the rest of a run: its key is wrong, or its server is down.
_MOST_FAILURES = 5
# Together longer than a minute, which the limits of a configuration count by.
_PAUSES_S = (1.0, 5.0, 15.0, 30.0, 30.0)


class StoppedError(RouterError):
    """The run was stopped before the call."""


class NoAnswerError(RouterError):
    """A model gave no answer. The message names the model and the failures, never the prompt."""


class Answers:
    """Asks models, each question once. Thread-safe.

    Args:
        router: Calls the models. Its defaults must not restrict them.
        store: Keeps the answers.
        budget: The cap.
        max_tokens: Longest answer, which is sent with each call. Without it nobody knows what a call can cost.
        temperature: Sent with each call. None: nothing is sent.
        pauses_s: Seconds to wait, one after the other, while the limits of the configuration are reached.
    """

    def __init__(
        self,
        router: Router,
        store: AnswerStore,
        budget: Budget,
        *,
        max_tokens: int = 2048,
        temperature: float | None = None,
        pauses_s: Sequence[float] = _PAUSES_S,
    ) -> None:
        self._router, self._store, self._budget, self._pauses_s = router, store, budget, pauses_s
        self._parameters = {"max_tokens": max_tokens, **({} if temperature is None else {"temperature": temperature})}
        self._profiles = {profile.name: profile for profile in router.profiles}
        self._locks: dict[str, threading.Lock] = {}
        self._failures: Counter[str] = Counter()
        self._stopped = threading.Event()

    def stop(self) -> None:
        """Make no new call. Calls under way go on."""
        self._stopped.set()

    def check(self, model: str) -> None:
        """Raise an error if a model cannot be asked, or the cost of a call cannot be bounded.

        Raises:
            InputError: If it is unknown, or one of its prices.
        """
        price_most(self._find_profile(model), [], self.make_options(model))

    def ask(self, model: str, messages: Messages) -> Answer:
        """Return the answer of one model. No other model is asked.

        Args:
            model: Name of the model or the variant.
            messages: Chat messages.

        Raises:
            NoAnswerError: If the call failed, or the model failed too often before.
            OutOfBudgetError: If the call does not fit under the cap.
            StoppedError: After `stop`, if a call is needed.
            InputError: If the model or one of its prices is unknown.
        """
        options = self.make_options(model)
        key = _hash(model, options, messages)
        # Two rows with one question must not pay twice.
        with self._locks.setdefault(key, threading.Lock()):
            found = self._store.find(key)
            return found or self._pay(key, model, messages, options)

    def make_options(self, model: str) -> dict[str, object]:
        """Return the parameters of a request, those of a variant included.

        Raises:
            InputError: If the model is unknown.
        """
        own = self._find_profile(model).request
        # A variant may have a limit of its own, under either name.
        given = {
            name: value for name, value in self._parameters.items() if name not in _LIMITS or not set(_LIMITS) & set(own)
        }
        return {**given, **own}

    def _pay(self, key: str, model: str, messages: Messages, options: Mapping[str, object]) -> Answer:
        if self._failures[model] >= _MOST_FAILURES:
            raise NoAnswerError(f"{model}: not asked any more after {_MOST_FAILURES} calls in a row without an answer")
        once_usd = price_most(self._find_profile(model), messages, options)
        most_usd = once_usd * self._router.fleet.serving.calls.max_attempts
        self._budget.reserve(most_usd)
        spent_usd, answer, number = 0.0, None, None
        try:
            if self._stopped.is_set():
                raise StoppedError("the run was stopped")
            number = self._store.begin(key, model, most_usd)
            # From here on the cost is only known once the call has ended.
            spent_usd = most_usd
            completion = self._call(model, messages, options)
            answer, spent_usd = _make_answer(completion), sum_spent(completion.attempts, once_usd)
            self._failures[model] = 0
            return answer
        except (ServingError, NoCandidateError) as error:
            # Without attempts nothing was sent.
            spent_usd = sum_spent(getattr(error, "attempts", ()), once_usd)
            self._failures[model] += _is_down(error)
            raise NoAnswerError(f"{model}: {_describe(error)}") from error
        finally:
            if number is not None:
                self._store.end(number, spent_usd, answer)
            self._budget.settle(most_usd, spent_usd)

    def _call(self, model: str, messages: Messages, options: Mapping[str, object]) -> Completion:
        sent = [dict(message) for message in messages]
        for pause_s in (*self._pauses_s, None):
            try:
                # Without fallbacks no other model is asked.
                return self._router.complete(sent, allowed={model}, fallbacks=[], request=options)
            except BudgetExceededError as error:
                if pause_s is None or error.attempts or self._stopped.wait(pause_s):
                    raise
        raise AssertionError  # the last round returns or raises

    def _find_profile(self, model: str) -> ModelProfile:
        if model not in self._profiles:
            raise InputError(f"unknown model {model!r}; the configuration has: {', '.join(self._profiles)}")
        return self._profiles[model]


def price_most(profile: ModelProfile, messages: Messages, options: Mapping[str, object]) -> float:
    """Return the most USD that one attempt can cost. A token is at least one byte of UTF-8.

    It holds if the server keeps to the longest answer that it is asked for, and if the prices of the model folder are right.

    Args:
        profile: The model.
        messages: Chat messages with texts.
        options: Parameters of the request, with the longest answer among them.

    Raises:
        InputError: If a price or the longest answer is unknown.
    """
    inputs = (profile.input_usd_per_mtok, profile.cache_write_usd_per_mtok)
    input_usd, output_usd = max((usd for usd in inputs if usd is not None), default=None), profile.output_usd_per_mtok
    if profile.input_usd_per_mtok is None or input_usd is None or output_usd is None:
        raise InputError(
            f"{profile.name} has no price, so no cap can be kept; add its prices to the model folder, 0 if free"
        )
    limits = [limit for name in _LIMITS if isinstance(limit := options.get(name), int)]
    if not limits:
        raise InputError(f"{profile.name} sends no whole number as max_tokens, so no cap can be kept; correct its request")
    tokens = _FRAME_TOKENS + sum(_MESSAGE_TOKENS + len(message["content"].encode()) for message in messages)
    return (tokens * input_usd + max(limits) * output_usd) / 1e6


def sum_spent(attempts: Sequence[AttemptRecord], once_usd: float) -> float:
    """Return the USD that attempts have cost, at most if it is not known.

    An answer without usage, and an attempt that ended without a word of the server, count with the most that they can cost.
    A failure with a status is free.

    Args:
        attempts: The attempts.
        once_usd: The most that one can cost.
    """
    return sum(_find_cost(attempt, once_usd) for attempt in attempts)


def _find_cost(attempt: AttemptRecord, once_usd: float) -> float:
    if attempt.cost_usd is not None:
        return attempt.cost_usd
    is_refused = attempt.failure is not None and (
        attempt.failure not in ("transient", "cancelled", "rejected") or _STATUS.search(attempt.error) is not None
    )
    return 0.0 if is_refused else once_usd


def _is_down(error: ServingError | NoCandidateError) -> bool:
    """Return whether the next call of the model would most likely fail, too. A prompt that it cannot take says nothing."""
    last = error.attempts[-1].failure if isinstance(error, ServingError) and error.attempts else None
    return isinstance(error, ServingError) and last not in ("unable", "request", "rejected")


def _make_answer(completion: Completion) -> Answer:
    return Answer(
        text=completion.text,
        finish_reason=completion.finish_reason,
        cost_usd=completion.cost_usd,
        input_tokens=completion.usage.input_tokens,
        output_tokens=completion.usage.output_tokens,
        latency_s=completion.attempts[-1].seconds,
    )


def _hash(model: str, options: Mapping[str, object], messages: Messages) -> str:
    return hashlib.sha256(json.dumps([model, options, messages], sort_keys=True).encode()).hexdigest()


def _describe(error: RouterError) -> str:
    """Return the failures of a call: each kind once."""
    if isinstance(error, ServingError) and error.attempts:
        return "; ".join(dict.fromkeys(f"{attempt.failure}, {attempt.error}" for attempt in error.attempts))
    return str(error)
