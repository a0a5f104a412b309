"""What a routing evaluation says, in plain words and tables, for whatever page shows it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from training.evaluate import Interval
from training.routing.curves import SHARES

if TYPE_CHECKING:
    from training.routing.evaluation import RoutingEvaluation
    from training.routing.verdict import Saving

ORACLE = "oracle"
_DIGITS, _LEAD_PLACES = 3, 4
_PER_PROMPTS = 1000
_UNKNOWN, _NEVER = "unknown", "never"

GLOSSARY: Mapping[str, str] = {
    "Quality": "The mean score of the answers, from 0 (all wrong) to 1 (all right), as the benchmark file gives it.",
    "Cost": "What the models' answers cost on average, in US dollars per 1,000 prompts.",
    "Router": "A program that reads a prompt and picks the model to answer it, before anything is paid for.",
    "Setting": "A router has a dial from thrifty to demanding. Each position is a setting; those with a name are presets.",
    "Quality–cost curve": "What quality each setting reaches, and at what cost. Higher is better, and so is farther left.",
    "Hull": "The best that can be had from a router's settings if a share of the prompts may go to one setting and the "
    "rest to another. Curves in the picture are hulls; they never fall, since nobody has to pay more for less.",
    "AIQ": "Average improvement in quality: the mean height of a hull between the cost of the cheapest single model and "
    "that of the best one. One figure for the whole dial; higher is better (RouterBench, arXiv 2403.12031).",
    "Best single model": "The model with the highest quality if it answers every prompt. What a router has to beat.",
    "Zero router": "Reads nothing: sends shares of the prompts to two single models by chance. Whoever reads prompts has to "
    "do better (RouterBench, arXiv 2403.12031).",
    "Task table": "Knows the true kind of each prompt (coding, math, …) and how good each model is at that kind on average.",
    "kNN-40": "Looks up the 40 known prompts with the most similar words and picks the model that did best on them.",
    "Ridge": "Predicts each model's score from the words of the prompt by a straight-line formula (ridge regression).",
    "Round robin": "Sends prompts to all models in turn.",
    "Random": "Sends each prompt to any model, by chance.",
    "Oracle": "Knows beforehand how every model will do on every prompt. Nobody can have it; it shows what room is left.",
    "Regret": "What the best model for each prompt would have scored beyond the one that was chosen. 0 is perfect.",
    "PerfGain": "How much higher the quality of the best setting is than the best single model's, in per cent of the latter "
    "(LLMRouterBench, arXiv 2601.07206).",
    "CostSave": "How much less the same quality as the best single model's costs, in per cent of what that model costs "
    "(LLMRouterBench, arXiv 2601.07206).",
    "APGR": "For two models, a strong and a weak one: the share of the gap in quality between them that is recovered, "
    "averaged over all shares of calls to the strong one. Chance recovers 50 % (RouteLLM, arXiv 2406.18665).",
    "CPT": "Call-performance threshold, for two models: the share of prompts that must go to the strong one to recover "
    "50 %, or 80 %, of the gap. Lower is better (RouteLLM, arXiv 2406.18665).",
    "Interval [low, high]": "Prompts are drawn by chance. Had others of the same kind been drawn, the figure would lie "
    "between these two in about 95 of 100 cases (bootstrap over prompts, 95 %). ∞ stands where some draws never reach "
    "the quality.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Cells as text: the first of each row is its name."""

    title: str
    note: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def tell(value: float | None, *, places: int | None = None, signed: bool = False) -> str:
    """Return three significant digits, or so many places: `0.753`, `3.34`, `12,300`, `−0.012`, `unknown`, `∞`."""
    if value is None or math.isnan(value):
        return _UNKNOWN
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    places = _count_places([value]) if places is None else places
    # Adding 0.0 makes of −0.0 what it is.
    rounded = round(value, places) + 0.0
    return f"{rounded:{'+' if signed and rounded else ''},.{max(places, 0)}f}".replace("-", "−")


def tell_interval(interval: Interval | None, *, scale: float = 1) -> str:
    """Return `0.753 [0.741, 0.765]`: three significant digits of the largest of them, as many places of the others."""
    if interval is None:
        return _NEVER
    figures = [scale * figure for figure in (interval.value, interval.low, interval.high)]
    return _tell_figures(figures, _count_places(figures))


def tell_lead(interval: Interval) -> str:
    """Return `+0.0123 [−0.0010, +0.0256]`: at most four places."""
    figures = [interval.value, interval.low, interval.high]
    return _tell_figures(figures, min(_count_places(figures), _LEAD_PLACES), signed=True)


def _tell_figures(figures: Sequence[float], places: int, *, signed: bool = False) -> str:
    value, low, high = (tell(figure, places=places, signed=signed) for figure in figures)
    return f"{value} [{low}, {high}]"


