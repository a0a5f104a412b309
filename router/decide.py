"""Prompts and options in, one `RoutingDecision` per prompt out."""

from __future__ import annotations

import logging
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from router.classify.cache import CachedPredictor
from router.classify.keywords import KeywordRules, default_rules
from router.classify.predictor import Classification, TaskPredictor, narrow
from router.decision import RoutingDecision
from router.errors import InputError, NoCandidateError
from router.score.candidates import find_unable
from router.score.profile_arrays import DEFAULT_OUTPUT_TOKENS
from router.score.reasons import (
    describe_classification,
    describe_cooling,
    describe_focus,
    describe_too_long,
    describe_unclaimed,
    describe_unknown,
    describe_unknown_parts,
)
from router.score.scoring import ProfileTable
from router.strategies import FOCUS_AREAS, find_sticky, make_strategy
from router.types import (
    ModelProfile,
    ModelScore,
    Preference,
    Ranking,
    RoutingContext,
    Strategy,
    TaskPrediction,
    TierChoice,
    WireProtocol,
)

if TYPE_CHECKING:
    from router.classify.classifier import TaskClassifier
    from router.classify.text import ParsedPrompt
    from router.options import RouteOptions
    from router.score.parameters import ScoringParameters
    from router.serving.fleet import Fleet

_NO_PARAMETERS: Mapping[str, object] = MappingProxyType({})

_log = logging.getLogger("contextual_llm_router")


@dataclass(frozen=True, slots=True)
class NamedStrategy:
    """A strategy and its name. One that was made by name pickles as its name, so the copy starts afresh.

    Attributes:
        name: A registered name, several joined by `>`, or the name of the function.
        rank: The strategy itself.
        by_name: Whether it was made by its name.
    """

    name: str
    rank: Strategy
    by_name: bool

    @classmethod
    def of(cls, strategy: str | Strategy) -> NamedStrategy:
        """Return a strategy with its name. One that is given by name is made anew.

        Raises:
            InputError: If the name is unknown.
        """
        if callable(strategy):
            return cls(getattr(strategy, "__name__", type(strategy).__name__), strategy, by_name=False)
        return cls(strategy, make_strategy(strategy), by_name=True)

    def __reduce__(self) -> tuple[Any, ...]:
        return NamedStrategy.of, (self.name if self.by_name else self.rank,)


