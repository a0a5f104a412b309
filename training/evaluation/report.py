"""An evaluation in, a report out: JSON, Markdown and a picture. The tables also serve the model card."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

from router.model_folder.manifest import HeadsRecord, TaskEvidence
from training.evaluation.evaluate import Evaluation
from training.evaluation.metrics import PredictionQuality, TaskQuality

_MAX_CONFUSIONS = 10


def write_evaluation(folder: Path, evaluation: Evaluation, title: str, *, notes: Sequence[str] = ()) -> list[Path]:
    """Write `evaluation.json`, `evaluation.md` and `evaluation.png` into a folder and return their paths.

    Args:
        folder: Created if it does not exist.
        evaluation: The evaluation.
        title: Name of the prompts, such as their file name.
        notes: Sentences for the reader about the prompts.

    Raises:
        ImportError: If matplotlib, the extra `plots`, is not installed. Nothing is written then.
    """
    # Imported and drawn first, so that a missing matplotlib leaves no half-written report.
    from training.evaluation.plots import plot_evaluation

    figure = plot_evaluation(evaluation, title)
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"evaluation.{ending}" for ending in ("json", "md", "png")]
    paths[0].write_text(to_json(evaluation, title, notes=notes) + "\n", encoding="utf-8")
    paths[1].write_text(to_markdown(evaluation, title, notes=notes), encoding="utf-8")
    figure.savefig(paths[2], dpi=110)
    return paths


def to_json(evaluation: Evaluation, title: str, *, notes: Sequence[str] = ()) -> str:
    """Return every figure as JSON. The keys are `prompts` for the title, `notes`, and the attributes of `Evaluation`."""
    return json.dumps({"prompts": title, "notes": list(notes), **asdict(evaluation)}, indent=1, ensure_ascii=False)


def to_markdown(evaluation: Evaluation, title: str, *, notes: Sequence[str] = ()) -> str:
    """Return the figures as Markdown tables, below the notes."""
    n = evaluation.n
    deciders = (
        f"| {name} | {part.n} | {part.n / n:.0%} | {part.accuracy:.3f} |" for name, part in evaluation.deciders.items()
    )
    confusions = (
        f"| {label} | {predicted} | {count} | {share:.0%} |"
        for count, share, label, predicted in rank_confusions(evaluation)[:_MAX_CONFUSIONS]
    )
    calibration = (f"| {part.confidence:.3f} | {part.accuracy:.3f} | {part.n} |" for part in evaluation.calibration)
    coverage = (f"| {part.n / n:.0%} | {part.accuracy:.3f} | {part.confidence:.3f} |" for part in evaluation.risk_coverage)
    lines = [
        f"# Evaluation: {title}",
        "",
        f"n = {n}, seed {evaluation.seed}, 95 % bootstrap intervals.",
        "",
        *([*(f"- {note}" for note in notes), ""] if notes else []),
        *table_qualities(evaluation.qualities),
        "",
        f"Label among the two most likely tasks: {evaluation.top2}. "
        f"Expected calibration error: {evaluation.calibration_error}.",
        "",
        *_table("| decided by | n | share | accuracy |", deciders),
        "",
        *_section("Tasks", table_tasks(evaluation.tasks)),
        *_section("Most frequent confusions", _table("| label | prediction | n | of the label |", confusions)),
        *_section("Confusion matrix", _table_confusion(evaluation)),
        *_section("Calibration", _table("| confidence | accuracy | n |", calibration)),
        *_section("Risk and coverage", _table("| coverage | accuracy | lowest confidence |", coverage)),
    ]
    return "\n".join(lines)


def table_evidence(record: HeadsRecord) -> list[str]:
    """Return a Markdown table of the gain of prompt heads by task."""
    lines = ["| task | prompts | quality | kept | cost | kept |", "|---|---|---|---|---|---|"]
    for task in dict.fromkeys([*record.quality, *record.cost]):
        both = [by.get(task) for by in (record.quality, record.cost)]
        n = next(found.n for found in both if found)
        lines.append(f"| {task} | {n:.0f} | {' | '.join(map(_format_evidence, both))} |")
    return lines


def _format_evidence(found: TaskEvidence | None) -> str:
    if found is None:
        return "unknown | no"
    return f"{found.gain:.3f} [{found.low:.3f}, {found.high:.3f}] | {'yes' if found.kept else 'no'}"


def table_qualities(qualities: Sequence[PredictionQuality]) -> list[str]:
    """Return a Markdown table with one row per predictor."""
    lenient = any(quality.lenient for quality in qualities)
    return [
        "| | accuracy | macro-F1 |" + (" lenient accuracy |" if lenient else ""),
        "|---|---|---|" + ("---|" if lenient else ""),
        *(f"| {q.name} | {q.accuracy} | {q.macro_f1} |" + (f" {q.lenient} |" if lenient else "") for q in qualities),
    ]


def table_tasks(tasks: Sequence[TaskQuality]) -> list[str]:
    """Return a Markdown table with one row per task."""
    return _table(
        "| task | n | precision | recall | F1 |",
        (f"| {task.task} | {task.n} | {task.precision} | {task.recall} | {task.f1} |" for task in tasks),
    )


def rank_confusions(evaluation: Evaluation) -> list[tuple[int, float, str, str]]:
    """Return the wrong predictions as (prompts, share of the label's prompts, label, prediction), most prompts first."""
    found = [
        (n, n / task.n, task.task, predicted)
        for task, row in zip(evaluation.tasks, evaluation.confusion, strict=True)
        for predicted, n in zip(evaluation.guessable, row, strict=True)
        if n and predicted != task.task
    ]
    return sorted(found, key=lambda confusion: (-confusion[0], confusion[2:]))


def _table_confusion(evaluation: Evaluation) -> list[str]:
    return _table(
        f"| label | {' | '.join(evaluation.guessable)} |",
        (
            f"| {task.task} | {' | '.join(str(n or '') for n in row)} |"
            for task, row in zip(evaluation.tasks, evaluation.confusion, strict=True)
        ),
    )


def _table(head: str, rows: Iterable[str]) -> list[str]:
    return [head, "|---" * (head.count("|") - 1) + "|", *rows]


def _section(title: str, lines: Sequence[str]) -> list[str]:
    return [f"## {title}", "", *lines, ""]
