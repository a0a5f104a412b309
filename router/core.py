"""The class `Router`: a prompt in, a decision or an answer out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, Unpack, overload

from router.call_options import CallKeywords, CallOptions
from router.caller import Caller, Planned, check_executor, name_tools
from router.classify.keywords import KeywordRules
from router.classify.text import Prompt, parse_prompt
from router.decide import Decider, check_profiles, make_predictor
from router.errors import InputError
from router.experiment.kinds import AbTest, Bandit, Experiment, Shadow
from router.experiment.split import Split
from router.html import make_model_table
from router.model_folder.load import ModelFolder, find_model_folder, load_model_folder
from router.options import RouteKeywords, RouteOptions, takes_options
from router.score.batch import Batch, spend
from router.score.feedback import Learner
from router.score.parameters import DEFAULT_PARAMETERS, ScoringParameters
from router.serving.fleet import Fleet
from router.serving.serving import Serving
from router.types import ModelProfile, Preference, Strategy, TaskPrediction, TierChoice

if TYPE_CHECKING:
    from router.calls import Completion
    from router.classify.classifier import TaskClassifier
    from router.decision import RoutingDecision
    from router.execution.async_driver import AsyncCompletionStream
    from router.execution.steps import Plan
    from router.execution.sync_driver import CompletionStream
    from router.experiment.shadow import Shadows


class RouterKeywords(RouteKeywords, total=False):
    """The keywords of `Router.load` and `Router.from_model_folder`. `Router` documents them."""

    strategy: str | Strategy
    serving: Serving | None
    learn: bool
    cache_size: int
    experiment: Experiment | None


class Router:
    """Decides which model should handle a prompt, and calls it if asked. Thread-safe. A pickled copy has no live state.

    Args:
        profiles: The models to choose from, each name once.
        classifier: Finds the task of a prompt. None: keyword rules only.
        rules: Keyword rules. None: those of the package.
        strategy: Ranks the candidates: a registered name, or any function from a `RoutingContext` to a ranking.
        parameters: What a benchmark taught besides the profiles: prompt heads, presets, risk curve.
        serving: How models are called: executor, endpoints, limits, spending. None: the router only decides.
        learn: Whether `feedback` and the length of answers change the profiles in memory. The model folder stays as it is.
        cache_size: Number of recent prompts whose task is cached, about 5 kB each. Keys are hashes. No text is kept.
        experiment: A `Shadow`, an `AbTest` or a `Bandit`. None: there is none. `route_many` and batches take no part in an
            A/B test. A bandit replaces the strategy and learns from feedback.
        problems: Sentences that go into the reasons of every decision.
        clock: Seconds that never go back, for latencies, cooldowns and deadlines.
        **defaults: Defaults for the options of every decision. See `RouteOptions`.

    Attributes:
        profiles: The models as they were given.
        defaults: The defaults as one value.
        fleet: The live state of the models. `router.fleet.live.begin(endpoint)` reports calls made without `complete`.
        learner: What feedback taught. None without `learn`.
        decider: Makes the decisions. `router.batch` asks it what it needs for many prompts at once.
        caller: Plans the calls. A server drives the plans itself.
        shadows: Makes the calls of a `Shadow`. None without one.

    Raises:
        InputError: If an option is unknown or out of range, or names a model or task that does not exist. If two profiles
            have one name, or no model can be called. If an experiment names something that does not exist.

    >>> router = Router.load(prefer="quality")
    >>> router.route("prove that sqrt(2) is irrational").task
    'math'
    >>> own = Router([ModelProfile(name="small", cost_usd=0.0001), ModelProfile(name="large", cost_usd=0.01)])
    >>> own.route("hello").model  # nothing is known about their quality, so the cheaper one
    'small'
    """

    @takes_options
    def __init__(
        self,
        profiles: Sequence[ModelProfile],
        classifier: TaskClassifier | None = None,
        *,
        rules: KeywordRules | None = None,
        strategy: str | Strategy = "contextual",
        parameters: ScoringParameters = DEFAULT_PARAMETERS,
        serving: Serving | None = None,
        learn: bool = False,
        cache_size: int = 1024,
        experiment: Experiment | None = None,
        problems: Sequence[str] = (),
        clock: Callable[[], float] = time.monotonic,
        **defaults: Unpack[RouteKeywords],
    ) -> None:
        self.profiles = check_profiles(profiles)
        self.defaults = RouteOptions.of(defaults)
        self._parameters = parameters
        self.fleet = Fleet(self.profiles, serving or Serving(), clock=clock)
        self.learner = Learner(self.profiles) if learn else None
        if isinstance(experiment, Bandit):
            strategy, self.learner = experiment.replace(strategy), Learner(self.profiles, memory=experiment.memory)
        self.decider = Decider(
            self.profiles,
            make_predictor(self.profiles, classifier, rules, cache_size=cache_size),
            parameters=parameters,
            strategy=strategy,
            fleet=self.fleet,
            problems=problems,
        )
        self.decider.check(self.defaults)
        split = Split(experiment, self.defaults, check=self.decider.check) if isinstance(experiment, AbTest) else None
        self.caller = Caller(self.decider, self.fleet, self.learner, split)
        self.shadows = self._make_shadows(experiment) if isinstance(experiment, Shadow) else None
        if self.fleet.state is not None and self.learner is not None:
            learner, decider = self.learner, self.decider
            self.fleet.state.share_learning(learner, lambda: decider.update_profiles(learner.profiles()))

    @property
    def presets(self) -> Mapping[str, Preference]:
        """The names that `prefer` accepts, each with its meaning."""
        return self._parameters.presets

    @classmethod
    def load(
        cls,
        path: str | Path | None = None,
        *,
        sha256: str | None = None,
        on_error: Literal["raise", "keywords"] = "raise",
        **keywords: Unpack[RouterKeywords],
    ) -> Router:
        """Load a model folder that `llm-router-train train` wrote.

        Args:
            path: The folder. None: `$LLM_ROUTER_MODEL`, or else the shipped folder.
            sha256: Expected hash of the manifest, to be sure that nobody changed the folder.
            on_error: `keywords`: if the classifier is damaged, keyword rules decide, and every decision says so.
            **keywords: `strategy`, `serving`, `learn` and `cache_size` as in `Router`, and its defaults.

        Raises:
            ModelFolderError: If the folder is missing, damaged, changed or of another version.
            InputError: If an option is unknown or out of range.

        >>> Router.load(strategy="contextual>dynamic", quality_floor=0.95).route("2 + 2?").strategy
        'contextual>dynamic'
        """
        if on_error not in ("raise", "keywords"):
            raise InputError(f"on_error must be 'raise' or 'keywords', got {on_error!r}")
        folder = Path(path) if path is not None else find_model_folder()
        return cls.from_model_folder(load_model_folder(folder, sha256=sha256, on_error=on_error), **keywords)

    @classmethod
    def from_config(cls, path: str | Path) -> Router:
        """Make the router that a configuration file describes. See `docs/operations.md`.

        Raises:
            ConfigError: If the file breaks a rule. The message names the line or the key.
            ModelFolderError: If the model folder that it names cannot be loaded.

        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "router.toml").write_text('strategy = "round-robin"')
        ...     Router.from_config(Path(folder, "router.toml")).route("hello").strategy
        'round-robin'
        """
        from router.config.make import connect_openai, make_router
        from router.config.read import read_config

        return make_router(cls, read_config(Path(path)), connect=connect_openai)

    @classmethod
    def from_model_folder(cls, folder: ModelFolder, **keywords: Unpack[RouterKeywords]) -> Router:
        """Make a router from a loaded model folder. The keywords are those of `load`.

        >>> Router.from_model_folder(load_model_folder(find_model_folder()), strategy="sticky").route("hello").strategy
        'sticky'
        """
        return cls(
            folder.profiles,
            folder.classifier,
            rules=folder.rules,
            parameters=folder.parameters,
            problems=folder.problems,
            **keywords,
        )

    @takes_options
    def route(self, prompt: Prompt, *, tools: object = None, **options: Unpack[RouteKeywords]) -> RoutingDecision:
        """Decide which model should handle a prompt.

        Args:
            prompt: Any text, or chat messages in the OpenAI form. The last request of the user decides.
            tools: The tools that the request offers. They count in its size, and the model must be able to call tools.
            **options: See `RouteOptions`.

        Raises:
            InputError: If an argument has the wrong type or an option is unknown. Never because of a text.
            NoCandidateError: If every model is excluded.

        >>> Router.load(prefer="quality").route("write a haiku about rain").task
        'writing'
        """
        return self.caller.decide(prompt, self._merge(options), tools=tools)

    @takes_options
    async def aroute(self, prompt: Prompt, *, tools: object = None, **options: Unpack[RouteKeywords]) -> RoutingDecision:
        """Like `route`, in another thread, so that the event loop goes on.

        >>> import asyncio
        >>> asyncio.run(Router.load().aroute("write a haiku about rain")).task
        'writing'
        """
        import asyncio

        return await asyncio.to_thread(self.route, prompt, tools=tools, **options)

    @takes_options
    def route_many(
        self, prompts: Sequence[Prompt], *, budget_usd: float | None = None, **options: Unpack[RouteKeywords]
    ) -> Batch:
        """Decide for several prompts. A budget buys the most quality for all of them together.

        The prompts are classified on all processors, equal ones once. Then they are decided one after the other.

        Args:
            prompts: Each as in `route`.
            budget_usd: Upper limit of the summed expected cost. It takes the place of the dial and the strategy: each
                prompt gets the model that uses the money best (`router.score.batch`).
            **options: See `RouteOptions`. The same for every prompt.

        Raises:
            InputError: As `route`, or if the budget is below the cost of the cheapest models, or a cost is unknown.
            NoCandidateError: As `route`.

        >>> prompts = ["write a haiku about rain", "prove that sqrt(2) is irrational"]
        >>> batch = Router.load().route_many(prompts, budget_usd=0.001)
        >>> [decision.task for decision in batch], batch.cost_usd <= 0.001
        (['writing', 'math'], True)
        """
        # A text is a sequence of its letters, which nobody means.
        # A table is a sequence of its column names.
        no_list = isinstance(prompts, str | bytes | Mapping) or hasattr(prompts, "columns")
        if no_list or not isinstance(prompts, Iterable):
            raise InputError(
                f"route_many needs a list of prompts, got {type(prompts).__name__}; write [prompt] for one, or take the "
                "column of a table"
            )
        decisions = self.decider.decide([parse_prompt(prompt) for prompt in prompts], self._merge(options))
        return Batch.of(decisions) if budget_usd is None else spend(decisions, budget_usd)

    def predict(self, prompt: Prompt, *, tools: object = None, tier: TierChoice | None = None) -> TaskPrediction:
        """Return the task of a prompt without choosing a model.

        Args:
            prompt: As in `route`.
            tools: As in `route`.
            tier: As in `RouteOptions`.

        Raises:
            InputError: If the prompt has the wrong type or the tier is unknown. Never because of a text.

        >>> Router.load().predict("write a haiku about rain").task
        'writing'
        """
        return self.decider.predict(parse_prompt(prompt, tools=name_tools(tools)), self._merge({"tier": tier}))

    @overload
    def complete(
        self, messages: Prompt, *, stream: Literal[False] = False, **options: Unpack[CallKeywords]
    ) -> Completion: ...
    @overload
    def complete(self, messages: Prompt, *, stream: Literal[True], **options: Unpack[CallKeywords]) -> CompletionStream: ...
    @takes_options
    def complete(
        self, messages: Prompt, *, stream: bool = False, **options: Unpack[CallKeywords]
    ) -> Completion | CompletionStream:
        """Route a prompt and call the model. If it fails, call the next model of the ranking.

        Args:
            messages: Chat messages in the OpenAI form, objects of the SDK included. A text is one user message.
            stream: Return the chunks as they come, after the first one has come. The stream is an iterator and a context
                manager, and has the whole `completion` at its end.
            **options: The options of the decision (see `RouteOptions`). The parameters of the SDK's
                `chat.completions.create()`, such as `temperature`, `tools` and `response_format`. They are sent to the
                model. And these:
                `timeout`: Seconds for the whole call, over all attempts. None: the deadline of `Serving.calls`.
                `accept`: Function of the `Reply`. If it returns False, the next model is asked. Not for streams.
                `fallbacks`: Models to call in this order if the first one fails, instead of the rest of the ranking.
                `request`: More parameters, for executors that take others than the SDK.

        Raises:
            InputError: As `route`, or if there is no executor, or it cannot be called from here.
            NoCandidateError: As `route`.
            ServingError: If there is no answer. `NoModelAvailableError`: all models cool down. `AllAttemptsFailedError`: all
                attempts failed. `DeadlineExceededError`: time ran out. `StreamInterruptedError`: the stream broke.
                `BudgetExceededError`: a limit is reached.

        >>> from router import FakeExecutor, Serving
        >>> router = Router.load(serving=Serving(executor=FakeExecutor({"gpt-5.5": ["Tea, please."]})))
        >>> router.complete("coffee or tea?", allowed={"gpt-5.5"}, temperature=0.2, timeout=5).text
        'Tea, please.'
        """
        from router.execution import sync_driver

        executor = check_executor(self.fleet.executor, "call", "complete() needs a synchronous one; await acomplete()")
        call = CallOptions.of(options, stream=stream, defaults=self.defaults)
        plan = self._follow(self.caller.plan(messages, call, began_at=self.fleet.now()), executor)
        return sync_driver.stream(plan, executor) if stream else sync_driver.complete(plan, executor)

    @overload
    async def acomplete(
        self, messages: Prompt, *, stream: Literal[False] = False, **options: Unpack[CallKeywords]
    ) -> Completion: ...
    @overload
    async def acomplete(
        self, messages: Prompt, *, stream: Literal[True], **options: Unpack[CallKeywords]
    ) -> AsyncCompletionStream: ...
    @takes_options
    async def acomplete(
        self, messages: Prompt, *, stream: bool = False, **options: Unpack[CallKeywords]
    ) -> Completion | AsyncCompletionStream:
        """Like `complete`, without blocking the event loop. The decision is made in another thread.

        >>> import asyncio
        >>> from router import FakeExecutor, Serving
        >>> router = Router.load(serving=Serving(executor=FakeExecutor({"gpt-5.5": ["Tea, please."]})))
        >>> asyncio.run(router.acomplete("coffee or tea?", allowed={"gpt-5.5"})).text
        'Tea, please.'
        """
        import asyncio

        from router.execution import async_driver

        executor = check_executor(self.fleet.executor, "acall", "acomplete() needs one that has acall()")
        call, began_at = CallOptions.of(options, stream=stream, defaults=self.defaults), self.fleet.now()
        plan = self._follow(await asyncio.to_thread(self.caller.plan, messages, call, began_at=began_at), executor)
        return await (async_driver.astream(plan, executor) if stream else async_driver.acomplete(plan, executor))

    def feedback(self, answered: RoutingDecision | Completion, score: float, *, model: str | None = None) -> None:
        """Report how good an answer was. Later decisions use it.

        Args:
            answered: The completion, or the decision that chose the model.
            score: How good the answer was, in [0, 1].
            model: The model that answered. None: that of the completion, or the first of the decision.

        Raises:
            InputError: If the router was made without `learn`, the model is unknown or the score is out of range.

        >>> router = Router.load(learn=True)
        >>> decision = router.route("write a haiku about rain")
        >>> router.feedback(decision, 0.0)
        >>> router.route("write a haiku about rain").scores[decision.model].quality < decision.scores[decision.model].quality
        True
        """
        if self.learner is None:
            raise InputError("feedback needs a router that learns; make it with learn=True")
        # A decision has no decision of its own. The answer knows which model gave it, also after a fallback.
        decision = getattr(answered, "decision", answered)
        if not hasattr(decision, "prediction"):
            raise InputError(f"feedback needs a completion or a decision of the router, got {type(answered).__name__}")
        self.learner.add_score(model or answered.model, decision.prediction.probabilities, score)
        self.decider.update_profiles(self.learner.profiles())

    def close(self) -> None:
        """Close the connections of `complete`. Calls under way fail. `with Router…` does that at its end.

        Calls of a shadow have five seconds to end.
        """
        if self.shadows is not None:
            self.shadows.close()
        self.fleet.close()
        if close := getattr(self.fleet.executor, "close", None):
            close()

    async def aclose(self) -> None:
        """Close the connections of `acomplete` on the running event loop. `async with Router…` does that at its end.

        Calls of a shadow have five seconds to end.
        """
        if self.shadows is not None:
            await self.shadows.aclose()
        self.fleet.close()
        if close := getattr(self.fleet.executor, "aclose", None):
            await close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        given = "".join(f", {name}={value!r}" for name, value in self.defaults.given().items())
        return f"<Router: {len(self.profiles)} models, strategy={self.decider.strategy.name!r}{given}>"

    def _repr_html_(self) -> str:
        return make_model_table(repr(self), self.profiles)

    def _merge(self, keywords: Mapping[str, Any]) -> RouteOptions:
        return RouteOptions.of(keywords).with_defaults(self.defaults)

    def _make_shadows(self, shadow: Shadow) -> Shadows:
        # Imported here, so that importing the router stays fast.
        from router.experiment.shadow import Shadows

        return Shadows(shadow, self.profiles, self.fleet)

    def _follow(self, planned: Planned, executor: Any) -> Plan:
        return planned.plan if self.shadows is None else self.shadows.follow(planned, executor)