class Decider:
    """Decides which model should handle a prompt. Thread-safe.

    Args:
        profiles: The models.
        predictor: Classifies the prompts.
        parameters: What a benchmark taught besides the profiles.
        strategy: Ranks the candidates.
        fleet: The live state of the models.
        problems: Sentences that go into the reasons of every decision.

    Attributes:
        strategy: The strategy with its name.
        predictor: Classifies the prompts.
    """

    def __init__(
        self,
        profiles: Sequence[ModelProfile],
        predictor: CachedPredictor,
        *,
        parameters: ScoringParameters,
        strategy: str | Strategy,
        fleet: Fleet,
        problems: Sequence[str],
    ) -> None:
        self.strategy = NamedStrategy.of(strategy)
        self.predictor, self._tasks = predictor, predictor.predictor.labels
        self._parameters, self._fleet, self._problems = parameters, fleet, tuple(problems)
        cascade = fleet.serving.cascade
        learned = cascade is not None and cascade.overlap is None
        self._cascade = replace(cascade, overlap=parameters.overlap) if cascade is not None and learned else cascade
        if fleet.state is not None:
            for sticky in find_sticky(self.strategy.rank):
                sticky.sessions = fleet.state.make_sessions(sticky.capacity)
        self.update_profiles(profiles)

    def update_profiles(self, profiles: Sequence[ModelProfile]) -> None:
        """Use these profiles of the same models from now on."""
        # One assignment, so that a decision in another thread sees the old ones or the new ones, never a mixture.
        self._models = ({profile.name: profile for profile in profiles}, self._tabulate(profiles))

    def _tabulate(self, profiles: Sequence[ModelProfile]) -> ProfileTable:
        return ProfileTable(profiles, self._tasks, heads=self._parameters.heads)

    def check(self, options: RouteOptions) -> None:
        """Raise an `InputError` if options name something unknown, or leave no model to choose from."""
        self.find_preference(options)
        models, _ = self._models
        excluded = self._fleet.unserved | _exclude_not_allowed(models, options.allowed)
        if len(excluded) == len(models):
            raise InputError(f"no model is left: {NoCandidateError(excluded)}")
        if options.focus is not None:
            find_focus(options.focus, self._tasks)

    def predict(self, prompt: ParsedPrompt, options: RouteOptions) -> TaskPrediction:
        """Return the task of a prompt."""
        tier = options.tier or "auto"
        return self.predictor.classify(prompt.turns, tier=tier, is_agent=prompt.is_agent).prediction

    def list_capabilities(self) -> frozenset[str]:
        """Return the capabilities that any model has."""
        models, _ = self._models
        return frozenset().union(*(profile.capabilities for profile in models.values()))

    def decide(
        self,
        prompts: Sequence[ParsedPrompt],
        options: RouteOptions,
        *,
        protocol: WireProtocol | None = None,
        endpoints: Collection[str] | None = None,
        owner: str = "",
        request: Mapping[str, object] = _NO_PARAMETERS,
    ) -> list[RoutingDecision]:
        """Decide which model should handle each prompt.

        Args:
            prompts: The prompts.
            options: The options, the router's defaults included. The same for every prompt.
            protocol: The protocol of the call that follows. Models without an endpoint that speaks it are excluded. None:
                no call follows.
            endpoints: Names of the endpoints that the call may ask. None: all.
            owner: Who sends the prompts. The sessions of different owners are kept apart.
            request: The parameters of the call that follows. Variants with other parameters are excluded.

        Raises:
            InputError: If an option names something unknown, or the strategy returns no ranking.
            NoCandidateError: If every model is excluded for a prompt.
        """
        preference, (models, _) = self.find_preference(options), self._models
        silent = {} if protocol is None else self._fleet.find_silent(protocol, endpoints)
        excluded = self.exclude_always(options) | silent | _exclude_variants(models, request)
        classified = self.predictor.classify_many(prompts, tier=self.find_tier(options, excluded))
        pairs = zip(prompts, classified, strict=True)
        return [
            self._decide(prompt, found, options, preference, excluded, owner=owner, protocol=protocol)
            for prompt, found in pairs
        ]

    def find_preference(self, options: RouteOptions) -> Preference:
        """Return how these options weigh quality against cost and time."""
        return options.find_preference(self._parameters.presets, self._parameters.risk)

    def exclude_always(self, options: RouteOptions) -> dict[str, str]:
        """Return the models that no prompt can get with these options, each with the reason."""
        models, _ = self._models
        return dict(self._fleet.unserved) | _exclude_not_allowed(models, options.allowed)

    def find_tier(self, options: RouteOptions, excluded: Collection[str]) -> TierChoice:
        """Return the tier that reads the prompts, if these models are excluded for all of them."""
        tier, (models, _) = options.tier or "auto", self._models
        # With one model left, the task changes nothing.
        return "first" if tier == "auto" and len(models) - len(excluded) == 1 else tier

    def narrow(self, prediction: TaskPrediction, options: RouteOptions) -> TaskPrediction:
        """Return the prediction within the focus of the options, if they have one."""
        return prediction if options.focus is None else narrow(prediction, find_focus(options.focus, self._tasks))

    def exclude_unable(self, needs: frozenset[str], tokens: int, never: Collection[str]) -> dict[str, str]:
        """Return the models that cannot serve a prompt, each with the reason.

        Args:
            needs: Capabilities that the prompt needs.
            tokens: Size of the prompt.
            never: Models that are excluded already. They are left out.
        """
        models, _ = self._models
        windows = self._fleet.context_limits()
        # An endpoint knows its own window better than the model's profile does.
        rest = {
            name: replace(profile, context_window=windows[name]) if name in windows else profile
            for name, profile in models.items()
            if name not in never
        }
        return find_unable(rest, needs=needs, tokens=tokens + int(DEFAULT_OUTPUT_TOKENS))

    @property
    def table(self) -> ProfileTable:
        """The profiles as arrays."""
        return self._models[1]

    def _decide(
        self,
        prompt: ParsedPrompt,
        classification: Classification,
        options: RouteOptions,
        preference: Preference,
        excluded: Mapping[str, str],
        *,
        owner: str,
        protocol: WireProtocol | None,
    ) -> RoutingDecision:
        reasons = self._describe_classification(classification)
        if options.focus is not None:
            classification = replace(classification, prediction=self.narrow(classification.prediction, options))
            reasons.append(describe_focus(options.focus))
        scores, excluded = self._score(prompt, classification, options, preference, excluded)
        key = name_key(owner, options.key or prompt.session.id)
        needs = frozenset(options.needs) | prompt.needs
        ranking = self._rank(prompt, classification, key, scores, preference, needs=needs, protocol=protocol)
        models, _ = self._models
        return RoutingDecision(
            ranking=tuple(ranking),
            prediction=classification.prediction,
            scores=scores,
            strategy=self.strategy.name,
            preference=preference,
            excluded=excluded,
            reasons=(
                *self._problems,
                *reasons,
                *ranking.reasons,
                *describe_too_long([models[name] for name in scores], prompt.tokens),
                *describe_unknown_parts(prompt.unknown_parts),
                *describe_unknown(scores, preference),
            ),
            requests={
                name: {"model": models[name].base, **models[name].request} for name in ranking if models[name].request
            },
            cascade=ranking.cascade,
        )

    def _describe_classification(self, classification: Classification) -> list[str]:
        """Return what a caller should know about how the task was found."""
        has_classifier = self.predictor.predictor.classifier is not None
        reasons = describe_classification(classification, has_classifier=has_classifier)
        if classification.prediction.source != "classifier":
            _log.info("%s", reasons[-1])
        return reasons

    def _score(
        self,
        prompt: ParsedPrompt,
        classification: Classification,
        options: RouteOptions,
        preference: Preference,
        never: Mapping[str, str],
    ) -> tuple[dict[str, ModelScore], dict[str, str]]:
        """Return the scores of the candidates, and the other models with the reason why each is excluded."""
        models, table = self._models
        needs = frozenset(options.needs) | prompt.needs
        excluded = dict(never) | self.exclude_unable(needs, prompt.tokens, never)
        # Live latencies cost a look at every endpoint, so only a preference that weighs time asks for them.
        weighs_time = preference.seconds_per_point != math.inf
        scores = table.score(
            [name for name in models if name not in excluded],
            classification.prediction.probabilities,
            tokens=prompt.tokens,
            media=prompt.media,
            preference=preference,
            latency_s=self._fleet.latency_s() if weighs_time else {},
            features=classification.features,
            trust=1.0 - classification.prediction.inherited,
        )
        limit = math.inf if options.max_cost_usd is None else options.max_cost_usd
        too_dear = {name: cost for name, score in scores.items() if (cost := score.cost_usd or 0.0) > limit}
        excluded |= {name: f"expected cost {cost:.3g} USD is over {limit:g}" for name, cost in too_dear.items()}
        scores = {name: score for name, score in scores.items() if name not in too_dear}
        if not scores:
            unclaimed = needs - self.list_capabilities()
            raise NoCandidateError(excluded, describe_unclaimed(unclaimed)) if unclaimed else NoCandidateError(excluded)
        return scores, excluded

    def _rank(
        self,
        prompt: ParsedPrompt,
        classification: Classification,
        key: str,
        scores: Mapping[str, ModelScore],
        preference: Preference,
        *,
        needs: frozenset[str],
        protocol: WireProtocol | None,
    ) -> Ranking:
        """Rank the models that can be called now, then those that cool down, the one that returns first before others."""
        cooling = self._fleet.find_cooling(list(scores))
        candidates = tuple(name for name in scores if name not in cooling) or tuple(scores)
        context = RoutingContext(
            prompt=prompt.turns[0],
            key=key,
            prediction=classification.prediction,
            candidates=candidates,
            scores={name: scores[name] for name in candidates} if cooling else scores,
            preference=preference,
            loads=self._fleet.loads(candidates),
            inflight=self._fleet.inflight(candidates),
            weights=self._fleet.weights(candidates),
            profiles=self._models[0],
            tokens=prompt.tokens,
            in_tool_call=prompt.session.in_tool_call,
            stuck=prompt.session.stuck,
            now_s=self._fleet.now(),
            needs=needs,
            protocol=protocol,
            cascade=self._cascade,
        )
        ranked = self.strategy.rank(context)
        ranking = ranked if isinstance(ranked, Ranking) else Ranking(ranked)
        _check_ranking(ranking, candidates, self.strategy.name)
        if not cooling:
            return ranking
        every = len(candidates) == len(scores)
        last = sorted(cooling, key=lambda name: math.inf if (at := cooling[name]) is None else at)
        reasons = [*ranking.reasons, describe_cooling(list(cooling) if every else last, every=every)]
        return Ranking([*ranking, *([] if every else last)], reasons=reasons, cascade=ranking.cascade)


