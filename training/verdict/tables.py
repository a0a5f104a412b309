"""Make the tables of a routing report, as cells of text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from training.evaluation.intervals import Interval
from training.verdict.curves import SHARES
from training.verdict.format import (
    PER_PROMPTS,
    UNKNOWN,
    format_figure,
    format_interval,
    format_lead,
    format_percent,
    format_share,
    per_1000,
)
from training.verdict.held_out import NEAR

if TYPE_CHECKING:
    from training.verdict.evaluation import RoutingEvaluation, SingleModel
    from training.verdict.finding import Saving


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportTable:
    """A table of text, ready to be shown as Markdown or HTML.

    Attributes:
        title: Heading above the table.
        note: Sentence below the heading.
        head: Names of the columns.
        rows: Cells of each row. The first cell is the row's name.
    """

    title: str
    note: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def tabulate_costs(evaluation: RoutingEvaluation) -> ReportTable:
    """Return the cost of each share of the best quality, for routers and for single models."""
    singles = tuple(_format_single(evaluation.cheapest_reaching(share)) for share in SHARES)
    routers = tuple(
        (router.name, *(format_interval(router.cost_at[share], scale=PER_PROMPTS) for share in SHARES))
        for router in evaluation.routers
    )
    return ReportTable(
        title="The cost of each share of the best model's quality",
        note="USD per 1,000 prompts; lower is better. “never”: not reached at any setting.",
        head=("", *(format_percent(share) for share in SHARES)),
        rows=(routers[0], ("cheapest single model", *singles), *routers[1:]),
    )


def _format_single(model: SingleModel | None) -> str:
    return f"{format_figure(per_1000(model.cost_usd))} ({model.name})" if model else UNKNOWN


def tabulate_verdict(evaluation: RoutingEvaluation) -> ReportTable:
    """Return the improvements that the verdict looked for, without rows if costs are unknown."""
    verdict = evaluation.verdict
    savings = (("the same quality", verdict.equal), (f"{format_percent(NEAR)} of the quality", verdict.near))
    rows = [(name, *_format_saving(saving)) for name, saving in savings if saving]
    if verdict.cost_change:
        rows.append(("the same cost", format_share(verdict.cost_change, signed=True), format_lead(verdict.gain), ""))
    return ReportTable(
        title="The figures behind the verdict",
        note=f"Compared with {evaluation.best} alone, at settings chosen on other prompts. Routing pays if one of these "
        "goals is reached and the router is ahead of a random mix of two models.",
        head=("goal", "cost", "quality", "quality above a random mix"),
        rows=tuple(rows),
    )


def _format_saving(saving: Saving) -> tuple[str, str, str]:
    # The table shows the change of cost. A saving is that change with the sign and the ends turned around.
    change = Interval(value=-saving.share.value, low=-saving.share.high, high=-saving.share.low)
    return format_share(change, signed=True), format_lead(saving.change), format_lead(saving.over_mix)


def tabulate_routers(evaluation: RoutingEvaluation) -> ReportTable:
    """Return AIQ, the router's lead, PerfGain and CostSave, for the router and each baseline."""
    lead = {name: format_lead(interval) for name, interval in evaluation.differences.items()}
    return ReportTable(
        title="The router and its baselines",
        note="AIQ: quality averaged over the span of cost. If the interval of the lead is above 0, the router is better.",
        head=("", "AIQ", "lead of the router", "PerfGain", "CostSave"),
        rows=tuple(
            (
                router.name,
                format_interval(router.aiq),
                lead.get(router.name, ""),
                format_share(router.perf_gain, signed=True),
                format_share(router.cost_save) if evaluation.priced else UNKNOWN,
            )
            for router in evaluation.routers
        ),
    )


def tabulate_models(evaluation: RoutingEvaluation) -> ReportTable:
    """Return the quality and the cost of each model alone, best first."""
    return ReportTable(
        title="Every model alone",
        note="Results if one model answers every prompt. Best first.",
        head=("", "quality", "USD per 1,000 prompts"),
        rows=tuple(
            (model.name, format_interval(model.quality), format_figure(per_1000(model.cost_usd)))
            for model in evaluation.models
        ),
    )


def tabulate_settings(evaluation: RoutingEvaluation) -> ReportTable:
    """Return the results of the router's presets, without rows if no setting has a name."""
    best = max(model.quality.value for model in evaluation.models)
    return ReportTable(
        title="The presets",
        note="Results of each named setting of the router on these prompts.",
        head=("", "quality", "share of the best model's", "USD per 1,000 prompts"),
        rows=tuple(
            (
                point.label,
                format_figure(point.quality),
                format_percent(point.quality / best),
                format_figure(per_1000(point.cost_usd)),
            )
            for point in evaluation.routers[0].curve
            # A share of a best quality of 0 is undefined.
            if point.label and best > 0
        ),
    )


def tabulate_regret(evaluation: RoutingEvaluation) -> ReportTable:
    """Return the regret of the router and of the best single model, by task."""
    return ReportTable(
        title="The remaining loss, by task",
        note="Regret: score that the best model for each prompt would add. The router runs at "
        f"{format_figure(per_1000(evaluation.regret_at.cost_usd))} USD per 1,000 prompts, no more than {evaluation.best} "
        "costs.",
        head=("", "prompts", evaluation.routers[0].name, f"{evaluation.best} alone"),
        rows=tuple(
            (
                task.task or "task not given",
                f"{task.n:,}",
                format_interval(task.regret),
                format_interval(task.of_best_single),
            )
            for task in evaluation.regret
        ),
    )
