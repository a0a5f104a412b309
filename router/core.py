"""The router: classify, score, rank, decide."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Literal

from router.artifacts import Artifact, find_artifact, load_artifact
from router.classifier import TaskClassifier, TaskOracle
from router.decision import RoutingDecision
from router.errors import InputError, NoCandidateError
from router.keywords import KeywordRules, default_rules
from router.scoring import DEFAULT_OUTPUT_TOKENS, PREFERENCES, ProfileTable
from router.strategies import STRATEGIES
from router.text import Prompt, Request, read_prompt
from router.types import ModelProfile, ModelScore, Preference, RoutingContext, Strategy, TaskPrediction

# Groups of tasks that people ask for by name.
FOCUS_AREAS: Mapping[str, tuple[str, ...]] = {
    "creative": ("writing", "brainstorming", "roleplay"),
    "technical": ("coding", "math", "reasoning"),
    "informative": ("qa", "extraction", "summarization", "classification"),
    "language": ("rewriting", "translation"),
    "ethical": ("ethics", "advice"),
}
_loading = threading.Lock()
_log = logging.getLogger("router")


class Router:
    """Decides which model should handle a prompt. Thread-safe; pickles.

    Args:
        profiles: The models to choose from.
        classifier: Tells the task of a prompt; None: keyword rules only.
        rules: Keyword rules; None: those that come with the package.
        strategy: Ranks the candidates: a registered name or any function from a `RoutingContext` to a ranking.
        prefer: The default of `route(prefer=…)`.
        quality_floor: The default of `route(quality_floor=…)`.
        max_cost_usd: The default of `route(max_cost_usd=…)`.
        problems: What failed on loading; stands in the reasons of every decision.

    Raises:
        InputError: If an option is unknown or out of range.
    """

    def __init__(
        self,
        profiles: Sequence[ModelProfile],
        classifier: TaskClassifier | None = None,
        *,
        rules: KeywordRules | None = None,
        strategy: str | Strategy = "contextual",
        prefer: str = "balanced",
        quality_floor: float | None = None,
        max_cost_usd: float | None = None,
        problems: Sequence[str] = (),
    ) -> None:
        self.profiles = tuple(profiles)
        rules = rules or default_rules()
        labels = classifier.tasks if classifier else _known_tasks(rules, self.profiles)
        self._oracle = TaskOracle(labels=labels, classifier=classifier, rules=rules)
        self._table = ProfileTable(self.profiles, labels)
        self._strategy_name, self._strategy = _find_strategy(strategy)
        self._preference = _find_preference(prefer, quality_floor)
        self._prefer, self._quality_floor = prefer, quality_floor
        self._max_cost_usd = _check_max_cost(max_cost_usd)
        self._problems = tuple(problems)

    @classmethod
    def load(
        cls,
        path: str | Path | None = None,
        *,
        sha256: str | None = None,
        on_error: Literal["raise", "keywords"] = "raise",
        strategy: str | Strategy = "contextual",
        prefer: str = "balanced",
        quality_floor: float | None = None,
        max_cost_usd: float | None = None,
    ) -> Router:
        """Load a model folder that `llm-router-train train` wrote.

        Args:
            path: The folder; None: `$LLM_ROUTER_MODEL`, else the shipped one.
            sha256: What its manifest must hash to, to be sure that nobody rewrote it.
            on_error: `keywords` goes on with keyword rules where the classifier is damaged; every decision says so.
            strategy: See `Router`.
            prefer: See `route`.
            quality_floor: See `route`.
            max_cost_usd: See `route`.

        Raises:
            ArtifactError: If the folder is missing, damaged, altered or of another version.
            InputError: If an option is unknown or out of range.
        """
        if on_error not in ("raise", "keywords"):
            raise InputError(f"on_error must be 'raise' or 'keywords', was {on_error!r}")
        artifact = load_artifact(Path(path) if path is not None else find_artifact(), sha256=sha256, on_error=on_error)
        return cls.from_artifact(
            artifact, strategy=strategy, prefer=prefer, quality_floor=quality_floor, max_cost_usd=max_cost_usd
        )

    @classmethod
    def from_artifact(
        cls,
        artifact: Artifact,
        *,
        strategy: str | Strategy = "contextual",
        prefer: str = "balanced",
        quality_floor: float | None = None,
        max_cost_usd: float | None = None,
    ) -> Router:
        """Make a router of a loaded model folder; the options are those of `load`."""
        return cls(
            artifact.profiles,
            artifact.classifier,
            rules=artifact.rules,
            strategy=strategy,
            prefer=prefer,
            quality_floor=quality_floor,
            max_cost_usd=max_cost_usd,
            problems=artifact.problems,
        )

    def route(
        self,
        prompt: Prompt,
        *,
        key: str = "",
        focus: str | None = None,
        prefer: str | None = None,
        quality_floor: float | None = None,
        max_cost_usd: float | None = None,
        allowed: Collection[str] | None = None,
        needs: Collection[str] = (),
    ) -> RoutingDecision:
        """Decide which model should handle a prompt.

        Args:
            prompt: Any text, or chat messages in the OpenAI form, of which the last user turn decides.
            key: What makes a choice sticky, such as a user or a session, for the strategies that look at it.
            focus: A named area (creative, technical, informative, language, ethical) or a task: what it must be about.
            prefer: `quality`, `balanced`, `cheap` or `fast`.
            quality_floor: In [0, 1]: the cheapest model whose expected quality is at least this share of the best
                candidate's. Takes the place of `prefer`.
            max_cost_usd: Models that are expected to cost more for this prompt are excluded.
            allowed: Names of the models that may be chosen; None: all.
            needs: Capabilities the model must have, such as `vision` or `tools`. An image in the messages needs `vision`.

        Raises:
            InputError: If an argument is of the wrong type or an option unknown. Never on a text.
            NoCandidateError: If every model is excluded; says by what.
        """
        request = read_prompt(prompt)
        preference = self._choose_preference(prefer, quality_floor)
        needed = frozenset(_check_names(needs, "needs")) | ({"vision"} if request.has_image else set())
        prediction, reasons = self._predict(request)
        if focus is not None:
            prediction = _narrow(prediction, _find_focus(focus, self._oracle.labels))
            reasons.append(f"focus {focus!r}: only its tasks count")
        limit = self._max_cost_usd if max_cost_usd is None else _check_max_cost(max_cost_usd)
        scores, excluded = self._score(request, prediction, preference, allowed=allowed, needs=needed, limit=limit)
        context = RoutingContext(
            prompt=request.turns[0],
            key=key,
            prediction=prediction,
            candidates=tuple(scores),
            scores=scores,
            preference=preference,
        )
        return RoutingDecision(
            ranking=_check_ranking(self._strategy(context), scores, self._strategy_name),
            prediction=prediction,
            scores=scores,
            strategy=self._strategy_name,
            preference=preference,
            excluded=excluded,
            reasons=(*self._problems, *reasons, *self._tell_too_long(request, scores), *_tell_unknown(scores, preference)),
        )

    def predict(self, prompt: Prompt) -> TaskPrediction:
        """Tell the task of a prompt, in its context where it is messages, without choosing a model.

        Args:
            prompt: See `route`.

        Raises:
            InputError: If the prompt is of the wrong type. Never on a text.
        """
        return self._predict(read_prompt(prompt))[0]

    def _predict(self, request: Request) -> tuple[TaskPrediction, list[str]]:
        """Tell the task of the last turn in its conversation, and what the caller should know of how."""
        prediction = self._oracle.predict(request.turns[0], request.turns[1:])
        inherits = prediction.inherited > 0.5  # noqa: PLR2004 - more than the turn itself
        reasons = ["the last turn says no task by itself: an earlier one decides"] if inherits else []
        if prediction.source != "classifier":
            reasons.append(_tell_source(prediction, has_classifier=self._oracle.classifier is not None))
            _log.info("%s", reasons[-1])
        return prediction, reasons

    def _choose_preference(self, prefer: str | None, quality_floor: float | None) -> Preference:
        if prefer is None and quality_floor is None:
            return self._preference
        if prefer is not None:  # a preference named in the call outweighs a floor set before
            return _find_preference(prefer, quality_floor)
        return _find_preference(self._prefer, quality_floor)

    def _score(
        self,
        request: Request,
        prediction: TaskPrediction,
        preference: Preference,
        *,
        allowed: Collection[str] | None,
        needs: frozenset[str],
        limit: float | None,
    ) -> tuple[dict[str, ModelScore], dict[str, str]]:
        """Score the models that may take the prompt, and tell of the others why not."""
        known = None if allowed is None else self._check_allowed(allowed)
        excluded = {p.name: reason for p in self.profiles if (reason := _why_not(p, known, needs))}
        excluded |= _too_small([p for p in self.profiles if p.name not in excluded], request.tokens)
        candidates = [name for name in self._table.names if name not in excluded]
        scores = self._table.score(candidates, prediction.probabilities, tokens=request.tokens, preference=preference)
        if limit is not None:
            dear = {name: score.cost_usd for name, score in scores.items() if (score.cost_usd or 0.0) > limit}
            excluded |= {name: f"expected cost {cost:.3g} USD is over {limit:g}" for name, cost in dear.items()}
            scores = {name: score for name, score in scores.items() if name not in dear}
        if not scores:
            raise NoCandidateError(excluded)
        return scores, excluded

    def _tell_too_long(self, request: Request, scores: Mapping[str, ModelScore]) -> list[str]:
        windows = [p.context_window for p in self.profiles if p.name in scores and p.context_window is not None]
        if len(windows) < len(scores) or request.tokens + DEFAULT_OUTPUT_TOKENS <= min(windows):
            return []
        return [f"about {request.tokens} tokens are more than any context window holds: the largest ones stay"]

    def _check_allowed(self, allowed: Collection[str]) -> frozenset[str]:
        names = frozenset(_check_names(allowed, "allowed"))
        unknown = sorted(names - set(self._table.names))
        if unknown:
            raise InputError(f"allowed names models that do not exist: {unknown}; known: {list(self._table.names)}")
        return names


@lru_cache(maxsize=1)
def _load_default() -> Router:
    return Router.load()


def default_router() -> Router:
    """Return the router that `route` uses: the model folder in `$LLM_ROUTER_MODEL`, else the shipped one, loaded once."""
    with _loading:  # lru_cache alone lets threads that come at the same time load one each
        return _load_default()


def route(
    prompt: Prompt,
    *,
    key: str = "",
    focus: str | None = None,
    prefer: str | None = None,
    quality_floor: float | None = None,
    max_cost_usd: float | None = None,
    allowed: Collection[str] | None = None,
    needs: Collection[str] = (),
) -> RoutingDecision:
    """Decide with the shipped model folder which model should handle a prompt; see `Router.route` for the options.

    >>> decision = route("prove that sqrt(2) is irrational")
    >>> decision.prediction.task
    'math'
    """
    return default_router().route(
        prompt,
        key=key,
        focus=focus,
        prefer=prefer,
        quality_floor=quality_floor,
        max_cost_usd=max_cost_usd,
        allowed=allowed,
        needs=needs,
    )


def _known_tasks(rules: KeywordRules, profiles: Sequence[ModelProfile]) -> tuple[str, ...]:
    return tuple(dict.fromkeys([*rules.phrases, *(task for profile in profiles for task in profile.quality)]))


def _why_not(profile: ModelProfile, allowed: frozenset[str] | None, needs: frozenset[str]) -> str | None:
    if allowed is not None and profile.name not in allowed:
        return "not among the allowed"
    if lacking := sorted(needs - profile.capabilities):
        return f"lacks {', '.join(lacking)}"
    return None


def _too_small(profiles: Sequence[ModelProfile], tokens: int) -> dict[str, str]:
    """Tell which models' context windows cannot hold prompt and answer.

    The size is an upper estimate, and a text alone must never leave nobody: where no window is large enough, the largest
    stay.
    """
    room = tokens + int(DEFAULT_OUTPUT_TOKENS)
    windows = {profile.name: profile.context_window or math.inf for profile in profiles}
    needed = min(room, max(windows.values(), default=0))
    return {
        name: f"needs about {room} tokens, its context window has {window}"
        for name, window in windows.items()
        if window < needed
    }


def _narrow(prediction: TaskPrediction, tasks: Collection[str]) -> TaskPrediction:
    """Condition the probabilities on a group of tasks; evenly spread where they give it none."""
    inside = {task: p if task in tasks else 0.0 for task, p in prediction.probabilities.items()}
    total = sum(inside.values())
    if total <= 0:
        inside = {task: 1.0 if task in tasks else 0.0 for task in inside}
        total = sum(inside.values())
    probabilities = {task: p / total for task, p in inside.items()}
    best = max(probabilities, key=lambda task: probabilities[task])
    return replace(prediction, task=best, confidence=probabilities[best], probabilities=probabilities)


def _find_focus(focus: str, labels: Sequence[str]) -> Collection[str]:
    tasks = [task for task in FOCUS_AREAS.get(focus, (focus,)) if task in labels] if isinstance(focus, str) else []
    if not tasks:
        raise InputError(f"focus must be one of {[*FOCUS_AREAS, *labels]}, was {focus!r}")
    return tasks


def _find_preference(prefer: str, quality_floor: float | None) -> Preference:
    if not isinstance(prefer, str) or prefer not in PREFERENCES:
        raise InputError(f"prefer must be one of {list(PREFERENCES)}, was {prefer!r}")
    if quality_floor is None:
        return PREFERENCES[prefer]
    try:
        return Preference(quality_floor=quality_floor)
    except (ValueError, TypeError) as error:
        raise InputError(f"quality_floor must be a number in [0, 1], was {quality_floor!r}") from error


def _find_strategy(strategy: str | Strategy) -> tuple[str, Strategy]:
    if callable(strategy):
        return getattr(strategy, "__name__", type(strategy).__name__), strategy
    if not isinstance(strategy, str) or strategy not in STRATEGIES:
        raise InputError(f"strategy must be a function or one of {list(STRATEGIES)}, was {strategy!r}")
    return strategy, STRATEGIES[strategy]


def _check_ranking(ranking: Sequence[str], scores: Mapping[str, ModelScore], strategy: str) -> tuple[str, ...]:
    if sorted(ranking) != sorted(scores):
        raise InputError(
            f"strategy {strategy!r} must rank every candidate exactly once, gave {len(ranking)} of {len(scores)}"
        )
    return tuple(ranking)


def _check_names(names: Collection[str], option: str) -> Collection[str]:
    if isinstance(names, str) or not isinstance(names, Collection) or not all(isinstance(name, str) for name in names):
        raise InputError(f"{option} must be a collection of names, such as {{'a', 'b'}}, was {names!r}")
    return names


def _check_max_cost(max_cost_usd: float | None) -> float | None:
    if max_cost_usd is None or (isinstance(max_cost_usd, (int, float)) and max_cost_usd >= 0):
        return max_cost_usd
    raise InputError(f"max_cost_usd must be a number that is not negative, was {max_cost_usd!r}")


def _tell_source(prediction: TaskPrediction, *, has_classifier: bool) -> str:
    if prediction.source == "keywords":
        why = "the classifier is unsure, a keyword rule fits" if has_classifier else "there is no classifier, a rule fits"
        return f"{why}: {prediction.task}"
    why = "the classifier is unsure" if has_classifier else "there is no classifier"
    return f"{why} and no keyword rule fits: all tasks count by their probabilities"


def _tell_unknown(scores: Mapping[str, ModelScore], preference: Preference) -> list[str]:
    """Tell where the caller's wish could not be heeded for want of figures."""
    told = []
    if preference.seconds_per_point != math.inf and all(score.latency_s is None for score in scores.values()):
        told.append("no candidate's latency is known: time does not count")
    for field, what in (("cost_usd", "cost"), ("latency_s", "latency")):
        guessed = sorted(name for name, score in scores.items() if field in score.assumed)
        if guessed and (field == "cost_usd" or preference.seconds_per_point != math.inf):
            told.append(f"{what} unknown, the known candidates' median assumed: {', '.join(guessed)}")
    return told
