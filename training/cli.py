"""`llm-router-train`: train, evaluate, convert an encoder, normalise figures. The pipeline's only place that prints."""

from __future__ import annotations

import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from router.artifacts import find_artifact
from router.classifier import CONTINUES
from router.cli import USAGE, run

if TYPE_CHECKING:
    from training.artifacts import Training
    from training.checks import Finding
    from training.datasets import LabelledPrompt
    from training.encoders import Precision
    from training.evaluate import Evaluation, Quality, TaskQuality
    from training.finetune import Objective, Tuned

_BASE = "sentence-transformers/all-MiniLM-L6-v2"
_Command = Callable[..., Any]


def _path_option(name: str, *, required: bool = False, help: str) -> Callable[[_Command], _Command]:  # noqa: A002 - as click's
    return click.option(name, required=required, metavar="PATH", type=click.Path(path_type=Path), help=help)


_prompts_option = _path_option("--prompts", required=True, help="CSV of labelled prompts: prompt,task,…; may end in .gz.")
_seed_option = click.option("--seed", default=0, show_default=True, help="Of every random choice.")
_own_tasks_option = click.option("--own-tasks", is_flag=True, help="The tasks are those in the file, not the 14 built in.")


@click.group()
@click.version_option(package_name="contextual-llm-router")
def app() -> None:
    """Learn a router from two CSV files."""


@app.command()
@_prompts_option
@_path_option("--benchmark", required=True, help="CSV of benchmark results: model,task,score,…; may end in .gz.")
@_path_option("--out", required=True, help="The model folder to write; an older one there is replaced.")
@_path_option("--encoder", help="Encoder folder; default: that of the shipped model folder.")
@click.option(
    "--finetune", is_flag=True, help="Tune an encoder on the prompts first: better, and minutes to an hour slower."
)
@click.option("--base", default=_BASE, show_default=True, help="What --finetune tunes: a hub name or a local folder.")
@_own_tasks_option
@_seed_option
@click.option("--jobs", default=-1, show_default=True, help="Processes for cross-validation; -1: all processors.")
def train(
    *,
    prompts: Path,
    benchmark: Path,
    out: Path,
    encoder: Path | None,
    finetune: bool,
    base: str,
    own_tasks: bool,
    seed: int,
    jobs: int,
) -> None:
    """Learn a task classifier and model profiles; write a model folder that the router loads."""
    from training.artifacts import check_replaceable
    from training.classifier import default_cache
    from training.pipeline import train as learn

    if finetune:
        if encoder:
            raise click.UsageError("--finetune makes an encoder of its own; leave out --encoder")
        check_replaceable(out)
        encoder = _tune_for(out, prompts, base=base, own_tasks=own_tasks, seed=seed)

    training = learn(
        prompts,
        benchmark,
        out,
        encoder=encoder or find_artifact() / "encoder",
        own_tasks=own_tasks,
        seed=seed,
        jobs=jobs,
        cache=default_cache(),
        progress=_show_progress,
    )
    click.echo(_describe_training(training, out))
    if finetune and encoder:
        shutil.rmtree(encoder)


def _tune_for(out: Path, prompts: Path, *, base: str, own_tasks: bool, seed: int) -> Path:
    """Return the folder, beside `out`, of an encoder tuned on the prompts."""
    from training.finetune import Recipe
    from training.pipeline import tune_encoder

    folder = out.with_name(f".{out.name}-encoder")
    shutil.rmtree(folder, ignore_errors=True)
    tuned, _ = tune_encoder(base, prompts, folder, recipe=Recipe(seed=seed), own_tasks=own_tasks, progress=_show_steps)
    click.echo(_describe_tuning(tuned))
    return folder