def make_predictor(
    profiles: Sequence[ModelProfile], classifier: TaskClassifier | None, rules: KeywordRules | None, *, cache_size: int
) -> CachedPredictor:
    """Return the predictor of a router.

    Args:
        profiles: The models. Without a classifier, the tasks are those of the rules and of the profiles.
        classifier: The classifier. None: keyword rules only.
        rules: The keyword rules. None: those of the package.
        cache_size: Number of recent prompts whose task is cached.

    Raises:
        InputError: If the cache size is not a whole number of 0 or more.
    """
    _check_cache_size(cache_size)
    rules = rules or default_rules()
    profiled = (task for profile in profiles for task in profile.quality)
    tasks = classifier.tasks if classifier else tuple(dict.fromkeys([*rules.phrases, *profiled]))
    return CachedPredictor(TaskPredictor(labels=tasks, classifier=classifier, rules=rules), size=cache_size)


def check_profiles(profiles: Sequence[ModelProfile]) -> tuple[ModelProfile, ...]:
    """Return the profiles.

    Raises:
        InputError: If there is none, one is no profile, or two of them have one name.
    """
    # A generator is read once.
    given: tuple[object, ...] = tuple(profiles) if isinstance(profiles, Iterable) else (profiles,)
    checked = tuple(profile for profile in given if isinstance(profile, ModelProfile))
    if isinstance(profiles, ModelProfile) or len(checked) < len(given):
        raise InputError("profiles must be a sequence of ModelProfile; write [ModelProfile(name=...)]")
    if not checked:
        raise InputError("a router needs at least one model, got none; add a ModelProfile")
    names = [profile.name for profile in checked]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise InputError(
            f"each model needs a name of its own, got several profiles named {', '.join(repeated)}; rename them"
        )
    return checked