def tell_share(interval: Interval | None, *, signed: bool = False) -> str:
    """Return `46 % [39, 52]`."""
    if interval is None:
        return _NEVER
    value, low, high = (
        tell(100 * figure, places=0, signed=signed) for figure in (interval.value, interval.low, interval.high)
    )
    return f"{value} % [{low}, {high}]"


def _count_places(figures: Sequence[float]) -> int:
    """Return the decimal places of three significant digits of the largest figure; negative: that many zeros."""
    largest = max((abs(figure) for figure in figures if math.isfinite(figure)), default=0.0)
    return _DIGITS - 1 - math.floor(math.log10(largest)) if largest else _DIGITS - 1


def per_1000(usd: float | None) -> float | None:
    """Return what 1,000 prompts cost, of a cost per prompt."""
    return None if usd is None else usd * _PER_PROMPTS


def explain(evaluation: RoutingEvaluation) -> list[str]:
    """Return what the evaluation means, a paragraph for each thought."""
    best = evaluation.models[[model.name for model in evaluation.models].index(evaluation.best)]
    alone = (
        f"Without a router, the best you can do is to send every prompt to {best.name}: quality {tell(best.quality.value)}"
    )
    if not evaluation.priced:
        return [f"{alone}. What the models cost is not known, so this page compares quality alone."]
    price = f"{tell(per_1000(best.cost_usd))} USD per 1,000 prompts"
    return [f"{alone} for {price}.", _explain_router(evaluation), *_explain_mixing(evaluation), *_explain_room(evaluation)]


def _explain_router(evaluation: RoutingEvaluation) -> str:
    full, most = (evaluation.routers[0].cost_at[share] for share in (1.0, SHARES[0]))
    told = (
        f"On these prompts the router reaches the same quality for {tell(per_1000(full.value))} USD per 1,000 prompts"
        if full
        else "On these prompts the router never reaches that quality, at any of its settings"
    )
    less = f"; {_percent(SHARES[0])} of it costs {tell(per_1000(most.value))} USD." if most else "."
    if evaluation.verdict.route:
        return told + less
    return (
        f"{told}{less} That is no gain that can be counted on with other prompts: send everything to {evaluation.best}, "
        "and there is one thing less to run."
    )


def _explain_mixing(evaluation: RoutingEvaluation) -> list[str]:
    """Return what somebody pays who merely picks a cheaper model."""
    single = _cheapest_reaching(evaluation, SHARES[0])
    if single is None or single[0] == evaluation.best:
        return [f"No cheaper single model reaches {_percent(SHARES[0])} of it."]
    name, usd = single
    return [
        f"Compare this with the simplest way to save: {name} alone also reaches {_percent(SHARES[0])} of the best quality, "
        f"for {tell(per_1000(usd))} USD per 1,000 prompts."
    ]


def _explain_room(evaluation: RoutingEvaluation) -> list[str]:
    oracle = next((router.cost_at[1.0] for router in evaluation.routers if router.name == ORACLE), None)
    if oracle is None:
        return []
    return [
        "Somebody who knew beforehand which model gets which prompt right would pay "
        f"{tell(per_1000(oracle.value))} USD for the best single model's quality. Nobody can; it is the end of the scale."
    ]


def _cheapest_reaching(evaluation: RoutingEvaluation, share: float) -> tuple[str, float] | None:
    """Return name and USD per prompt of the cheapest single model with so much of the best one's quality."""
    level = share * max(model.quality.value for model in evaluation.models)
    enough = [
        (model.cost_usd, model.name)
        for model in evaluation.models
        if model.cost_usd is not None and model.quality.value >= level
    ]
    if not enough:
        return None
    usd, name = min(enough)
    return name, usd


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def explain_pair(evaluation: RoutingEvaluation) -> list[str]:
    """Return a sentence for APGR and one for CPT; nothing where there is no pair."""
    pair = evaluation.pair
    if pair is None:
        return []
    return [
        f"If there were only {pair.strong} (strong) and {pair.weak} (weak): averaged over every split of the prompts "
        f"between them, the router recovers {tell_share(pair.apgr)} of the gap in quality; chance recovers 50 % (APGR).",
        f"To recover half the gap, {tell_share(pair.cpt50)} of the prompts must go to {pair.strong}, and "
        f"{tell_share(pair.cpt80)} for four fifths of it; by chance it would be 50 % and 80 % (CPT).",
    ]


def tell_measurement(evaluation: RoutingEvaluation, notes: Sequence[str] = ()) -> list[str]:
    """Return how it was measured: what is known of every evaluation, then what the caller knows."""
    models = len(evaluation.models)
    left = (
        f"; {evaluation.left_out:,} more were left out, since some model is not measured on them"
        if evaluation.left_out
        else ""
    )
    return [
        f"Benchmark: {evaluation.name}. {evaluation.n:,} prompts on which all {models} models are measured{left}.",
        f"Intervals: 95 %, by bootstrap over prompts, those that belong together kept together, seed {evaluation.seed}.",
        "The verdict is judged at settings chosen on other prompts than those they are judged on, so it can be more "
        "cautious than the picture and the tables.",
        *notes,
    ]


