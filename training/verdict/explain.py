"""Explain a routing evaluation in sentences: its meaning, the pair of two models, and how it was measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from training.verdict.baselines import ORACLE
from training.verdict.curves import SHARES
from training.verdict.format import format_figure, format_percent, format_share, per_1000

if TYPE_CHECKING:
    from training.verdict.evaluation import RoutingEvaluation


def explain(evaluation: RoutingEvaluation) -> list[str]:
    """Return the meaning of an evaluation, one paragraph for each thought."""
    best = next(model for model in evaluation.models if model.name == evaluation.best)
    alone = f"Without a router, the best choice is to send every prompt to {best.name}: quality "
    alone += format_figure(best.quality.value)
    if not evaluation.priced:
        return [f"{alone}. Costs are not known, so this page compares quality only."]
    return [
        f"{alone} for {_price(best.cost_usd)}.",
        _explain_router(evaluation),
        *_explain_mixing(evaluation),
        *_explain_room(evaluation),
    ]


def _explain_router(evaluation: RoutingEvaluation) -> str:
    """Return the cost at which the router reaches the best quality, and advice if the verdict is not to route."""
    full, most = (evaluation.routers[0].cost_at[share] for share in (1.0, SHARES[0]))
    reached = (
        f"On these prompts the router reaches the same quality for {_price(full.value)}."
        if full
        else "On these prompts the router never reaches that quality, at any of its settings."
    )
    parts = [reached]
    if most:
        parts.append(f"It reaches {format_percent(SHARES[0])} of that quality for {_price(most.value)}.")
    # The figures of all prompts may look good although the held-out ones are not. Say so, or readers trust the wrong ones.
    if not evaluation.verdict.route:
        parts.append(
            "Other prompts may not show the same gain, so do not count on it. Send everything to "
            f"{evaluation.best}, and you have one part less to run."
        )
    return " ".join(parts)


def _explain_mixing(evaluation: RoutingEvaluation) -> list[str]:
    """Return the cost of the simplest way to save: a cheaper model for all prompts."""
    single = evaluation.cheapest_reaching(SHARES[0])
    if single is None or single.name == evaluation.best:
        return [f"No cheaper single model reaches {format_percent(SHARES[0])} of that quality."]
    return [
        f"Compare this with the simplest way to save: {single.name} alone also reaches {format_percent(SHARES[0])} of the "
        f"best quality, for {_price(single.cost_usd)}."
    ]


def _explain_room(evaluation: RoutingEvaluation) -> list[str]:
    """Return the cost of the oracle, or nothing if there is no oracle."""
    oracle = next((router.cost_at[1.0] for router in evaluation.routers if router.name == ORACLE), None)
    if oracle is None:
        return []
    return [
        "A router that knew in advance which model answers which prompt correctly would reach the best single model's "
        f"quality for {_price(oracle.value)}. Such a router cannot be built. It marks the limit."
    ]


def _price(usd: float | None) -> str:
    return f"{format_figure(per_1000(usd))} USD per 1,000 prompts"


def explain_pair(evaluation: RoutingEvaluation) -> list[str]:
    """Return a sentence for APGR and one for CPT, or nothing if there is no pair."""
    pair = evaluation.pair
    if pair is None:
        return []
    return [
        f"Suppose that only {pair.strong} (strong) and {pair.weak} (weak) exist. Averaged over every split of the prompts "
        f"between them, the router closes {format_share(pair.apgr)} of the gap in quality. Chance closes 50 % (APGR).",
        f"To close half of the gap, {format_share(pair.cpt50)} of the prompts must go to {pair.strong}. "
        f"To close four fifths, {format_share(pair.cpt80)} must go to it. By chance it would be 50 % and 80 % (CPT).",
    ]


def describe_measurement(evaluation: RoutingEvaluation, notes: Sequence[str] = ()) -> list[str]:
    """Return sentences on how the figures were measured, followed by the caller's notes."""
    left_out = (
        f" {evaluation.left_out:,} more were left out, because some model was not measured on them."
        if evaluation.left_out
        else ""
    )
    return [
        f"Benchmark: {evaluation.name}. {evaluation.n:,} prompts on which all {len(evaluation.models)} models were measured."
        + left_out,
        f"Intervals: 95 %, by bootstrap over prompts. Prompts of one group stay together. Seed {evaluation.seed}.",
        "The verdict uses settings that were chosen on other prompts. So it can be more cautious than the picture and the "
        "tables.",
        *notes,
    ]