@app.command()
@_path_option("--prompts", help="CSV of labelled prompts: prompt,task,…; may end in .gz.")
@_path_option("--conversations", help="Instead: CSV of conversations: conversation_id,role,content,task.")
@_path_option("--model", help="Model folder; default: $LLM_ROUTER_MODEL, else the shipped one.")
@_path_option("--train-on", help="CSV of labelled prompts that the baselines learn from.")
@click.option("--by", type=click.Choice(["task", "source"]), help="A table for each of them besides.")
@_own_tasks_option
@_seed_option
@_path_option("--out", help="Folder to write evaluation.json, .md and .png to; needs the extra `plots`.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def evaluate(
    *,
    prompts: Path | None,
    conversations: Path | None,
    model: Path | None,
    train_on: Path | None,
    by: str | None,
    own_tasks: bool,
    seed: int,
    out: Path | None,
    as_json: bool,
) -> None:
    """Say how often a model folder tells the task of labelled prompts or of users' turns, beside baselines."""
    from training.classifier import default_cache
    from training.datasets import TASKS, read_conversations, read_prompts, with_task
    from training.pipeline import evaluate_folder
    from training.report import to_json, write_evaluation

    file = prompts or conversations
    if file is None or (prompts and conversations):
        raise click.UsageError("give one of --prompts and --conversations")
    if out:
        import matplotlib  # noqa: F401 - missing, it should be told before the work

    tasks = None if own_tasks else TASKS
    given = (read_prompts if prompts else read_conversations)(file, tasks=tasks)
    given = replace(given, rows=with_task(given.rows))
    evaluation, guesses = evaluate_folder(
        model or find_artifact(),
        given,
        train_on=read_prompts(train_on, tasks=tasks) if train_on else None,
        seed=seed,
        cache=default_cache(),
        progress=_show_progress,
    )
    written = write_evaluation(out, evaluation, file.name) if out else []
    if as_json:
        click.echo(to_json(evaluation, file.name))
        return
    click.echo("\n".join([f"{file.name}: n {evaluation.n}, seed {seed}, 95 % bootstrap intervals", *_tell(evaluation)]))
    if by == "task":
        click.echo("\n".join(["", *_tell_tasks(evaluation.tasks)]))
    elif by == "source" or conversations:
        click.echo("\n".join(_tell_sources(guesses, given.rows)))
    for path in written:
        click.echo(path)


@app.command()
@click.argument("file", type=click.Path(path_type=Path))
@_path_option("--out", help="CSV to write the rows to look at to.")
@_path_option("--encoder", help="Encoder folder; default: that of the shipped model folder.")
@_own_tasks_option
@_seed_option
@click.option("--kinds", is_flag=True, help="List the kinds of request of each task besides.")
def check_data(file: Path, *, out: Path | None, encoder: Path | None, own_tasks: bool, seed: int, kinds: bool) -> None:
    """Look for repeats, conflicts and likely wrong labels in labelled prompts, and tell their mix."""
    from training.checks import write_findings
    from training.classifier import default_cache
    from training.datasets import TASKS
    from training.pipeline import check_prompts

    given, found = check_prompts(
        file,
        encoder=encoder or find_artifact() / "encoder",
        own_tasks=own_tasks,
        seed=seed,
        cache=default_cache(),
        progress=_show_progress,
    )
    click.echo("\n".join([f"{file}: {len(given.rows)} prompts", *_tell_mix(given.rows, () if own_tasks else TASKS)]))
    if kinds:
        click.echo("\n".join(_tell_kinds(given.rows)))
    click.echo("\n".join(_tell_findings(found)))
    if out:
        write_findings(out, found)
        click.echo(f"{out}: {len(found)} rows to look at")


@app.command()
@click.argument("name_or_path")
@_path_option("--out", required=True, help="The encoder folder to write; must not exist.")
@click.option("--name", help="What to call it in the record; default: NAME_OR_PATH.")
@click.option("--fp32", is_flag=True, help="Keep 32-bit floats instead of 8-bit integers.")
@click.option(
    "--max-tokens",
    type=click.IntRange(min=8),
    default=128,
    show_default=True,
    help="Longest input; of longer ones head and tail are kept.",
)
@_path_option("--prompts", help="CSV of prompts to compare on; default: built-in sentences.")
@_path_option("--finetune", help="CSV of labelled prompts to tune it on first; what is cut short goes on when run again.")
@click.option("--layers", type=int, help="With --finetune: keep its first layers only.  [default: all]")
@click.option(
    "--objective",
    type=click.Choice(["cross-entropy", "contrastive", "both"]),
    default="cross-entropy",
    show_default=True,
    help="With --finetune: the loss.",
)
@click.option("--epochs", type=click.IntRange(min=1), help="With --finetune.  [default: 3, few prompts more]")
@_own_tasks_option
@_seed_option
def encoder(
    name_or_path: str,
    *,
    out: Path,
    name: str | None,
    fp32: bool,
    max_tokens: int,
    prompts: Path | None,
    finetune: Path | None,
    layers: int | None,
    objective: Objective,
    epochs: int | None,
    own_tasks: bool,
    seed: int,
) -> None:
    """Turn a sentence-transformers model, by hub name or local folder, into the runtime's ONNX form, and compare the two."""
    from training.encoders import PARITY_PROMPTS, convert_encoder, parity_prompts
    from training.finetune import Recipe
    from training.pipeline import tune_encoder

    precision: Precision = "fp32" if fp32 else "int8"
    if finetune:
        recipe = Recipe(layers=layers, objective=objective, epochs=epochs, max_tokens=max_tokens, seed=seed)
        tuned, made = tune_encoder(
            name_or_path,
            finetune,
            out,
            recipe=recipe,
            name=name,
            precision=precision,
            own_tasks=own_tasks,
            progress=_show_steps,
        )
        click.echo(_describe_tuning(tuned))
    else:
        texts = parity_prompts(prompts, PARITY_PROMPTS)
        made = convert_encoder(name_or_path, out, prompts=texts, name=name, precision=precision, max_tokens=max_tokens)
    record = made.record
    click.echo(
        f"{out}: {record.name}, {record.precision}, {made.size_bytes / 1e6:.1f} MB, {record.dim} dimensions, "
        f"{record.pooling} pooling, prefix {record.prefix!r}, {record.max_tokens} tokens\n"
        f"cosine to the original over {made.n} prompts: mean {made.mean_cosine:.4f}, least {made.min_cosine:.4f}"
    )