def tabulate_costs(evaluation: RoutingEvaluation) -> Table:
    """Return what so much of the best single model's quality costs: of each router, and of single models."""
    singles = [_cheapest_reaching(evaluation, share) for share in SHARES]
    chosen = tuple(f"{tell(per_1000(single[1]))} ({single[0]})" if single else _UNKNOWN for single in singles)
    routers = tuple(
        (router.name, *(tell_interval(router.cost_at[share], scale=_PER_PROMPTS) for share in SHARES))
        for router in evaluation.routers
    )
    return Table(
        title="What you pay for how much of the best model's quality",
        note="USD per 1,000 prompts; lower is better. “never”: not reached at any setting.",
        head=("", *(_percent(share) for share in SHARES)),
        rows=(routers[0], ("cheapest single model", *chosen), *routers[1:]),
    )


def tabulate_verdict(evaluation: RoutingEvaluation) -> Table:
    """Return the improvements that the verdict looked for; no rows where no costs are known."""
    verdict = evaluation.verdict
    savings = (("the same quality", verdict.equal), (f"{_percent(SHARES[1])} of the quality", verdict.near))
    rows = [(name, *_tell_saving(saving)) for name, saving in savings if saving]
    if verdict.cost_change:
        rows.append(("the same cost", tell_share(verdict.cost_change, signed=True), tell_lead(verdict.gain), ""))
    return Table(
        title="What the verdict looked at",
        note=f"Against {evaluation.best} alone, at settings chosen on other prompts. Routing pays where one of these is "
        "shown and the router is ahead of mixing two models at random.",
        head=("wanted", "cost", "quality", "quality over mixing"),
        rows=tuple(rows),
    )


def _tell_saving(saving: Saving) -> tuple[str, str, str]:
    less = Interval(value=-saving.share.value, low=-saving.share.high, high=-saving.share.low)
    return tell_share(less, signed=True), tell_lead(saving.change), tell_lead(saving.over_mix)


def tabulate_routers(evaluation: RoutingEvaluation) -> Table:
    """Return AIQ, how far the router is ahead, PerfGain and CostSave."""
    ahead = {name: tell_lead(interval) for name, interval in evaluation.differences.items()}
    return Table(
        title="The router and what it has to beat",
        note="AIQ: quality averaged over the span of cost. Where the interval of its lead is above 0, the router is better.",
        head=("", "AIQ", "lead of the router", "PerfGain", "CostSave"),
        rows=tuple(
            (
                router.name,
                tell_interval(router.aiq),
                ahead.get(router.name, ""),
                tell_share(router.perf_gain, signed=True),
                tell_share(router.cost_save) if evaluation.priced else _UNKNOWN,
            )
            for router in evaluation.routers
        ),
    )


def tabulate_models(evaluation: RoutingEvaluation) -> Table:
    """Return quality and cost of each model alone, best first."""
    return Table(
        title="Every model alone",
        note="If it answered every prompt. Best first.",
        head=("", "quality", "USD per 1,000 prompts"),
        rows=tuple(
            (model.name, tell_interval(model.quality), tell(per_1000(model.cost_usd))) for model in evaluation.models
        ),
    )


def tabulate_settings(evaluation: RoutingEvaluation) -> Table:
    """Return what the router's named settings reach; no rows where none has a name."""
    best = max(model.quality.value for model in evaluation.models)
    return Table(
        title="The presets",
        note="What each named setting of the router reaches on these prompts.",
        head=("", "quality", "of the best model's", "USD per 1,000 prompts"),
        rows=tuple(
            (point.label, tell(point.quality), _percent(point.quality / best), tell(per_1000(point.cost_usd)))
            for point in evaluation.routers[0].curve
            if point.label and best > 0
        ),
    )


def tabulate_regret(evaluation: RoutingEvaluation) -> Table:
    """Return the regret of the router and of the best single model by task."""
    return Table(
        title="What is left to gain, by task",
        note="Regret: points of score that the best model for each prompt would add. The router at "
        f"{tell(per_1000(evaluation.regret_at.cost_usd))} USD per 1,000 prompts, no dearer than {evaluation.best}.",
        head=("", "prompts", evaluation.routers[0].name, f"{evaluation.best} alone"),
        rows=tuple(
            (
                task.task or "no task named",
                f"{task.n:,}",
                tell_interval(task.regret),
                tell_interval(task.of_best_single),
            )
            for task in evaluation.regret
        ),
    )
