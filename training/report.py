"""An evaluation, written down for people and programs: Markdown, JSON and a picture."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from router.artifacts import HeadsRecord, TaskEvidence
from training.evaluate import Evaluation, Quality, TaskQuality

_CONFUSIONS = 10


def write_evaluation(folder: Path, evaluation: Evaluation, title: str) -> list[Path]:
    """Write `evaluation.json`, `.md` and `.png` into a folder, made where it is missing; return their paths.

    Raises:
        ImportError: If matplotlib, the extra `plots`, is not installed; nothing is written then.
    """
    from training.plots import plot_evaluation

    figure = plot_evaluation(evaluation, title)
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"evaluation.{ending}" for ending in ("json", "md", "png")]
    paths[0].write_text(to_json(evaluation, title) + "\n", encoding="utf-8")
    paths[1].write_text(to_markdown(evaluation, title), encoding="utf-8")
    figure.savefig(paths[2], dpi=110)
    return paths


def to_json(evaluation: Evaluation, title: str) -> str:
    """Return every figure."""
    return json.dumps({"prompts": title, **asdict(evaluation)}, indent=1, ensure_ascii=False)


def to_markdown(evaluation: Evaluation, title: str) -> str:
    """Return the figures as tables."""
    lines = [
        f"# Evaluation: {title}",
        "",
        f"n = {evaluation.n}, seed {evaluation.seed}, 95 % bootstrap intervals.",
        "",
        *table_qualities(evaluation.qualities),
        "",
        f"Among the two likeliest tasks: {evaluation.top2}. Expected calibration error: {evaluation.calibration_error}.",
        "",
        "| settled by | n | share | accuracy |",
        "|---|---|---|---|",
        *(
            f"| {name} | {share.n} | {share.n / evaluation.n:.0%} | {share.accuracy:.3f} |"
            for name, share in evaluation.deciders.items()
        ),
        "",
        "## Tasks",
        "",
        *table_tasks(evaluation.tasks),
        "",
        "## Most frequent confusions",
        "",
        "| label | told | n | of the label |",
        "|---|---|---|---|",
        *(
            f"| {label} | {told} | {n} | {share:.0%} |"
            for n, share, label, told in rank_confusions(evaluation)[:_CONFUSIONS]
        ),
        "",
        "## Confusion matrix",
        "",
        f"| label | {' | '.join(evaluation.guessable)} |",
        "|---" * (len(evaluation.guessable) + 1) + "|",
        *(
            f"| {task.task} | {' | '.join(str(n or '') for n in row)} |"
            for task, row in zip(evaluation.tasks, evaluation.confusion, strict=True)
        ),
        "",
        "## Calibration",
        "",
        "| confidence | accuracy | n |",
        "|---|---|---|",
        *(f"| {share.confidence:.3f} | {share.accuracy:.3f} | {share.n} |" for share in evaluation.calibration),
        "",
        "## Risk and coverage",
        "",
        "| coverage | accuracy | least confidence |",
        "|---|---|---|",
        *(
            f"| {share.n / evaluation.n:.0%} | {share.accuracy:.3f} | {share.confidence:.3f} |"
            for share in evaluation.risk_coverage
        ),
        "",
    ]
    return "\n".join(lines)


def table_evidence(record: HeadsRecord) -> list[str]:
    """Return a Markdown table of what heeding prompts is worth, by task."""
    lines = ["| task | prompts | quality | kept | cost | kept |", "|---|---|---|---|---|---|"]
    for task in dict.fromkeys([*record.quality, *record.cost]):
        both = [by.get(task) for by in (record.quality, record.cost)]
        n = next(found.n for found in both if found)
        lines.append(f"| {task} | {n:.0f} | {' | '.join(map(_tell_evidence, both))} |")
    return lines


def _tell_evidence(found: TaskEvidence | None) -> str:
    if found is None:
        return "unknown | no"
    return f"{found.gain:.3f} [{found.low:.3f}, {found.high:.3f}] | {'yes' if found.kept else 'no'}"


def table_qualities(qualities: Sequence[Quality]) -> list[str]:
    """Return the rows of a Markdown table."""
    lenient = any(quality.lenient for quality in qualities)
    return [
        "| | accuracy | macro-F1 |" + (" lenient accuracy |" if lenient else ""),
        "|---|---|---|" + ("---|" if lenient else ""),
        *(f"| {q.name} | {q.accuracy} | {q.macro_f1} |" + (f" {q.lenient} |" if lenient else "") for q in qualities),
    ]


def table_tasks(tasks: Sequence[TaskQuality]) -> list[str]:
    """Return the rows of a Markdown table."""
    return [
        "| task | n | precision | recall | F1 |",
        "|---|---|---|---|---|",
        *(f"| {task.task} | {task.n} | {task.precision} | {task.recall} | {task.f1} |" for task in tasks),
    ]


def rank_confusions(evaluation: Evaluation) -> list[tuple[int, float, str, str]]:
    """Return (prompts, share of the label's prompts, label, what was told instead), most prompts first."""
    found = [
        (n, n / task.n, task.task, told)
        for task, row in zip(evaluation.tasks, evaluation.confusion, strict=True)
        for told, n in zip(evaluation.guessable, row, strict=True)
        if n and told != task.task
    ]
    return sorted(found, key=lambda confusion: (-confusion[0], confusion[2:]))