@app.command()
@_path_option("--figures", required=True, help="CSV of published figures: model,task,benchmark,value,scale,…")
@_path_option("--models", required=True, help="CSV of models: model,provider,prices,context_window,…")
@_path_option("--out", required=True, help="The benchmark CSV to write.")
@click.option(
    "--reference",
    default="gemini-2.5-flash",
    show_default=True,
    help="The model against which Elo becomes an expected score.",
)
def published(*, figures: Path, models: Path, out: Path, reference: str) -> None:
    """Bring published percentages and Elo ratings to the benchmark layout, with scores in [0, 1]."""
    from training.published import normalize_figures

    click.echo(f"{out}: {normalize_figures(figures, models, out, reference=reference)} rows")


def main() -> NoReturn:
    """Run the command line."""
    try:
        run(app)
    except ImportError as error:
        click.echo(f"error: {error}; pip install 'contextual-llm-router[train,plots]'", err=True)
        sys.exit(USAGE)


def _show_progress(texts: Sequence[str]) -> Iterable[str]:
    from tqdm import tqdm

    return tqdm(texts, desc="encoding", unit="prompt", disable=None)  # None: only on a terminal


def _show_steps(steps: Sequence[int]) -> Iterable[int]:
    from tqdm import tqdm

    return tqdm(steps, desc="tuning", unit="step", disable=None)


def _describe_tuning(tuned: Tuned) -> str:
    lines = [f"tuned on {tuned.record.rows} prompts, {tuned.held_out} held out; epoch {tuned.record.epochs} kept"]
    lines += [
        f"epoch {epoch}: held-out log-loss {loss:.3f}, accuracy {accuracy:.3f}"
        for epoch, (loss, accuracy) in enumerate(zip(tuned.log_loss, tuned.accuracy, strict=True), 1)
    ]
    return "\n".join(lines)


def _describe_training(training: Training, out: Path) -> str:
    manifest = training.manifest
    n_tasks = sum(label != CONTINUES for label in manifest.labels)
    best = sorted(training.profiles, key=lambda profile: -_mean_quality(profile.quality.values()))[:5]
    return "\n".join(
        [
            f"{out}: {manifest.training_data[0].rows} prompts, {n_tasks} tasks, {len(training.profiles)} models",
            *(f"note: {note}" for note in training.notes),
            "",
            f"held out, {int(manifest.metrics['folds'])} folds by group, seed {manifest.seed}, 95 % bootstrap intervals:",
            *_tell_qualities(training.qualities),
            ", ".join(
                f"{part} weighs {manifest.metrics[f'weight of {part}']:.2f} (C {manifest.metrics[f'C of {part}']:g})"
                for part in ("embedding", "words")
            ),
            f"calibration error {manifest.metrics['calibration error']:.3f}, unsure below {manifest.threshold:.2f}",
            "",
            *_tell_tasks(training.tasks),
            "",
            "best models",
            *(f"{task.task:16} {_tell_best(training, task.task)}" for task in training.tasks),
            "",
            f"best over all tasks: {', '.join(profile.name for profile in best)}",
        ]
    )


