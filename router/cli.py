"""`llm-router`: route a prompt, list the models, check a model folder. The only place that prints.

Exit codes: 0 decided, 2 usage or input, 3 no candidate, 4 model folder.
"""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from router.artifacts import Artifact, find_artifact, load_artifact
from router.core import Router
from router.errors import ArtifactError, NoCandidateError, RouterError

if TYPE_CHECKING:
    from router.decision import RoutingDecision

USAGE, NO_CANDIDATE, BAD_ARTIFACT = 2, 3, 4
_SHOWN = 5

app = typer.Typer(
    help="Which model should handle this prompt, and why.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

ModelOption = Annotated[
    Path | None, typer.Option("--model", help="Model folder; default: $LLM_ROUTER_MODEL, else the shipped one.")
]


@app.command()
def route(
    prompt: Annotated[str, typer.Argument(help="The prompt; - reads it from standard input.")],
    model: ModelOption = None,
    prefer: Annotated[str | None, typer.Option(help="quality, balanced, cheap or fast.")] = None,
    quality_floor: Annotated[
        float | None,
        typer.Option(help="The cheapest whose expected quality is at least this share of the best's, 0 to 1."),
    ] = None,
    max_cost_usd: Annotated[float | None, typer.Option(help="Most that this prompt may be expected to cost.")] = None,
    allowed: Annotated[list[str] | None, typer.Option(help="A model that may be chosen; repeat for more.")] = None,
    needs: Annotated[
        list[str] | None, typer.Option(help="A capability it must have, such as vision; repeat for more.")
    ] = None,
    focus: Annotated[
        str | None, typer.Option(help="creative, technical, informative, language, ethical, or a task.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the decision as JSON.")] = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="Print every term, and what would have changed the choice.")
    ] = False,
) -> None:
    """Say which model should handle a prompt."""
    decision = Router.load(model).route(
        _read_stdin() if prompt == "-" else prompt,
        focus=focus,
        prefer=prefer,
        quality_floor=quality_floor,
        max_cost_usd=max_cost_usd,
        allowed=allowed or None,
        needs=needs or (),
    )
    if as_json:
        typer.echo(json.dumps(decision.to_dict(), indent=2, ensure_ascii=False))
    else:
        typer.echo(decision.explain() if explain else _summarize(decision))


@app.command()
def models(model: ModelOption = None) -> None:
    """List the models of a model folder: price, context window, quality over all tasks."""
    profiles = load_artifact(model or find_artifact(), on_error="keywords").profiles
    width = max(len(profile.name) for profile in profiles)
    typer.echo(
        f"{'model':{width}}  {'provider':12}  {'in USD/M':>8}  {'out USD/M':>9}  {'context':>9}  quality  capabilities"
    )
    for profile in profiles:
        quality = [estimate.mean for estimate in profile.quality.values()]
        typer.echo(
            f"{profile.name:{width}}  {profile.provider:12}  {_number(profile.input_usd_per_mtok):>8}"
            f"  {_number(profile.output_usd_per_mtok):>9}  {_number(profile.context_window):>9}"
            f"  {sum(quality) / len(quality) if quality else float('nan'):7.3f}  {', '.join(sorted(profile.capabilities))}"
        )


@app.command()
def check(
    folder: Annotated[Path | None, typer.Argument(help="The model folder; default as for route.")] = None,
) -> None:
    """Verify a model folder: every hash, shape and canary; say what is in it."""
    typer.echo(_describe(load_artifact(folder or find_artifact())))


def main() -> NoReturn:
    """Run the command line; a mistake is one line on standard error and an exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that lacks ± must not cost the answer
    try:
        app()
    except NoCandidateError as error:
        _fail(error, NO_CANDIDATE)
    except ArtifactError as error:
        _fail(error, BAD_ARTIFACT)
    except RouterError as error:
        _fail(error, USAGE)
    sys.exit(0)


def _fail(error: RouterError, code: int) -> NoReturn:
    typer.echo(f"error: {error}", err=True)
    sys.exit(code)


def _read_stdin() -> str:
    """Read a prompt whatever its bytes are."""
    return sys.stdin.buffer.read().decode("utf-8", "replace")


def _summarize(decision: RoutingDecision) -> str:
    prediction = decision.prediction
    lines = [
        f"{decision.model}   (task: {prediction.task or 'unknown'} {prediction.confidence:.2f}, by {prediction.source})",
        "",
    ]
    width = max(len(name) for name in decision.ranking[:_SHOWN])
    lines.append(f"{'':2} {'model':{width}}  expected quality  USD per 1,000 prompts")
    for place, name in enumerate(decision.ranking[:_SHOWN], start=1):
        score = decision.scores[name]
        cost = "unknown" if score.cost_usd is None else f"{score.cost_usd * 1000:.2f}"
        lines.append(f"{place:2} {name:{width}}  {score.quality:.3f} ± {score.stderr:.3f}  {cost:>22}")
    return "\n".join([*lines, *(f"note: {reason}" for reason in decision.reasons)])


def _describe(artifact: Artifact) -> str:
    manifest = artifact.manifest
    lines = [
        f"{artifact.folder}: sound",
        f"  manifest sha256  {artifact.sha256}",
        f"  created          {manifest.created}, seed {manifest.seed}, "
        + ", ".join(f"{name} {version}" for name, version in manifest.versions.items()),
        f"  tasks            {', '.join(manifest.labels)}",
        f"  encoder          {manifest.encoder.name}, {manifest.encoder.dim} dimensions",
        f"  models           {len(artifact.profiles)}",
        *(
            f"  learnt from      {data.name}, {data.rows} rows, {data.licence or 'no licence named'}"
            for data in manifest.training_data
        ),
        *(f"  {name:30} {value:.3f}" for name, value in manifest.metrics.items()),
    ]
    return "\n".join(lines)


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:g}"


if __name__ == "__main__":
    main()
