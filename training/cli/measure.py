"""`llm-router-train measure`: ask models the prompts of a plan, and grade their answers."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from router.errors import InputError
from training.cli.options import path_option

if TYPE_CHECKING:
    from router.model_folder.load import ModelFolder
    from router.types import Encoder
    from training.measure.answers import Answers
    from training.measure.budget import Budget
    from training.measure.plan import MeasurePlan, PlanRow
    from training.measure.results import ResultsFile
    from training.measure.run import Measurement, Tally

_INTERRUPTED = 130
_SHOWN_REASONS = 5


@click.command("measure")
@click.argument("plan", type=click.Path(path_type=Path))
@path_option("--config", required=True, help="Configuration file with the endpoints of the models.")
@path_option("--out", required=True, help="Benchmark CSV to write. The same command again goes on where it stopped.")
@click.option(
    "--budget-usd", required=True, type=float, help="Most USD for all calls of this and earlier runs, judges included."
)
@click.option("--grader", metavar="NAME", help="Grader of the rows that name none: exact, number, choice, regex, code, …")
@click.option("--judge", metavar="MODEL", help="Model that judges, for the graders judge and judge-pair.")
@click.option(
    "--against", metavar="MODEL", help="judge-pair compares with the answers of this model if nothing is expected."
)
@click.option("--run-code", is_flag=True, help="Allow the grader code to run programs that models wrote.")
@click.option("--workers", type=click.IntRange(min=1), default=4, show_default=True, help="Prompts at the same time.")
@click.option("--max-tokens", type=click.IntRange(min=1), default=2048, show_default=True, help="Longest answer.")
@click.option("--temperature", type=float, help="Sent with each call; default: that of the server.")
@path_option("--answers", "answers_path", help="File that keeps the answers; default: OUT.answers.sqlite.")
def measure_command(
    *,
    plan: Path,
    config: Path,
    out: Path,
    budget_usd: float,
    grader: str | None,
    judge: str | None,
    against: str | None,
    run_code: bool,
    workers: int,
    max_tokens: int,
    temperature: float | None,
    answers_path: Path | None,
) -> None:
    """Ask models and grade their answers.

    PLAN is a CSV with the columns prompt and model, as `llm-router-train plan` writes it, and the columns grader, expected
    and rubric. OUT can be given to `train --benchmark`.
    """
    from training.measure.answers import Answers
    from training.measure.budget import Budget
    from training.measure.describe import describe_model
    from training.measure.plan import read_plan
    from training.measure.results import ResultsFile, identify
    from training.measure.router import open_router
    from training.measure.store import AnswerStore

    if not budget_usd > 0:
        raise InputError(f"--budget-usd must be above 0, got {budget_usd}; set the most that you want to pay")
    router, folder = open_router(config)
    with router, AnswerStore(answers_path or out.with_name(f"{out.name}.answers.sqlite")) as store:
        read = read_plan(
            plan,
            models=[profile.name for profile in router.profiles],
            tasks=folder.manifest.labels,
            grader=grader,
            against=against,
        )
        budget = Budget(budget_usd, spent_usd=store.sum_usd())
        answers = Answers(router, store, budget, max_tokens=max_tokens, temperature=temperature)
        measurement = _prepare(read, answers, folder, run_code=run_code, judge=judge, against=against)
        rows = [(row, measurement.complete(row)) for row in read.rows]
        facts = {profile.name: describe_model(profile) for profile in router.profiles}
        with ResultsFile(out, read.header, {identify(fields) for _, fields in rows}, facts) as results:
            for note in _list_notes(read, results, measurement, budget):
                click.echo(note)
            left = [row for row, fields in rows if not results.has(fields)]
            tally = _run(left, measurement, results, workers=workers, budget=budget)
            click.echo("\n".join(_describe(tally, results, budget, out)))
    if tally.stopped:
        sys.exit(_INTERRUPTED)


def _prepare(
    read: MeasurePlan, answers: Answers, folder: ModelFolder, *, run_code: bool, judge: str | None, against: str | None
) -> Measurement:
    from training.measure.graders import make_graders
    from training.measure.run import Measurement

    for model in {row.model for row in read.rows} | ({against} if against else set()):
        answers.check(model)
    graders = make_graders(
        {row.grader for row in read.rows},
        answers=answers,
        load_encoder=lambda: _find_encoder(folder),
        run_code=run_code,
        judge=judge,
        against=against,
    )
    return Measurement(answers=answers, graders=graders, judge=judge, against=against)


def _run(left: list[PlanRow], measurement: Measurement, results: ResultsFile, *, workers: int, budget: Budget) -> Tally:
    from training.measure.run import run_plan

    try:
        return run_plan(left, measurement, results, workers=workers, on_stop=_report_stop, watch=_Bar(budget))
    except KeyboardInterrupt:
        # The threads still wait for their answers, and Python would wait for them. The files are whole at any time.
        os._exit(_INTERRUPTED)


class _Bar:
    """A progress bar that counts graded answers and USD.

    Args:
        budget: The cap.
    """

    def __init__(self, budget: Budget) -> None:
        self._budget = budget

    def __call__(self, ended: Iterable[Any], count: int) -> Iterator[Any]:
        from tqdm import tqdm

        with tqdm(total=count, desc="measuring", unit="answer", disable=None) as bar:  # None: no bar unless it is a terminal
            for item in ended:
                yield item
                bar.set_postfix_str(f"{self._budget.spent_usd:.4f} USD", refresh=False)
                bar.update()


def _find_encoder(folder: ModelFolder) -> Encoder:
    if folder.classifier is None:
        raise InputError("the grader similarity needs the encoder of the model folder, which could not be loaded; repair it")
    return folder.classifier.encoder


def _report_stop(under_way: int) -> None:
    click.echo(f"stopping: {under_way} rows under way are finished; Ctrl-C again leaves them", err=True)


def _list_notes(read: MeasurePlan, results: ResultsFile, measurement: Measurement, budget: Budget) -> Iterator[str]:
    from training.data.problems import count_more
    from training.measure.code import CodeGrader
    from training.measure.graders import JUDGES

    if read.repeated:
        yield f"note: {read.repeated} rows of the plan repeat another one and are left out"
    if read.unknown:
        rows, names = sum(read.unknown.values()), ", ".join(sorted(read.unknown)[:_SHOWN_REASONS])
        more = count_more(max(0, len(read.unknown) - _SHOWN_REASONS), "models")
        yield f"note: {rows} rows are left out, because the configuration does not have their models: {names}{more}"
    if results.rows:
        yield f"{len(results.rows)} rows have a result already"
    if results.replaced:
        yield f"note: {results.replaced} results were graded in another way and are replaced"
    if budget.spent_usd:
        yield f"{budget.spent_usd:.6g} of {budget.cap_usd:g} USD were spent by earlier runs"
    if measurement.judge in {row.model for row in read.rows if row.grader in JUDGES}:
        yield f"note: {measurement.judge} also judges its own answers, and judges prefer these"
    code = measurement.graders.get("code")
    if isinstance(code, CodeGrader) and code.has_network():
        yield "note: this system does not let a process leave the network, so the code of answers can reach it"


def _describe(tally: Tally, results: ResultsFile, budget: Budget, out: Path) -> Iterator[str]:
    from training.measure.summary import find_agreement, summarize

    spent = f"{budget.spent_usd:.6g} of {budget.cap_usd:g} USD spent"
    yield f"{out}: {len(results.rows)} results, {tally.scored} of them new; {spent}"
    yield from _list_reasons("failed and not scored", tally.failures)
    yield from _list_reasons("without a score", tally.ungraded)
    if tally.over_budget:
        yield f"rows left, because a call may cost more than the rest of the budget: {tally.over_budget}; raise --budget-usd"
    if tally.stopped:
        yield f"rows left, because the run was stopped: {tally.stopped}"
    if tally.failures or tally.stopped or tally.over_budget:
        yield "the same command again asks for these only"
    if not results.rows:
        return
    summaries = summarize(results.rows)
    width = max(len("model"), *(len(summary.model) for summary in summaries))
    yield ""
    yield f"{'model':{width}}  {'n':>6}  {'mean score, 95 % interval':25}  {'USD each':>10}  {'seconds':>7}  {'cut off':>7}"
    for one in summaries:
        score = f"{one.score:.3f} [{one.low:.3f}, {one.high:.3f}]"
        usd = "unknown" if one.cost_usd is None else f"{one.cost_usd:.3g}"
        yield f"{one.model:{width}}  {one.n:6}  {score:25}  {usd:>10}  {one.latency_s:7.2f}  {one.cut:7}"
    if cut := sum(one.cut for one in summaries):
        yield f"{cut} answers were cut off at their longest length, and graded as they are; raise --max-tokens"
    agreement = find_agreement(results.rows)
    if agreement.n:
        share = agreement.agreed / agreement.n
        yield f"the judge said the same in both orders of {agreement.agreed} of {agreement.n} pairs ({share:.0%})"
    yield ""
    yield f"next: llm-router-train train --prompts data/prompts.csv --benchmark {out} --out mine"


def _list_reasons(what: str, reasons: Counter[str]) -> Iterator[str]:
    if not reasons:
        return
    yield f"rows {what}: {sum(reasons.values())}"
    yield from (f"  {count} × {reason}" for reason, count in reasons.most_common(_SHOWN_REASONS))
    if len(reasons) > _SHOWN_REASONS:
        yield f"  and {len(reasons) - _SHOWN_REASONS} more reasons"