def _tell_best(training: Training, task: str) -> str:
    best = sorted(training.profiles, key=lambda profile: -profile.quality[task].mean)[:2]
    return ", ".join(f"{p.name} {p.quality[task].mean:.2f} ± {p.quality[task].stderr:.2f}" for p in best)


def _mean_quality(estimates: Iterable[object]) -> float:
    means = [getattr(estimate, "mean", 0.0) for estimate in estimates]
    return sum(means) / max(len(means), 1)


def _tell_qualities(qualities: Sequence[Quality]) -> list[str]:
    lenient = any(quality.lenient for quality in qualities)
    head = f"{'':15} {'accuracy':22} {'macro-F1':22}" + (f" {'lenient accuracy':22}" if lenient else "")
    return [
        head.rstrip(),
        *(
            f"{q.name:15} {q.accuracy!s:22} {q.macro_f1!s:22}{f' {q.lenient}' if q.lenient else ''}".rstrip()
            for q in qualities
        ),
    ]


def _tell(evaluation: Evaluation) -> list[str]:
    deciders = ", ".join(
        f"{name} {share.n / evaluation.n:.0%} (accuracy {share.accuracy:.2f})" for name, share in evaluation.deciders.items()
    )
    return [
        *_tell_qualities(evaluation.qualities),
        f"router: among two {evaluation.top2}, calibration error {evaluation.calibration_error}",
        f"settled by: {deciders}",
    ]


def _tell_tasks(tasks: Sequence[TaskQuality]) -> list[str]:
    return [f"{'task':16} {'n':>5}  {'precision':20}  {'recall':20}  F1"] + [
        f"{task.task:16} {task.n:5}  {task.precision}  {task.recall}  {task.f1}" for task in tasks
    ]


def _tell_sources(predictions: dict[str, list[str | None]], rows: Sequence[LabelledPrompt]) -> list[str]:
    lines = ["", f"{'source':26} {'n':>5}  " + "  ".join(f"{name:>13}" for name in predictions) + "   (accuracy)"]
    for source in sorted({row.source for row in rows}):
        places = [i for i, row in enumerate(rows) if row.source == source]
        shares = [sum(guess[i] == rows[i].task for i in places) / len(places) for guess in predictions.values()]
        lines.append(f"{source:26} {len(places):5}  " + "  ".join(f"{share:13.3f}" for share in shares))
    return lines


def _tell_mix(rows: Sequence[LabelledPrompt], tasks: Sequence[str]) -> list[str]:
    from training.checks import contrast_sets, find_thin, measure_mix

    lines = ["", f"{'task':16} {'n':>5}  languages  other than en  median words  most words"]
    for task, n in Counter(row.task for row in rows).most_common():
        own = [row for row in rows if row.task == task]
        sizes = sorted(len(row.prompt.split()) for row in own)
        languages = {row.language for row in own if row.language}
        foreign = sum(row.language not in ("", "en") for row in own) / n
        lines.append(f"{task:16} {n:5}  {len(languages):9}  {foreign:13.0%}  {sizes[n // 2]:12}  {sizes[-1]:10}")
    lines += [f"thin: {task} has {n} prompts" for task, n in find_thin(rows, tasks or {row.task for row in rows}).items()]
    lines += ["", f"{'mix':50} {'n':>5}   share"]
    lines += [
        f"{share.name + ('' if share.declared else ' *'):50} {share.count:5}  {share.count / share.n:6.1%}"
        for share in measure_mix(rows)
    ]
    return [*lines, f"{'contrast sets':50} {len(contrast_sets(rows)):5}", "* read off the text; the others as declared"]


def _tell_kinds(rows: Sequence[LabelledPrompt]) -> list[str]:
    lines = [""]
    for task in sorted({row.task for row in rows}):
        kinds = Counter(row.kind or "not named" for row in rows if row.task == task)
        told = ", ".join(f"{kind} {count}" for kind, count in kinds.most_common())
        lines.append(f"{task}, {len(kinds)} kinds: {told}")
    return lines


def _tell_findings(found: Sequence[Finding]) -> list[str]:
    lines = ["", f"{'to look at':50} {'n':>5}"]
    lines += [f"{problem:50} {count:5}" for problem, count in Counter(finding.problem for finding in found).most_common()]
    return lines if found else ["", "nothing to look at"]


if __name__ == "__main__":
    main()
