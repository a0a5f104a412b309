"""The router: classify, score, rank, decide."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Unpack, cast, overload

from router.allocation import Batch, spend
from router.artifacts import Artifact, find_artifact, load_artifact
from router.cache import CachedOracle
from router.candidates import find_unable, tell_too_long, tell_unknown
from router.classifier import Reading, TaskClassifier, TaskOracle, narrow, tell_source
from router.decision import RoutingDecision
from router.errors import InputError, NoCandidateError
from router.feedback import Learner
from router.keywords import KeywordRules, default_rules
from router.options import (
    CallOptions,
    Dial,
    RouteOptions,
    RouterOptions,
    check_cache_size,
    check_max_cost,
    check_names,
    check_ranking,
    check_tier,
    find_focus,
    find_strategy,
)
from router.scoring import DEFAULT_OUTPUT_TOKENS, UNCALIBRATED, Calibration, ProfileTable
from router.serving import Fleet, Serving
from router.text import Prompt, Request, read_prompt
from router.types import ModelProfile, ModelScore, Preference, RoutingContext, Strategy, TaskPrediction, TierChoice

if TYPE_CHECKING:
    from router.calls import Completion
    from router.execution import AsyncCompletionStream, CompletionStream, Plan

_loading = threading.Lock()
_log = logging.getLogger("router")
_UNSET = Dial()


class Router:
    """Decides which model should handle a prompt. Thread-safe; pickles.

    Args:
        profiles: The models to choose from.
        classifier: Tells the task of a prompt; None: keyword rules only.
        rules: Keyword rules; None: those that come with the package.
        strategy: Ranks the candidates: a registered name or any function from a `RoutingContext` to a ranking.
        prefer: The default of `route(prefer=…)`, as is each of these of that argument: at most one of it,
        quality_floor: this,
        cost_per_point: this, and
        max_loss: this; none is `prefer="balanced"`. Besides,
        confidence: and
        max_cost_usd: may be set.
        calibration: What a benchmark with prompts taught; None: tasks and profiles are all that counts.
        serving: How models are called: executor, endpoints, limits, what may be spent; None: the router only decides.
        learn: Whether `feedback` and the length of answers move the profiles; the model folder stays as it is.
        cache_size: How many of the latest prompts to know the task of without a second look, some 5 kB each; only that is
            kept, as a hash of the text: models are chosen anew every time.
        tier: The default of `route(tier=…)`.
        problems: What failed on loading; stands in the reasons of every decision.
        clock: Seconds that never go back, for latencies, cooldowns and deadlines.

    Attributes:
        profiles: The models as they were given.
        fleet: The live state of their endpoints; `router.fleet.live.begin(endpoint)` reports calls made without `complete`.
        learner: What was learnt of feedback; None where `learn` is off.

    Raises:
        InputError: If an option is unknown or out of range.

    >>> router = Router.load(prefer="quality")
    >>> router.route("prove that sqrt(2) is irrational").prediction.task
    'math'
    >>> own = Router([ModelProfile(name="small", cost_usd=0.0001), ModelProfile(name="large", cost_usd=0.01)])
    >>> own.route("hello").model  # nothing is known of either: the cheaper one
    'small'
    """

    def __init__(
        self,
        profiles: Sequence[ModelProfile],
        classifier: TaskClassifier | None = None,
        *,
        rules: KeywordRules | None = None,
        strategy: str | Strategy = "contextual",
        prefer: str | None = None,
        quality_floor: float | None = None,
        cost_per_point: float | None = None,
        max_loss: float | None = None,
        confidence: float | None = None,
        max_cost_usd: float | None = None,
        calibration: Calibration = UNCALIBRATED,
        serving: Serving | None = None,
        learn: bool = False,
        cache_size: int = 1024,
        tier: TierChoice = "auto",
        problems: Sequence[str] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.profiles = tuple(profiles)
        rules = rules or default_rules()
        labels = classifier.tasks if classifier else _known_tasks(rules, self.profiles)
        self._oracle = TaskOracle(labels=labels, classifier=classifier, rules=rules)
        self._readings = CachedOracle(self._oracle, size=check_cache_size(cache_size))
        self._calibration = calibration
        self._table = ProfileTable(self.profiles, labels, heads=calibration.heads)
        self._strategy_name, self._strategy = find_strategy(strategy)
        self._dial = Dial(
            prefer=prefer,
            quality_floor=quality_floor,
            cost_per_point=cost_per_point,
            max_loss=max_loss,
            confidence=confidence,
        )
        self._preference = self._dial.find_preference(calibration.presets, calibration.risk)
        self._max_cost_usd = check_max_cost(max_cost_usd)
        self._tier = check_tier(tier)
        self._problems = tuple(problems)
        self.fleet = Fleet(self.profiles, serving or Serving(), clock=clock)
        self.learner = Learner(self.profiles) if learn else None

    @property
    def presets(self) -> Mapping[str, Preference]:
        """What `prefer` may name, and what each means."""
        return self._calibration.presets

    @classmethod
    def load(
        cls,
        path: str | Path | None = None,
        *,
        sha256: str | None = None,
        on_error: Literal["raise", "keywords"] = "raise",
        **options: Unpack[RouterOptions],
    ) -> Router:
        """Load a model folder that `llm-router-train train` wrote.

        Args:
            path: The folder; None: `$LLM_ROUTER_MODEL`, else the shipped one.
            sha256: What its manifest must hash to, to be sure that nobody rewrote it.
            on_error: `keywords` goes on with keyword rules where the classifier is damaged; every decision says so.
            **options: See `Router`: `strategy`, `prefer`, `quality_floor`, `cost_per_point`, `max_loss`, `confidence`,
                `max_cost_usd`, `serving`, `learn`, `cache_size`, `tier`.

        Raises:
            ArtifactError: If the folder is missing, damaged, altered or of another version.
            InputError: If an option is unknown or out of range.

        >>> Router.load(strategy="contextual>dynamic", quality_floor=0.95).route("2 + 2?").strategy
        'contextual>dynamic'
        """
        if on_error not in ("raise", "keywords"):
            raise InputError(f"on_error must be 'raise' or 'keywords', was {on_error!r}")
        artifact = load_artifact(Path(path) if path is not None else find_artifact(), sha256=sha256, on_error=on_error)
        return cls.from_artifact(artifact, **options)

    @classmethod
    def from_config(cls, path: str | Path) -> Router:
        """Make the router that a configuration file describes (`router.config`), ready to `complete` if it names endpoints.

        Raises:
            ConfigError: If the file breaks a rule; names the line or the key.
            ArtifactError: If the model folder that it names cannot be loaded.

        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "router.toml").write_text('strategy = "round-robin"')
        ...     Router.from_config(Path(folder, "router.toml")).route("hello").strategy
        'round-robin'
        """
        from router.config import choose_profiles, make_serving, read_config

        config = read_config(Path(path))
        artifact = load_artifact(config.model_folder or find_artifact())
        profiles = choose_profiles(config, artifact.profiles)
        options: RouterOptions = {**config.options, "serving": make_serving(config)}
        return cls.from_artifact(replace(artifact, profiles=profiles), **options)

    @classmethod
    def from_artifact(cls, artifact: Artifact, **options: Unpack[RouterOptions]) -> Router:
        """Make a router of a loaded model folder; the options are those of `load`.

        >>> Router.from_artifact(load_artifact(find_artifact()), strategy="sticky").route("hello").strategy
        'sticky'
        """
        return cls(
            artifact.profiles,
            artifact.classifier,
            rules=artifact.rules,
            calibration=artifact.calibration,
            problems=artifact.problems,
            **options,
        )

    def route(
        self,
        prompt: Prompt,
        *,
        key: str = "",
        focus: str | None = None,
        prefer: str | None = None,
        quality_floor: float | None = None,
        cost_per_point: float | None = None,
        max_loss: float | None = None,
        confidence: float | None = None,
        max_cost_usd: float | None = None,
        allowed: Collection[str] | None = None,
        needs: Collection[str] = (),
        tier: TierChoice | None = None,
    ) -> RoutingDecision:
        """Decide which model should handle a prompt; the arguments are those of `router.route`.

        Where none of `prefer`, `quality_floor`, `cost_per_point` and `max_loss` is given, what the router was made with
        holds; likewise for `max_cost_usd` and `tier`.

        Raises:
            InputError: If an argument is of the wrong type or an option unknown. Never on a text.
            NoCandidateError: If every model is excluded; says by what.

        >>> Router.load(prefer="quality").route("write a haiku about rain").prediction.task
        'writing'
        """
        options: RouteOptions = {
            "key": key,
            "focus": focus,
            "prefer": prefer,
            "quality_floor": quality_floor,
            "cost_per_point": cost_per_point,
            "max_loss": max_loss,
            "confidence": confidence,
            "max_cost_usd": max_cost_usd,
            "allowed": allowed,
            "needs": needs,
        }
        request, preference = read_prompt(prompt), self._choose_preference(options)
        return self._decide(request, self._readings.read(request.turns, tier=self._choose_tier(tier)), preference, options)

    def _decide(self, request: Request, reading: Reading, preference: Preference, options: RouteOptions) -> RoutingDecision:
        """Choose for a prompt that was read."""
        needed = frozenset(check_names(options.get("needs", ()), "needs")) | ({"vision"} if request.has_image else set())
        reasons, prediction = self._tell_reading(reading), reading.prediction
        focus, limit = options.get("focus"), options.get("max_cost_usd")
        if focus is not None:
            prediction = narrow(prediction, find_focus(focus, self._oracle.labels))
            reading = replace(reading, prediction=prediction)
            reasons.append(f"focus {focus!r}: only its tasks count")
        limit = self._max_cost_usd if limit is None else check_max_cost(limit)
        allowed = options.get("allowed")
        scores, excluded = self._score(request, reading, preference, allowed=allowed, needs=needed, limit=limit)
        ranking, cooling = self._rank(request, options.get("key", ""), prediction, scores, preference)
        return RoutingDecision(
            ranking=ranking,
            prediction=prediction,
            scores=scores,
            strategy=self._strategy_name,
            preference=preference,
            excluded=excluded,
            reasons=(
                *self._problems,
                *reasons,
                *cooling,
                *tell_too_long([p for p in self.profiles if p.name in scores], request.tokens),
                *tell_unknown(scores, preference),
            ),
        )

    async def aroute(self, prompt: Prompt, **options: Unpack[RouteOptions]) -> RoutingDecision:
        """As `route`, in another thread: the event loop goes on meanwhile.

        Raises:
            InputError: As `route`.
            NoCandidateError: As `route`.

        >>> import asyncio
        >>> asyncio.run(Router.load().aroute("write a haiku about rain")).prediction.task
        'writing'
        """
        import asyncio

        return await asyncio.to_thread(self.route, prompt, **options)

    def route_many(
        self, prompts: Sequence[Prompt], *, budget_usd: float | None = None, **options: Unpack[RouteOptions]
    ) -> Batch:
        """Decide which model should handle each of several prompts; with a budget, for the most quality of all together.

        The prompts are read on all processors, each different one once; then they are decided one after the other.

        Args:
            prompts: As for `route`.
            budget_usd: Most that all of them may be expected to cost. It takes the place of `prefer` and of the strategy:
                of the models that may take a prompt, each gets the one that brings most where the money is worth most
                (`router.allocation`). The batch tells the shadow price: what one more point of quality would cost.
            **options: Those of `route`, for every prompt.

        Raises:
            InputError: As `route`; or if the budget is less than the cheapest models cost, or a cost is unknown.
            NoCandidateError: As `route`.

        >>> prompts = ["write a haiku about rain", "prove that sqrt(2) is irrational"]
        >>> batch = Router.load().route_many(prompts, budget_usd=0.001)
        >>> [decision.prediction.task for decision in batch], batch.cost_usd <= 0.001
        (['writing', 'math'], True)
        """
        preference, tier = self._choose_preference(options), self._choose_tier(options.get("tier"))
        requests = [read_prompt(prompt) for prompt in prompts]
        readings = self._readings.read_many([request.turns for request in requests], tier=tier)
        decisions = [
            self._decide(request, reading, preference, options) for request, reading in zip(requests, readings, strict=True)
        ]
        return Batch.of(decisions) if budget_usd is None else spend(decisions, budget_usd)

    @overload
    def complete(
        self, messages: Prompt, *, stream: Literal[False] = False, **options: Unpack[CallOptions]
    ) -> Completion: ...
    @overload
    def complete(self, messages: Prompt, *, stream: Literal[True], **options: Unpack[CallOptions]) -> CompletionStream: ...
    def complete(
        self, messages: Prompt, *, stream: bool = False, **options: Unpack[CallOptions]
    ) -> Completion | CompletionStream:
        """Route a prompt and call the model, or where it fails the next of the ranking.

        Args:
            messages: Chat messages in the OpenAI form; a text is one message of the user.
            stream: Whether to return the chunks as they come, once the first one has: an iterator and a context manager,
                which has the whole `completion` at its end.
            **options: Those of `route`; `request`, what is passed on to the model as it is (`tools`, `response_format`,
                `max_tokens`, …); `fallbacks`, whom to ask where the first model fails instead of the rest of the ranking.

        Raises:
            InputError: As `route`; or if there is no executor, or none that can be called from here.
            NoCandidateError: As `route`.
            ServingError: If there is no answer: all models cool down (`NoModelAvailableError`), failed
                (`AllAttemptsFailedError`), were too slow (`DeadlineExceededError`), broke off (`StreamInterruptedError`), or
                may not be asked any more (`BudgetExceededError`).

        >>> from router import FakeExecutor, Serving
        >>> router = Router.load(serving=Serving(executor=FakeExecutor({"gpt-5.5": ["Tea, please."]})))
        >>> router.complete("coffee or tea?", allowed={"gpt-5.5"}).text
        'Tea, please.'
        """
        from router.execution import drivers

        executor = _check_executor(self.fleet.executor, "call", "complete() needs a synchronous one; await acomplete()")
        plan = self._plan(messages, options, stream=stream, began_at=self.fleet.now())
        return drivers.stream(plan, executor) if stream else drivers.complete(plan, executor)

    @overload
    async def acomplete(
        self, messages: Prompt, *, stream: Literal[False] = False, **options: Unpack[CallOptions]
    ) -> Completion: ...
    @overload
    async def acomplete(
        self, messages: Prompt, *, stream: Literal[True], **options: Unpack[CallOptions]
    ) -> AsyncCompletionStream: ...
    async def acomplete(
        self, messages: Prompt, *, stream: bool = False, **options: Unpack[CallOptions]
    ) -> Completion | AsyncCompletionStream:
        """As `complete`, without blocking the event loop; the decision is made in another thread.

        >>> import asyncio
        >>> from router import FakeExecutor, Serving
        >>> router = Router.load(serving=Serving(executor=FakeExecutor({"gpt-5.5": ["Tea, please."]})))
        >>> asyncio.run(router.acomplete("coffee or tea?", allowed={"gpt-5.5"})).text
        'Tea, please.'
        """
        import asyncio

        from router.execution import drivers

        executor = _check_executor(self.fleet.executor, "acall", "acomplete() needs one that has acall()")
        plan = await asyncio.to_thread(self._plan, messages, options, stream=stream, began_at=self.fleet.now())
        return await (drivers.astream(plan, executor) if stream else drivers.acomplete(plan, executor))

    def close(self) -> None:
        """Close the connections of `complete`, where the executor keeps any; calls under way fail."""
        if close := getattr(self.fleet.executor, "close", None):
            close()

    async def aclose(self) -> None:
        """Close those of `acomplete` on the running event loop, best before it ends."""
        if close := getattr(self.fleet.executor, "aclose", None):
            await close()

    def feedback(self, decision: RoutingDecision, score: float, *, model: str | None = None) -> None:
        """Report how good an answer was; later decisions heed it.

        Args:
            decision: What chose the model.
            score: In [0, 1].
            model: Who answered; None: the decision's first.

        Raises:
            InputError: If the router was made without `learn`, the model is unknown or the score out of range.

        >>> router = Router.load(learn=True)
        >>> decision = router.route("write a haiku about rain")
        >>> router.feedback(decision, 0.0)
        >>> router.route("write a haiku about rain").scores[decision.model].quality < decision.scores[decision.model].quality
        True
        """
        if self.learner is None:
            raise InputError("feedback needs a router that learns; make it with learn=True")
        self.learner.add_score(model or decision.model, decision.prediction.probabilities, score)
        self._retabulate(self.learner)

    def _retabulate(self, learner: Learner) -> None:
        self._table = ProfileTable(learner.profiles(), self._oracle.labels, heads=self._calibration.heads)

    def _plan(self, messages: Prompt, options: CallOptions, *, stream: bool, began_at: float) -> Plan:
        request_options = dict(options.get("request") or {})
        route_options = cast("RouteOptions", {k: v for k, v in options.items() if k not in ("request", "fallbacks")})
        needs = frozenset(check_names(route_options.get("needs", ()), "needs")) | self._find_needs(request_options)
        request = read_prompt(messages)
        needs |= {"vision"} if request.has_image else set()
        route_options["needs"] = needs
        answer = request_options.get("max_tokens") or request_options.get("max_completion_tokens") or DEFAULT_OUTPUT_TOKENS
        return self.fleet.plan(
            self.route(messages, **route_options),
            [{"role": "user", "content": messages}] if isinstance(messages, str) else messages,
            options=request_options,
            stream=stream,
            needs=needs,
            tokens=request.tokens + int(cast("float", answer)),
            fallbacks=options.get("fallbacks"),
            learn=self._learn,
            began_at=began_at,
        )

    def _find_needs(self, request: Mapping[str, object]) -> frozenset[str]:
        """Return what a request takes for granted, as far as any profile says that its model can do it."""
        form = request.get("response_format")
        asked = {"tools"} if request.get("tools") else set()
        asked |= {"json"} if isinstance(form, Mapping) and str(form.get("type")).startswith("json") else set()
        return frozenset(asked & {capability for profile in self.profiles for capability in profile.capabilities})

    def _learn(self, completion: Completion) -> None:
        if self.learner is not None and completion.usage.output_tokens is not None:
            probabilities = completion.decision.prediction.probabilities
            self.learner.add_length(completion.model, probabilities, completion.usage.output_tokens)
            self._retabulate(self.learner)

    def _rank(
        self,
        request: Request,
        key: str,
        prediction: TaskPrediction,
        scores: Mapping[str, ModelScore],
        preference: Preference,
    ) -> tuple[tuple[str, ...], list[str]]:
        """Rank the models that may be asked now by the strategy, those that cool down after them, the soonest first."""
        cooling = self.fleet.find_cooling(list(scores))
        candidates = tuple(name for name in scores if name not in cooling) or tuple(scores)
        context = RoutingContext(
            prompt=request.turns[0],
            key=key,
            prediction=prediction,
            candidates=candidates,
            scores={name: scores[name] for name in candidates} if cooling else scores,
            preference=preference,
            loads=self.fleet.loads(candidates),
            inflight=self.fleet.inflight(candidates),
            weights=self.fleet.weights(candidates),
        )
        ranking = check_ranking(self._strategy(context), candidates, self._strategy_name)
        if not cooling:
            return ranking, []
        if len(candidates) == len(scores):
            return ranking, ["every model cools down after failures: the ranking tells who would be asked"]
        last = sorted(cooling, key=lambda name: math.inf if (at := cooling[name]) is None else at)
        return (*ranking, *last), [f"cooling down after failures, ranked last: {', '.join(last)}"]

    def predict(self, prompt: Prompt, *, tier: TierChoice | None = None) -> TaskPrediction:
        """Tell the task of a prompt, in its context where it is messages, without choosing a model.

        Args:
            prompt: See `route`, as is
            tier: this.

        Raises:
            InputError: If the prompt is of the wrong type or the tier unknown. Never on a text.

        >>> Router.load().predict("write a haiku about rain").task
        'writing'
        """
        return self._readings.read(read_prompt(prompt).turns, tier=self._choose_tier(tier)).prediction

    def _tell_reading(self, reading: Reading) -> list[str]:
        """Tell what the caller should know of how the last turn was read in its conversation."""
        prediction = reading.prediction
        inherits = prediction.inherited > 0.5  # noqa: PLR2004 - more than the turn itself
        reasons = ["the last turn says no task by itself: an earlier one decides"] if inherits else []
        if reading.problem is not None:
            reasons.append(reading.problem)
        if prediction.source != "classifier":
            reasons.append(tell_source(prediction, has_classifier=self._oracle.classifier is not None))
            _log.info("%s", reasons[-1])
        return reasons

    def _choose_tier(self, tier: TierChoice | None) -> TierChoice:
        return self._tier if tier is None else check_tier(tier)

    def _choose_preference(self, options: RouteOptions) -> Preference:
        dial = Dial(
            prefer=options.get("prefer"),
            quality_floor=options.get("quality_floor"),
            cost_per_point=options.get("cost_per_point"),
            max_loss=options.get("max_loss"),
            confidence=options.get("confidence"),
        )
        if dial == _UNSET:
            return self._preference
        return dial.or_else(self._dial).find_preference(self._calibration.presets, self._calibration.risk)

    def _score(
        self,
        request: Request,
        reading: Reading,
        preference: Preference,
        *,
        allowed: Collection[str] | None,
        needs: frozenset[str],
        limit: float | None,
    ) -> tuple[dict[str, ModelScore], dict[str, str]]:
        """Score the models that may take the prompt, and tell of the others why not."""
        known = None if allowed is None else self._check_allowed(allowed)
        excluded = find_unable(self.profiles, allowed=known, needs=needs, tokens=request.tokens)
        candidates = [name for name in self._table.names if name not in excluded]
        scores = self._table.score(
            candidates,
            reading.prediction.probabilities,
            tokens=request.tokens,
            preference=preference,
            latency_s=self.fleet.latency_s() if preference.seconds_per_point != math.inf else {},
            features=reading.features,
            trust=1.0 - reading.prediction.inherited,
        )
        if limit is not None:
            dear = {name: score.cost_usd for name, score in scores.items() if (score.cost_usd or 0.0) > limit}
            excluded |= {name: f"expected cost {cost:.3g} USD is over {limit:g}" for name, cost in dear.items()}
            scores = {name: score for name, score in scores.items() if name not in dear}
        if not scores:
            raise NoCandidateError(excluded)
        return scores, excluded

    def _check_allowed(self, allowed: Collection[str]) -> frozenset[str]:
        names = frozenset(check_names(allowed, "allowed"))
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
    cost_per_point: float | None = None,
    max_loss: float | None = None,
    confidence: float | None = None,
    max_cost_usd: float | None = None,
    allowed: Collection[str] | None = None,
    needs: Collection[str] = (),
    tier: TierChoice | None = None,
) -> RoutingDecision:
    """Decide with the shipped model folder, or `$LLM_ROUTER_MODEL`, which model should handle a prompt.

    The folder is loaded at the first call and kept. At most one of `prefer`, `quality_floor`, `cost_per_point` and
    `max_loss` says how quality is set against cost; without one it is `prefer="balanced"`.

    Args:
        prompt: Any text, or chat messages in the OpenAI form, of which the last user turn decides.
        key: What makes a choice sticky, such as a user or a session, for the strategies that look at it.
        focus: A named area (creative, technical, informative, language, ethical) or a task: what it must be about.
        prefer: `quality`: the best, whatever it costs; `balanced`: a point of quality is worth what it costs on average
            on the way from the cheapest model to the best (the knee of the curve); `cheap`: a tenth of that; `fast`: as
            `balanced`, and a second counts as much as a point.
        quality_floor: In [0, 1]: the cheapest model whose expected quality is at least this share of the best
            candidate's.
        cost_per_point: USD, above 0, that a prompt may cost more for one more point, 0.01 of expected quality.
        max_loss: In [0, 1]: the cheapest model that keeps the average loss against the best single model at this much
            of expected quality or less (`router.risk`), with
        confidence: In (0, 1), by default 0.95: how sure that is.
        max_cost_usd: Models that are expected to cost more for this prompt are excluded.
        allowed: Names of the models that may be chosen; None: all.
        needs: Capabilities the model must have, such as `vision` or `tools`. An image in the messages needs `vision`.
        tier: `auto`: where the classifier's first tier is sure of the task, its answer stands, in a fraction of a
            millisecond; `full`: the full classifier reads every prompt. None: `auto`.

    Returns:
        `model` is whom to call, `fallbacks` whom to ask next; `prediction` tells the task, `scores` the expected quality in
        [0, 1], cost in USD and latency in seconds of every candidate, `explain()` all of it in words.

    Raises:
        InputError: If an argument is of the wrong type or an option unknown. Never on a text.
        NoCandidateError: If every model is excluded; says by what.
        ArtifactError: If the model folder is missing or damaged.

    >>> decision = route("prove that sqrt(2) is irrational")
    >>> decision.prediction.task, decision.model in decision.scores, len(decision.fallbacks) > 0
    ('math', True, True)
    >>> route("write a haiku about rain", prefer="cheap", allowed={"gpt-5.5", "gpt-4.1-mini"}).model
    'gpt-4.1-mini'
    """
    return default_router().route(
        prompt,
        key=key,
        focus=focus,
        prefer=prefer,
        quality_floor=quality_floor,
        cost_per_point=cost_per_point,
        max_loss=max_loss,
        confidence=confidence,
        max_cost_usd=max_cost_usd,
        allowed=allowed,
        needs=needs,
        tier=tier,
    )


def _check_executor(executor: Any, way: str, remedy: str) -> Any:
    if executor is None:
        raise InputError("a call needs an executor; make the router with serving=Serving(executor=…)")
    if not hasattr(executor, way):
        raise InputError(f"the executor has no {way}(), was {type(executor).__name__}: {remedy}")
    return executor


def _known_tasks(rules: KeywordRules, profiles: Sequence[ModelProfile]) -> tuple[str, ...]:
    return tuple(dict.fromkeys([*rules.phrases, *(task for profile in profiles for task in profile.quality)]))
