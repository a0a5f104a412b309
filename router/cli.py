"""`llm-router`: route a prompt, list the models, check a model folder. The only place that prints.

Exit codes: 0 decided, 2 usage or input, 3 no candidate, 4 model folder.
"""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from router.artifacts import Artifact, find_artifact, load_artifact
from router.classifier import CONTINUES
from router.config import Config, choose_profiles, read_config
from router.core import Router
from router.errors import ArtifactError, NoCandidateError, RouterError
from router.serving import Fleet
from router.strategies import STRATEGIES
from router.types import ModelProfile

if TYPE_CHECKING:
    from router.decision import RoutingDecision
    from router.types import TierChoice

USAGE, NO_CANDIDATE, BAD_ARTIFACT = 2, 3, 4
_SHOWN = 5

_model_option = click.option(
    "--model",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Model folder; default: $LLM_ROUTER_MODEL, else the shipped one.",
)


@click.group()
@click.version_option(package_name="contextual-llm-router")
def app() -> None:
    """Which model should handle this prompt, and why."""


@app.command()
@click.argument("prompt")
@_model_option
@click.option(
    "--strategy", default="contextual", show_default=True, help=f"{', '.join(STRATEGIES)}, or several joined by >."
)
@click.option("--key", default="", help="What makes a choice sticky, such as a user or a session.")
@click.option("--prefer", help="quality, balanced, cheap or fast.")
@click.option(
    "--quality-floor", type=float, help="The cheapest whose expected quality is at least this share of the best's, 0 to 1."
)
@click.option("--cost-per-point", type=float, help="USD that a point of quality, 0.01 of expected score, is worth.")
@click.option(
    "--max-loss", type=float, help="Most that the average score may be below the best single model's, such as 0.02."
)
@click.option("--confidence", type=float, help="How sure that must be; 0.95 where not given.")
@click.option("--max-cost-usd", type=float, help="Most that this prompt may be expected to cost.")
@click.option("--allowed", metavar="MODEL", multiple=True, help="A model that may be chosen; repeat for more.")
@click.option("--needs", multiple=True, help="A capability it must have, such as vision; repeat for more.")
@click.option("--focus", help="creative, technical, informative, language, ethical, or a task.")
@click.option("--tier", help="auto: the full classifier reads what the first tier is not sure of; full: everything.")
@click.option("--json", "as_json", is_flag=True, help="Print the decision as JSON.")
@click.option("--explain", is_flag=True, help="Print every term, and what would have changed the choice.")
def route(
    prompt: str,
    *,
    model: Path | None,
    strategy: str,
    key: str,
    prefer: str | None,
    quality_floor: float | None,
    cost_per_point: float | None,
    max_loss: float | None,
    confidence: float | None,
    max_cost_usd: float | None,
    allowed: Sequence[str],
    needs: Sequence[str],
    focus: str | None,
    tier: TierChoice | None,
    as_json: bool,
    explain: bool,
) -> None:
    """Say which model should handle PROMPT; - reads it from standard input."""
    decision = Router.load(model, strategy=strategy).route(
        _read_stdin() if prompt == "-" else prompt,
        key=key,
        focus=focus,
        prefer=prefer,
        quality_floor=quality_floor,
        cost_per_point=cost_per_point,
        max_loss=max_loss,
        confidence=confidence,
        max_cost_usd=max_cost_usd,
        allowed=allowed or None,
        needs=needs,
        tier=tier,
    )
    if as_json:
        click.echo(json.dumps(decision.to_dict(), indent=2, ensure_ascii=False))
    else:
        click.echo(decision.explain() if explain else _summarize(decision))