def name_key(owner: str, key: str) -> str:
    """Return a key that no other owner has. Empty if there is no key."""
    # The length goes in too, so that no name of an owner can be made to look like that of another and a key.
    return f"{len(owner)}:{owner}{key}" if owner and key else key


def find_focus(focus: str, tasks: Sequence[str]) -> Collection[str]:
    """Return the tasks of a named area, or the task itself.

    Raises:
        InputError: If it is neither an area nor a task.
    """
    found = [task for task in FOCUS_AREAS.get(focus, (focus,)) if task in tasks]
    if found:
        return found
    if focus in FOCUS_AREAS:
        raise InputError(
            f"focus {focus!r} means the tasks {', '.join(FOCUS_AREAS[focus])}, but the model folder has only "
            f"{', '.join(tasks)}; use one of these"
        )
    areas = [area for area, members in FOCUS_AREAS.items() if not set(members).isdisjoint(tasks)]
    raise InputError(f"focus must be one of {[*areas, *tasks]}, got {focus!r}")


def _exclude_not_allowed(models: Mapping[str, ModelProfile], allowed: Collection[str] | None) -> dict[str, str]:
    if allowed is None:
        return {}
    unknown = sorted(set(allowed) - set(models))
    if unknown:
        raise InputError(f"allowed names unknown models {unknown}; the router has: {', '.join(models)}")
    return {name: "not among the allowed models" for name in models if name not in set(allowed)}


def _exclude_variants(models: Mapping[str, ModelProfile], request: Mapping[str, object]) -> dict[str, str]:
    """Return the variants whose parameters differ from those of a call, each with the reason."""
    return {
        profile.name: f"its {name} is {value!r}, but the call has another one"
        for profile in models.values()
        for name, value in profile.request.items()
        if request.get(name, value) != value
    }


def _check_ranking(ranking: Sequence[str], candidates: Sequence[str], strategy: str) -> None:
    if len(ranking) != len(candidates) or set(ranking) != set(candidates):
        raise InputError(
            f"strategy {strategy!r} must rank every candidate exactly once, ranked {len(ranking)} of {len(candidates)}"
        )


def _check_cache_size(cache_size: int) -> None:
    if not isinstance(cache_size, int) or isinstance(cache_size, bool) or cache_size < 0:
        raise InputError(f"cache_size must be a whole number of 0 or more, got {cache_size!r}")
