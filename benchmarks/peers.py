"""Labelled prompts in, a comparison with other routers out: time, accuracy, start, memory and installed size.

python benchmarks/peers.py --prompts FILE [--minilm FOLDER] [--environments FOLDER] [--examples 100] [--seed 0] [--plot FILE]

`--prompts` is a CSV file of labelled prompts. `--minilm` is a sentence-transformers folder of all-MiniLM-L6-v2, by default
its hub name.

Every router runs in its own process and its own environment. Each prompt goes to all of them in turn before the next one.
So other work on the machine affects them equally. The first run makes the environments, and later runs use them again.
semantic-router's environment takes some GB.

The routers decide different things:

- semantic-router predicts the same 14 labels, from examples of each task in data/prompts.csv.
- tryaii ranks models by the benchmarks that are similar to a prompt. It predicts no task.
- LiteLLM's complexity router predicts how hard a prompt is. It predicts no task.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
FIRST_PROMPT = "prove that sqrt(2) is irrational"
WARM_UP = (FIRST_PROMPT, "hm")
STARTS = 5
Decide = Callable[[str], str | None]


@dataclass(frozen=True)
class Peer:
    """How to install and open a router.

    Attributes:
        environment: Name of its environment's folder.
        packages: Packages to install, in this order.
        open: Takes the examples and the MiniLM folder. Returns a function from a prompt to its task, None without tasks.
    """

    environment: str
    packages: tuple[str, ...]
    open: Callable[[Sequence[tuple[str, str]], str], Decide]


def open_ours(tier: str) -> Decide:
    """Open this router without its prompt cache."""
    from router import Router

    router = Router.load(cache_size=0, tier=tier)  # type: ignore[arg-type]
    return lambda text: router.route(text).prediction.task


def open_tryaii() -> Decide:
    """Open tryaii with its own catalogue."""
    from tryaii import Router  # type: ignore[import-not-found]

    router = Router(catalog="starter")
    return lambda text: str(router.route(text).best_model) and None


def open_semantic_router(examples: Sequence[tuple[str, str]], minilm: str) -> Decide:
    """Open semantic-router with an index of the examples. The nearest task always answers."""
    from semantic_router.encoders.local import LocalEncoder  # type: ignore[import-not-found]
    from semantic_router.route import Route  # type: ignore[import-not-found]
    from semantic_router.routers import IndexedRouter  # type: ignore[import-not-found]

    by_task: dict[str, list[str]] = {}
    for text, task in examples:
        by_task.setdefault(task, []).append(text)
    routes = [Route(name=task, utterances=texts) for task, texts in by_task.items()]
    router = IndexedRouter(encoder=LocalEncoder(name=minilm), routes=routes, confidence_threshold=-1.0)
    return lambda text: router(text).name


def open_litellm() -> Decide:
    """Open the rules with which LiteLLM separates simple prompts from complex ones."""
    from litellm.router_strategy.complexity_router.complexity_router import ComplexityRouter  # type: ignore[import-not-found]

    router = ComplexityRouter("auto", None)
    return lambda text: str(router.classify(text)[0]) and None


PEERS: Mapping[str, Peer] = {
    "this router": Peer("ours", (str(ROOT),), lambda _, __: open_ours("auto")),
    "this router, full tier": Peer("ours", (str(ROOT),), lambda _, __: open_ours("full")),
    "tryaii 0.8.3": Peer("tryaii", ("tryaii==0.8.3",), lambda _, __: open_tryaii()),
    "semantic-router 1.1.1": Peer(
        "semantic-router", ("torch==2.13.0", "semantic-router==1.1.1", "sentence-transformers>=5"), open_semantic_router
    ),
    "LiteLLM 1.110.2, complexity": Peer("litellm", ("litellm==1.110.2",), lambda _, __: open_litellm()),
}


def serve(name: str, examples: Path, minilm: str) -> None:
    """Answer each line of standard input, a JSON string, with the seconds and the task (null without tasks)."""
    answers, sys.stdout = sys.stdout, sys.stderr  # keeps the peers' own output away from the answers
    decide = PEERS[name].open(json.loads(examples.read_bytes()), minilm)
    for line in sys.stdin:
        text = json.loads(line)
        start = time.perf_counter()
        task = decide(text)
        answers.write(json.dumps([time.perf_counter() - start, task]) + "\n")
        answers.flush()


def make_environment(folder: Path, packages: Sequence[str]) -> Path:
    """Return the interpreter of an environment with the packages. Make the environment if necessary."""
    python = folder / "bin" / "python"
    done = folder / "installed"
    if not done.exists() or str(ROOT) in packages:  # the checkout may have changed
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        for package in packages:  # one by one, torch first: its dependents would bring another build
            subprocess.run([str(python), "-m", "pip", "install", "--quiet", package], check=True)
        done.touch()
    return python


def measure_size(folder: Path) -> float:
    """Return the size of an environment in MB without pip and setuptools."""
    packages = next((folder / "lib").glob("python*/site-packages"))
    kept = [path for path in packages.iterdir() if not path.name.startswith(("pip", "setuptools"))]
    files = (file for path in kept for file in ([path] if path.is_file() else path.rglob("*")))
    return sum(file.stat().st_size for file in files if file.is_file() and not file.is_symlink()) / 1e6


def start_once(command: Sequence[str]) -> tuple[float, float]:
    """Start a router, make one decision and exit. Return the seconds and the peak memory in MB."""
    started = time.perf_counter()
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=tempfile.gettempdir()
    )
    if process.stdin is None:
        raise RuntimeError("the process has no pipe; start it with stdin=subprocess.PIPE")
    process.stdin.write(json.dumps(FIRST_PROMPT).encode() + b"\n")
    process.stdin.close()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise RuntimeError(f"{command} must exit with 0, got {os.waitstatus_to_exitcode(status)}; run it by hand")
    return time.perf_counter() - started, usage.ru_maxrss / 1024


def read_rows(path: Path) -> list[dict[str, str]]:
    """Read a CSV file, gzipped if its name ends in .gz."""
    csv.field_size_limit(1 << 30)
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def draw_examples(n: int, seed: int) -> list[tuple[str, str]]:
    """Return n random prompts and their task for each task of data/prompts.csv."""
    by_task: dict[str, list[str]] = {}
    for row in read_rows(ROOT / "data" / "prompts.csv"):
        by_task.setdefault(row["task"], []).append(row["prompt"])
    by_task.pop("continues", None)
    rng = random.Random(seed)
    return [(text, task) for task, texts in by_task.items() for text in rng.sample(texts, min(n, len(texts)))]


def ask_in_turn(commands: Mapping[str, Sequence[str]], prompts: Sequence[str]) -> dict[str, list[tuple[float, str | None]]]:
    """Send each prompt to every router before the next one. The warm-up prompts do not count."""
    processes = {
        name: subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=tempfile.gettempdir(),
        )
        for name, command in commands.items()
    }
    answers: dict[str, list[tuple[float, str | None]]] = {name: [] for name in commands}
    for prompt in [*WARM_UP, *prompts]:
        for name, process in processes.items():
            if process.stdin is None or process.stdout is None:
                raise RuntimeError("the process has no pipes; start it with subprocess.PIPE")
            process.stdin.write(json.dumps(prompt) + "\n")
            process.stdin.flush()
            seconds, task = json.loads(process.stdout.readline())
            answers[name].append((seconds, task))
    for process in processes.values():
        if process.stdin is not None:
            process.stdin.close()
        process.wait()
    return {name: given[len(WARM_UP) :] for name, given in answers.items()}


def draw(path: Path, points: Mapping[str, tuple[float, float]], n: int) -> None:
    """Plot accuracy against median time, for the routers that predict a task."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    for name, (milliseconds, accuracy) in points.items():
        axes.scatter(milliseconds, accuracy)
        axes.annotate(name, (milliseconds, accuracy), textcoords="offset points", xytext=(6, 6))
    axes.set_xscale("log")
    axes.set_xlabel("median time of a decision, ms")
    axes.set_ylabel(f"accuracy on {n} prompts")
    axes.margins(0.25)
    axes.grid(visible=True, alpha=0.3)
    figure.savefig(path, dpi=120)


