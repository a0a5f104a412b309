"""`llm-router-train plan`: list the prompts and models whose scores would improve decisions most per USD."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np

from router.errors import InputError
from training.cli.options import path_option, seed_option

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from training.measure.propose import Proposal

_SHOWN = 12


@click.command("plan")
@path_option("--benchmark", required=True, help="CSV of benchmark results: what was measured so far.")
@click.option("--budget-usd", required=True, type=float, help="Most USD that the scores may cost together.")
@path_option("--prompts", help="CSV of prompts that can be graded, with their columns for it; default: the benchmark's.")
@path_option("--log", help="Log of prompts whose mix of tasks counts; default: the mix of the prompts.")
@click.option(
    "--usd-per-point", type=float, help="USD that one more point of quality is worth; default: cheap, balanced and quality."
)
@click.option("--later-prompts", type=float, default=100_000, show_default=True, help="Prompts that the scores will serve.")
@path_option("--config", help="Configuration file: only its models are measured. It names the model folder.")
@seed_option
@path_option("--out", required=True, help="CSV file to write the pairs to, for `llm-router-train measure`.")
def plan_command(
    *,
    benchmark: Path,
    budget_usd: float,
    prompts: Path | None,
    log: Path | None,
    usd_per_point: float | None,
    later_prompts: float,
    config: Path | None,
    seed: int,
    out: Path,
) -> None:
    """List what to measure next.

    Each row of OUT is a prompt and a model. Their scores are expected to improve the choice of models most per USD, on your
    own mix of tasks. The list ends where more scores would cost more than they are worth.
    """
    from router.core import Router
    from training.measure.propose import propose
    from training.measure.router import open_router

    for name, value in (("--budget-usd", budget_usd), ("--later-prompts", later_prompts)):
        if not value > 0:
            raise InputError(f"{name} must be above 0, got {value}")
    router = Router.load() if config is None else open_router(config)[0]
    tasks = tuple(router.predict("any").probabilities)

    def predict(texts: Sequence[str]) -> NDArray[np.float64]:
        return np.array([[router.predict(text).probabilities[task] for task in tasks] for text in texts])

    usual = [router.presets[name].usd_per_point for name in ("cheap", "balanced", "quality")]
    proposal = propose(
        benchmark,
        prompts=prompts,
        log=log,
        models=None if config is None else {profile.name for profile in router.profiles},
        tasks=tasks,
        predict=predict,
        budget_usd=budget_usd,
        usd_per_point=usual if usd_per_point is None else [usd_per_point],
        horizon=later_prompts,
        seed=seed,
    )
    with out.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, proposal.header, restval="")
        writer.writeheader()
        writer.writerows(proposal.rows)
    click.echo("\n".join(_describe(proposal, out, budget_usd, later_prompts)))


def _describe(proposal: Proposal, out: Path, budget_usd: float, later_prompts: float) -> Iterator[str]:
    plan = proposal.plan
    if not plan.purchases:
        yield f"{out}: no pair. More scores would cost more than they are worth over {later_prompts:,.0f} prompts."
        return
    yield f"{out}: {len(proposal.rows)} pairs for about {proposal.cost_usd:.2g} USD; llm-router-train measure grades them"
    together: dict[tuple[int, int], list[float]] = defaultdict(lambda: [0.0, 0.0, 0.0])
    for purchase in plan.purchases:
        sums = together[purchase.model, purchase.task]
        for i, value in enumerate((purchase.n, purchase.cost_usd, purchase.gain)):
            sums[i] += value
    width = max(len(proposal.models[m]) for m, _ in together)
    yield f"\n{'model':{width}}  {'task':15} {'scores':>6} {'USD':>8}  points gained per prompt"
    for (m, t), (n, usd, gain) in list(together.items())[:_SHOWN]:
        yield f"{proposal.models[m]:{width}}  {proposal.tasks[t]:15} {n:6.0f} {usd:8.2g}  {100 * gain:.3f}"
    if len(together) > _SHOWN:
        yield f"... and {len(together) - _SHOWN} more"
    left = budget_usd - proposal.cost_usd
    if plan.pays:
        yield f"\nMore scores would still pay: the budget of {budget_usd:g} USD ends the plan."
    else:
        yield f"\n{left:.2g} USD are left: more scores would cost more than they gain over {later_prompts:,.0f} prompts."