@app.command()
@_model_option
def models(model: Path | None) -> None:
    """List the models of a model folder: price, context window, quality over all tasks."""
    profiles = load_artifact(model or find_artifact(), on_error="keywords").profiles
    width = max(len(profile.name) for profile in profiles)
    click.echo(
        f"{'model':{width}}  {'provider':12}  {'in USD/M':>8}  {'out USD/M':>9}  {'context':>9}  quality  capabilities"
    )
    for profile in profiles:
        quality = [estimate.mean for estimate in profile.quality.values()]
        click.echo(
            f"{profile.name:{width}}  {profile.provider:12}  {_number(profile.input_usd_per_mtok):>8}"
            f"  {_number(profile.output_usd_per_mtok):>9}  {_number(profile.context_window):>9}"
            f"  {sum(quality) / len(quality) if quality else float('nan'):7.3f}  {', '.join(sorted(profile.capabilities))}"
        )


@app.command()
@click.argument("folder", required=False, type=click.Path(path_type=Path))
def check(folder: Path | None) -> None:
    """Verify a model folder (default: as for route): every hash, shape and canary; say what is in it."""
    click.echo(_describe(load_artifact(folder or find_artifact(), eager=True)))


@app.group()
def config() -> None:
    """Configuration files: models, endpoints, limits."""


@config.command(name="check")
@click.argument("file", type=click.Path(path_type=Path))
def check_config(file: Path) -> None:
    """Read FILE, TOML or YAML, and the model folder it names; say what would be served, where and within which limits."""
    config = read_config(file)
    profiles = choose_profiles(config, load_artifact(config.model_folder or find_artifact()).profiles)
    Fleet(profiles, config.serving)  # tells what does not fit together; the SDK that would make the calls is not needed
    click.echo("\n".join(_describe_serving(profiles, config)))


def main() -> NoReturn:
    """Run the command line."""
    run(app)


def run(command: click.Command) -> NoReturn:
    """Run a command line; a mistake is told on standard error with an exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that lacks ± must not cost the answer
    try:
        command()
    except NoCandidateError as error:
        _fail(error, NO_CANDIDATE)
    except ArtifactError as error:
        _fail(error, BAD_ARTIFACT)
    except RouterError as error:
        _fail(error, USAGE)
    sys.exit(0)


def _fail(error: RouterError, code: int) -> NoReturn:
    click.echo(f"error: {error}", err=True)
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
        f"  tasks            {', '.join(label for label in manifest.labels if label != CONTINUES)}",
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
    return "unknown" if value is None else f"{value:.10g}"


def _describe_serving(profiles: Sequence[ModelProfile], config: Config) -> list[str]:
    options, serving = config.options, config.serving
    lines = [f"{config.path}: {len(profiles)} models, strategy {options['strategy']}, {_tell_dial(config)}"]
    if serving.spend:
        lines.append(f"spend: {serving.spend.usd:g} USD per {serving.spend.window_s:g} s, then {serving.spend.on_spent}")
    for profile in profiles if config.models else ():
        lines.append(f"{profile.name}  {_tell_limits(config, profile.name)}".rstrip())
        for name, weight in serving.endpoints.get(profile.name, {}).items():
            endpoint = config.endpoints[name]
            key = "no key" if endpoint.key_env is None else f"key in ${endpoint.key_env}"
            unset = " (not set)" if endpoint.key_env and endpoint.key_env not in os.environ else ""
            lines.append(f"  {endpoint.base_url}  as {endpoint.model}, weight {weight:g}, {key}{unset}")
    return lines


def _tell_dial(config: Config) -> str:
    names = ("prefer", "quality_floor", "cost_per_point", "max_loss", "confidence", "max_cost_usd")
    told = [f"{name} {config.options[name]}" for name in names if config.options.get(name) is not None]  # type: ignore[literal-required]
    return ", ".join(told) or "prefer balanced"


def _tell_limits(config: Config, model: str) -> str:
    limits, chain = config.models[model], config.models[model].fallbacks
    told = [
        f"{number} {what} per minute"
        for number, what in ((limits.requests_per_minute, "requests"), (limits.tokens_per_minute, "tokens"))
        if number is not None
    ]
    return ", ".join(told if chain is None else [*told, f"then {', '.join(chain) or 'nobody'}"])


if __name__ == "__main__":
    main()
