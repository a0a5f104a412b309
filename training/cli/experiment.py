"""`llm-router-train experiment`: report what the experiments in a log of the gateway show."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from router.model_folder.load import find_model_folder
from training.cli.options import json_option, model_option, path_option

if TYPE_CHECKING:
    from training.evaluation.intervals import Interval
    from training.monitor.effect import Arm, Effect
    from training.monitor.experiment import Report, Test, Worse

_VERDICTS = {"ship": "Ship", "stop": "Stop", "continue": "Continue with"}
_DAY_S = 86_400.0


@click.command("experiment")
@click.argument("log", type=click.Path(path_type=Path))
@click.option("--usd-per-point", type=float, help="USD that 0.01 of score is worth; default: 'balanced' of the folder.")
@click.option("--margin", type=float, default=0.01, show_default=True, help="Utility that an arm may lose and still ship.")
@model_option
@path_option("--out", help="Folder to write report.txt and report.json to.")
@json_option
def experiment_command(
    *, log: Path, usd_per_point: float | None, margin: float, model: Path | None, out: Path | None, as_json: bool
) -> None:
    """Report the effect of an A/B test or a shadow, and models that got worse, from LOG of the gateway.

    The intervals are confidence sequences: you may look as often as you like.
    """
    from training.data.trials import read_trials
    from training.monitor.experiment import examine

    if not (margin >= 0 and (usd_per_point is None or usd_per_point > 0)):
        raise click.BadParameter(f"margin must be 0 or more and usd-per-point above 0, got {margin} and {usd_per_point}")
    report = examine(read_trials(log), usd_per_point=usd_per_point or _find_price(model), margin=margin)
    text = "\n".join(_describe(log, report))
    figures = json.dumps(_make_plain(asdict(report)), indent=1, ensure_ascii=False)
    if out:
        out.mkdir(parents=True, exist_ok=True)
        (out / "report.txt").write_text(text + "\n", encoding="utf-8")
        (out / "report.json").write_text(figures + "\n", encoding="utf-8")
    click.echo(figures if as_json else text)


def _find_price(model: Path | None) -> float:
    from router.model_folder.load import load_model_folder

    return load_model_folder(model or find_model_folder()).parameters.presets["balanced"].usd_per_point


def _describe(log: Path, report: Report) -> Iterator[str]:
    yield (
        f"{log}: {report.requests:,} requests, {report.graded:,} graded answers, "
        f"{_name_time(report.began_at)} to {_name_time(report.ended_at)}"
    )
    for test in report.tests:
        yield from _describe_test(test, report)
    if not report.tests:
        yield from ("", "No A/B test and no shadow in this log. The models:", *_tabulate(report.models))
    yield from ("", *_describe_worse(report))


def _describe_test(test: Test, report: Report) -> Iterator[str]:
    split = ", ".join(f"{n:,} requests by {by}" for by, n in test.by.items())
    yield from ("", f"{test.name}: {split or 'pairs of answers to the same request'}", *_tabulate(test.arms))
    for effect in test.effects:
        yield f"{effect.name} minus {effect.against}, 95 % confidence sequences, n {effect.n:,}:"
        yield f"  score    {_format(effect.score)}"
        yield f"  USD per 1,000 answers  {_format(effect.cost_usd, 1000)}"
        yield f"  seconds  {_format(effect.seconds)}"
        yield f"  utility  {_format(effect.utility)}, a point of quality worth {report.usd_per_point:.3g} USD"
        yield f"{_VERDICTS[effect.decision]} {effect.name}: {_explain(effect, report)}"
    if not test.effects:
        yield "There is no second arm to compare with the control yet."


def _explain(effect: Effect, report: Report) -> str:
    if effect.decision == "ship":
        return f"its utility is lower by {report.margin:g} at most."
    if effect.decision == "stop":
        return "its utility is lower, even at the upper end of the interval."
    if math.isinf(effect.utility.high):
        return "there are too few graded answers for an interval; each side needs 100."
    if effect.more is None:
        return "the difference is too small to decide with any practical number of answers."
    days = (report.ended_at - report.began_at) / _DAY_S * effect.more / max(1, effect.n)
    return f"it is undecided. About {effect.more:,} more, {days:,.1f} days at the rate so far, would decide it."


def _tabulate(arms: list[Arm]) -> Iterator[str]:
    width = max(len(arm.name) for arm in arms)
    yield f"{'':{width}}  requests    units   graded   failed  {'score':24} USD per 1,000   seconds"
    for arm in arms:
        cost = "unknown" if arm.cost_usd is None else f"{1000 * arm.cost_usd:.3g}"
        counts = f"{arm.requests:>8,} {arm.units:>8,} {arm.graded:>8,} {arm.failed:>8,}"
        yield f"{arm.name:{width}}  {counts}  {_format(arm.score):24} {cost:>13} {arm.seconds:>9.3g}"


def _describe_worse(report: Report) -> Iterator[str]:
    from training.monitor.worse import FALSE_ALARM_EVERY

    watch = f"Watch over every model and task, at most one false alarm per {FALSE_ALARM_EVERY:,} graded answers:"
    if not report.worse:
        yield f"{watch} no model got worse."
        return
    yield watch
    yield from (f"  {_describe_alarm(found)}" for found in report.worse)


def _describe_alarm(found: Worse) -> str:
    alarm = found.alarm
    before = "unknown" if math.isnan(alarm.before) else f"{alarm.before:.3f}"
    return (
        f"{found.model} got worse{f' at {alarm.task}' if alarm.task else ''} since {_name_time(found.since)}: "
        f"mean score {alarm.after:.3f} after {before} before, alarm {_name_time(found.at)} after {found.graded:,} answers"
    )


def _format(interval: Interval, factor: float = 1.0) -> str:
    if math.isinf(interval.high):
        return f"{interval.value * factor:.3f} [too few]"
    return f"{interval.value * factor:.3f} [{interval.low * factor:.3f}, {interval.high * factor:.3f}]"


def _name_time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")


def _make_plain(value: Any) -> Any:
    """Return a value without infinities, which JSON does not have. They become null."""
    if isinstance(value, dict):
        return {name: _make_plain(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_make_plain(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
