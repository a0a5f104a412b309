"""Scores of the candidates come in, a ranking goes out that starts with a cascade if one is expected to be better."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from router.cascade import DEFAULT_OVERLAP, Agreement, Cascade, CascadeScore, Judge, TokenProbability
from router.score.cascade import Check, Expected, find_best_cascade
from router.strategies.contextual import contextual
from router.types import ModelScore, Ranking, RoutingContext

# What only models can read that have the capability. A judge gets texts.
_OTHER_CONTENT = frozenset({"vision", "audio", "video", "file"})
# Tokens of a usual answer and of a judgement, to expect the cost of a judge.
_ANSWER_TOKENS, _JUDGEMENT_TOKENS = 500, 10


def cascade(context: RoutingContext) -> Ranking:
    """Rank the models of the best cascade first, then the others as `contextual` does.

    The best cascade is that of `router.score.cascade.find_best_cascade`. It is used if it gains more than `min_gain` over
    the best single model. With `quality_floor` it must cost less. Otherwise the ranking is that of `contextual`. A reason
    names both figures.
    """
    order = contextual(context)
    options = context.cascade
    if options is None:
        return Ranking(order, reasons=["no cascade: the router has no verifier; set Serving(cascade=Cascade(...))"])
    obstacle = _find_obstacle(options, context)
    if obstacle:
        return Ranking(order, reasons=[f"no cascade: {obstacle}"])
    best, single = _find_best(options, context), context.scores[order[0]]
    if best is None:
        why = "too few models can be asked" if options.rates.is_useful else "the verifier accepts wrong answers as often"
        return Ranking(order, reasons=[f"no cascade: {why}"])
    compared = _compare(best, single, context)
    if not _pays(best, single, options, context):
        return Ranking(order, reasons=[f"no cascade: the best one, {' then '.join(best.models)}, has {compared}"])
    reason = f"cascade: {' then '.join(best.models)}, if {options.name} does not accept the answer before, with {compared}"
    return Ranking([*best.models, *(name for name in order if name not in best.models)], reasons=[reason], cascade=best)


def _find_obstacle(options: Cascade, context: RoutingContext) -> str:
    """Return why the verifier cannot check the answers to a prompt. Empty if it can."""
    verifier, obstacle = options.verifier, ""
    if context.preference.reference is not None:
        obstacle = "the loss that max_loss bounds was measured for single models"
    elif context.protocol not in (None, "chat"):
        obstacle = f"only answers of the protocol 'chat' can be checked, not of {context.protocol!r}"
    elif not isinstance(verifier, Judge | Agreement | TokenProbability):
        pass
    elif context.in_tool_call or "tools" in context.needs:
        obstacle = f"{options.name} cannot check a call of a tool"
    elif isinstance(verifier, Judge) and (unread := context.needs & _OTHER_CONTENT):
        obstacle = f"the judge reads only text, and the prompt needs {', '.join(sorted(unread))}"
    elif isinstance(verifier, Agreement) and verifier.model not in context.candidates:
        obstacle = f"{verifier.model}, with which a model must agree, cannot be asked"
    return obstacle


def _find_best(options: Cascade, context: RoutingContext) -> CascadeScore | None:
    """Return the best cascade of the candidates."""
    # The model with which others must agree has answered already.
    partner = options.model if isinstance(options.verifier, Agreement) else None
    names = [name for name in context.candidates if name != partner]
    scores = [context.scores[name] for name in names]
    best = find_best_cascade(
        names,
        _tabulate(scores),
        _find_check(options, context),
        context.preference,
        overlap=DEFAULT_OVERLAP if options.overlap is None else options.overlap,
        max_models=options.max_models,
        only_last=[] if options.model is None else [options.model],
    )
    # What is unknown is so for all candidates, and counted as 0.
    if best is not None and all(one.cost_usd is None for one in scores):
        best = replace(best, cost_usd=None)
    if best is not None and all(one.latency_s is None for one in scores):
        best = replace(best, latency_s=None)
    return best


def _tabulate(scores: list[ModelScore]) -> Expected:
    """Return the terms of some models as arrays. A cost or latency is only unknown if it is so for all, and counts as 0."""
    return Expected(
        quality=np.array([max(score.bound, 0.0) for score in scores]),
        cost_usd=np.array([score.cost_usd or 0.0 for score in scores]),
        latency_s=np.array([score.latency_s or 0.0 for score in scores]),
    )


def _find_check(options: Cascade, context: RoutingContext) -> Check:
    """Return what one check is expected to cost."""
    usd, seconds = options.check_usd, options.check_s
    if isinstance(options.verifier, Agreement):
        partner = context.scores[options.verifier.model]
        usd, seconds = usd + (partner.cost_usd or 0.0), seconds + (partner.latency_s or 0.0)
    if isinstance(options.verifier, Judge) and (judge := context.profiles.get(options.verifier.model)) is not None:
        read = (context.tokens + _ANSWER_TOKENS) * (judge.input_usd_per_mtok or 0.0)
        listed = (read + _JUDGEMENT_TOKENS * (judge.output_usd_per_mtok or 0.0)) / 1e6
        usd += listed if judge.input_usd_per_mtok is not None else judge.cost_usd or 0.0
        seconds += judge.latency_s or 0.0
    return Check(rates=options.rates, cost_usd=usd, latency_s=seconds)


def _pays(best: CascadeScore, single: ModelScore, options: Cascade, context: RoutingContext) -> bool:
    if context.preference.weighs:
        return best.utility - single.utility > options.min_gain
    return (best.cost_usd or 0.0) < (single.cost_usd or 0.0)


def _compare(best: CascadeScore, single: ModelScore, context: RoutingContext) -> str:
    """Return the figures by which a cascade and the best single model are compared."""
    if context.preference.weighs:
        return f"an expected utility of {best.utility:.3f} against {single.utility:.3f} of {single.model} alone"
    costs = best.cost_usd or 0.0, single.cost_usd or 0.0
    return f"an expected cost of {costs[0]:.3g} USD against {costs[1]:.3g} USD of {single.model} alone"