def main() -> None:
    """Make the environments, measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=Path, required=True)
    parser.add_argument("--minilm", default="sentence-transformers/all-MiniLM-L6-v2")
    parser.add_argument("--environments", type=Path, default=Path(tempfile.gettempdir()) / "router-peers")
    parser.add_argument("--examples", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    rows = read_rows(options.prompts)
    folders, commands = {}, {}
    with tempfile.TemporaryDirectory() as scratch:
        examples = Path(scratch) / "examples.json"
        examples.write_text(json.dumps(draw_examples(options.examples, options.seed)))
        made: dict[str, Path] = {}
        for name, peer in PEERS.items():
            folders[name] = options.environments / peer.environment
            if peer.environment not in made:
                made[peer.environment] = make_environment(folders[name], peer.packages)
            python = made[peer.environment]
            commands[name] = [str(python), str(Path(__file__).resolve()), "serve", name, str(examples), options.minilm]
        starts: dict[str, list[tuple[float, float]]] = {name: [] for name in PEERS}
        for _ in range(STARTS):
            for name, command in commands.items():
                starts[name].append(start_once(command))
        answers = ask_in_turn(commands, [row["prompt"] for row in rows])
    print(f"{options.prompts.name}: n {len(rows)}, {options.examples} examples per task, seed {options.seed}")
    print(f"each prompt goes to all routers in turn; {STARTS} starts in turn, medians")
    print(f"{platform.machine()}, {os.cpu_count()} processors, Python {platform.python_version()}")
    print(f"{'':28} {'p50 ms':>8} {'p99 ms':>8} {'accuracy':>9} {'start s':>8} {'peak MB':>8} {'installed MB':>13}")
    points = {}
    for name, given in answers.items():
        cuts = statistics.quantiles([seconds * 1000 for seconds, _ in given], n=100)
        hits = [task == row["task"] for (_, task), row in zip(given, rows, strict=True) if task is not None]
        accuracy = f"{statistics.mean(hits):.3f}" if hits else "no tasks"
        start, peak = (statistics.median(column) for column in zip(*starts[name], strict=True))
        size = measure_size(folders[name])
        print(f"{name:28} {cuts[49]:8.2f} {cuts[98]:8.1f} {accuracy:>9} {start:8.2f} {peak:8.0f} {size:13.0f}")
        if hits:
            points[name] = (cuts[49], statistics.mean(hits))
    if options.plot:
        draw(options.plot, points, len(rows))


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        serve(sys.argv[2], Path(sys.argv[3]), sys.argv[4])
    else:
        main()
