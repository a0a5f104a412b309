"""A caller's messages and options in, a plan of the call out. Answers teach their length."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from router.classify.messages import read_messages
from router.classify.text import Prompt, parse_prompt
from router.decide import name_key
from router.errors import InputError, NoCandidateError
from router.score.profile_arrays import DEFAULT_OUTPUT_TOKENS

if TYPE_CHECKING:
    from router.call_options import CallOptions
    from router.calls import Completion
    from router.classify.text import ParsedPrompt
    from router.decide import Decider
    from router.decision import RoutingDecision
    from router.execution.steps import Plan
    from router.experiment.split import Split
    from router.options import RouteOptions
    from router.score.feedback import Learner
    from router.serving.fleet import Fleet

# What a request sends besides the messages, and models read.
_BESIDES_MESSAGES = ("tools", "functions", "response_format")


class Planned(NamedTuple):
    """A decision, and the plan of a call to its models.

    Attributes:
        decision: The decision.
        plan: The plan of the call.
        plan_alone: Returns the plan of another call with the same messages. It takes the decision with the models to ask,
            and parameters that replace those of the request. The answer comes whole.
    """

    decision: RoutingDecision
    plan: Plan
    plan_alone: Callable[[RoutingDecision, Mapping[str, object]], Plan]


class Caller:
    """Plans calls. Thread-safe.

    Args:
        decider: Decides which model is called.
        fleet: Plans the calls to the models of a decision.
        learner: Is told the length of each answer. None: nothing is learned.
        split: Assigns requests to the arms of an A/B test. None: there is none.
    """

    def __init__(self, decider: Decider, fleet: Fleet, learner: Learner | None, split: Split | None = None) -> None:
        self._decider, self._fleet, self._learner, self._split = decider, fleet, learner, split

    def plan(self, messages: Prompt, options: CallOptions, *, began_at: float) -> Planned:
        """Decide, and return the decision and the plan of the call.

        Args:
            messages: Chat messages in the OpenAI form. A text is one user message.
            options: Everything else about the call.
            began_at: Start of the call by the fleet's clock. The deadline counts from it.

        Raises:
            InputError: If a fallback is unknown, or as `Decider.decide`.
            NoCandidateError: If every model is excluded.
        """
        sent, request = read_messages(messages), options.request
        prompt = parse_prompt(sent, tools={name: request[name] for name in _BESIDES_MESSAGES if request.get(name)} or None)
        needs = frozenset(options.route.needs) | self._find_needs(request) | prompt.needs
        route, decision = self._decide(
            prompt,
            replace(options.route, needs=needs),
            protocol=options.protocol,
            endpoints=options.endpoints,
            owner=options.owner,
            request=request,
        )
        plan = partial(
            self._fleet.plan,
            messages=sent,
            needs=needs,
            tokens=prompt.tokens + _count_answer_tokens(request),
            learn=self._learn,
            protocol=options.protocol,
            endpoints=options.endpoints,
        )

        def plan_alone(alone: RoutingDecision, other: Mapping[str, object]) -> Plan:
            # A whole answer has no options of a stream.
            kept = {name: value for name, value in request.items() if name != "stream_options"}
            began_at = self._fleet.now()
            return plan(alone, options=kept | dict(other), stream=False, fallbacks=(), began_at=began_at)

        return Planned(
            decision,
            plan(
                decision,
                options=request,
                stream=options.stream,
                fallbacks=options.fallbacks,
                allowed=route.allowed,
                accept=options.accept,
                timeout_s=options.timeout_s,
                began_at=began_at,
            ),
            plan_alone,
        )

    def decide(self, prompt: Prompt, options: RouteOptions, *, tools: object = None, owner: str = "") -> RoutingDecision:
        """Decide, and plan no call.

        Args:
            prompt: A text or chat messages.
            options: The options, the router's defaults included.
            tools: The tools that the request offers. None: none.
            owner: Who asks. The sessions of different owners are kept apart.

        Raises:
            InputError: As `Decider.decide`.
            NoCandidateError: If every model is excluded.
        """
        sent = name_tools(tools)
        needs = frozenset(options.needs) | self._find_needs(sent or {})
        options = replace(options, needs=needs) if needs else options
        _, decision = self._decide(parse_prompt(prompt, tools=sent), options, owner=owner)
        return decision

    def _decide(
        self, prompt: ParsedPrompt, options: RouteOptions, *, owner: str, **call: Any
    ) -> tuple[RouteOptions, RoutingDecision]:
        """Return the options of the request in its arm, if there is an A/B test, and the decision."""
        decide = partial(self._decider.decide, [prompt], owner=owner, **call)
        entry = None
        if self._split is not None:
            key, conversation = (name_key(owner, name) for name in (options.key, prompt.session.id))
            entry = self._split.enter(options, key=key, conversation=conversation)
        if entry is None:
            (decision,) = decide(options=options)
            return options, decision
        arm = entry.assignment
        reason = f"experiment {arm.experiment}: arm {arm.arm}, split by {arm.by}"
        try:
            (decision,) = decide(options=entry.options)
        except NoCandidateError:
            # The request stays in its arm, because leaving it out of one arm only would bias the comparison.
            (decision,) = decide(options=options)
            entry, reason = entry._replace(options=options), f"{reason}, which has no model for this request"
        return entry.options, replace(decision, assignment=arm, reasons=(*decision.reasons, reason))

    def _find_needs(self, request: Mapping[str, object]) -> frozenset[str]:
        """Return the capabilities that a request uses, as far as any profile claims to have them."""
        form = request.get("response_format")
        used = {"tools"} if request.get("tools") or request.get("functions") else set()
        # A class is a pydantic model, which the SDK sends as a JSON schema.
        is_json = isinstance(form, type) or (isinstance(form, Mapping) and str(form.get("type")).startswith("json"))
        used |= {"json"} if is_json else set()
        return frozenset(used & self._decider.list_capabilities())

    def _learn(self, completion: Completion) -> None:
        if self._learner is not None and completion.usage.output_tokens is not None:
            probabilities = completion.decision.prediction.probabilities
            self._learner.add_length(completion.model, probabilities, completion.usage.output_tokens)
            self._decider.update_profiles(self._learner.profiles())


def name_tools(tools: object) -> dict[str, object] | None:
    """Return the tools under their name in a request. None if there are none."""
    return None if tools is None else {"tools": tools}


def check_executor(executor: Any, method: str, remedy: str) -> Any:
    """Return an executor that has a method.

    Raises:
        InputError: If there is no executor, or it lacks the method.
    """
    if executor is None:
        raise InputError("a call needs an executor; make the router with serving=Serving(executor=...)")
    if not hasattr(executor, method):
        raise InputError(f"the executor {type(executor).__name__} has no {method}(): {remedy}")
    return executor


def _count_answer_tokens(request: Mapping[str, object]) -> int:
    """Return the longest answer that a request asks for, or the usual length."""
    limit = request.get("max_tokens") or request.get("max_completion_tokens")
    # A whole number may be too large for a float, which isfinite() needs.
    is_number = isinstance(limit, int) or (isinstance(limit, float) and math.isfinite(limit))
    return int(limit) if is_number and isinstance(limit, int | float) else int(DEFAULT_OUTPUT_TOKENS)
