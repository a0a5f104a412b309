"""A training result in, the model card (`report.md`) out."""

from __future__ import annotations

from router import __version__
from router.model_folder.manifest import FirstTierRecord, Manifest
from training.evaluation.report import table_evidence, table_qualities, table_tasks
from training.result import TrainingResult


def _describe_folds(folds: int) -> str:
    return f"{folds}-fold cross-validation by group" if folds > 1 else "one set held out by group"


def _describe_first_tier(record: FirstTierRecord | None) -> list[str]:
    if record is None:
        return []
    # These sentences and those below are part of published model folders. A change would change the bytes of each of them.
    return [
        "## The first tier",
        "",
        f"Where it is at least {record.threshold:.2f} sure, its answer stands: of {record.n} prompts held out that is "
        f"{record.share:.0%}, and",
        f"{record.lost * 100:.1f} points of accuracy are lost by it against the full classifier on all of them.",
        "",
    ]


def _describe_scoring(manifest: Manifest) -> list[str]:
    """Return the sections about prompt heads and about the price of a point of quality, if there are any."""
    lines = []
    if manifest.heads is not None:
        lines = [
            "## What prompts say beyond their task",
            "",
            "Of prompts held out, 5 folds by group: what heeding the prompt itself gains over the table of tasks, in the",
            "log-loss of quality (nats) and in half the squared logarithm of the ratio of cost, with 95 % bootstrap",
            "intervals; kept where the lower end is above 0.",
            "",
            *table_evidence(manifest.heads),
            "",
        ]
    if manifest.usd_per_point is not None:
        price = (
            f"`balanced` pays {manifest.usd_per_point:.3g} USD for a point of quality, `cheap` a tenth of that: at the knee"
        )
        lines += ["## The dial", "", f"{price} of the curve of expected quality and cost.", ""]
    return lines


def write_model_card(training: TrainingResult) -> str:
    """Return the model card as Markdown: the training data, scores beside those of baselines, and limits.

    The card is a file of the model folder. So its text is part of the folder's hash, and depends only on the result.
    """
    manifest = training.manifest
    lines = [
        "# Model card",
        "",
        f"Created {manifest.created} by contextual-llm-router {__version__}, seed {manifest.seed}; generated, do not edit.",
        "",
        "## Learnt from",
        "",
        *(
            f"- {data.name}: {data.rows} rows, licence {data.licence or 'not named'}, sha256 `{data.sha256}`"
            for data in manifest.training_data
        ),
        f"- encoder {manifest.encoder.name}, {manifest.encoder.dim} dimensions, sha256 `{manifest.encoder.sha256}`",
        *(
            f"- draft of the first tier: texts of {name}" + (f" ({', '.join(sources)})" if sources else "")
            for name, sources in manifest.encoder.draft_files.items()
        ),
        "",
        "## Held out",
        "",
        f"{_describe_folds(int(manifest.metrics['folds']))}, n = {training.qualities[0].n}, seed {manifest.seed}, "
        "95 % bootstrap intervals:",
        "",
        *table_qualities(training.qualities),
        "",
        f"Expected calibration error {manifest.metrics['calibration error']:.3f}; unsure below a confidence of "
        f"{manifest.threshold:.2f} ({manifest.metrics['share unsure']:.0%} of the prompts).",
        "",
        *table_tasks(training.tasks),
        "",
        *_describe_first_tier(manifest.first),
        f"## Models ({len(training.profiles)})",
        "",
        "Expected quality per task with standard error and the number of scored prompts behind it (0: inferred from the",
        "model's level and the task's) stands in `profiles.json`.",
        "",
        *_describe_scoring(manifest),
        "## Limits",
        "",
        "- Prompts of another kind than the training ones are classified worse than the table says: measure on your own.",
        "- Qualities are as good as the benchmark: they order models on its prompts, not on yours.",
        *(f"- {note}" for note in training.notes),
        "",
    ]
    return "\n".join(lines)
