"""What a decision costs: a whole process beside `import numpy`, and route() beside the bare encoder, both sides in turn.

    python benchmarks/speed.py [--prompts data/prompts.csv] [--n 300] [--runs 10] [--seed 0]

Absolute times depend on the machine and on what else it does; quote the ratios of one run.
"""

from __future__ import annotations

import argparse
import csv
import os
import platform
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from router import Router
from router.artifacts import find_artifact, load_artifact

ROOT = Path(__file__).parent.parent
PROMPT = "prove that sqrt(2) is irrational"
COMMANDS = {
    "python -c 'import numpy'": [sys.executable, "-c", "import numpy"],
    "llm-router route --json": [sys.executable, "-m", "router.cli", "route", "--json", PROMPT],
}


def run_once(command: Sequence[str]) -> tuple[float, float]:
    """Return seconds from start to exit and peak memory in MB of one process."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=ROOT)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise RuntimeError(f"{command} must exit with 0, was {os.waitstatus_to_exitcode(status)}")
    return time.perf_counter() - start, usage.ru_maxrss / 1024


def measure_processes(runs: int) -> None:
    """Print time and memory of both commands, run in turn after one warm-up each."""
    measured: dict[str, list[tuple[float, float]]] = {name: [] for name in COMMANDS}
    for command in COMMANDS.values():
        run_once(command)
    for _ in range(runs):
        for name, command in COMMANDS.items():
            measured[name].append(run_once(command))
    print(f"from start to exit, {runs} runs in turn, median:")
    for name, figures in measured.items():
        seconds, megabytes = (statistics.median(column) for column in zip(*figures, strict=True))
        print(f"  {name:26} {seconds:6.3f} s  {megabytes:6.1f} MB peak")
    first, second = measured.values()
    ratio = statistics.median(b[0] / a[0] for a, b in zip(first, second, strict=True))
    print(f"  ratio of times {ratio:.2f}")


def measure_routing(prompts: Sequence[str]) -> None:
    """Print p50 and p99 of route() and of the bare encoder on the same prompts, in turn."""
    router, classifier = Router.load(), load_artifact(find_artifact()).classifier
    if classifier is None:
        raise RuntimeError("the shipped model folder must have a classifier; train it again")
    router.route(PROMPT)
    bare, whole = [], []
    for prompt in prompts:
        start = time.perf_counter()
        classifier.encoder.encode([prompt])
        middle = time.perf_counter()
        router.route(prompt)
        bare.append(middle - start)
        whole.append(time.perf_counter() - middle)
    print(f"{len(prompts)} prompts, each encoded and routed in turn:")
    for name, times in (("bare encoder", bare), ("route()", whole)):
        cuts = statistics.quantiles(times, n=100)
        print(f"  {name:26} p50 {cuts[49] * 1000:6.2f} ms  p99 {cuts[98] * 1000:6.2f} ms")
    print(f"  ratio of p50 {statistics.median(whole) / statistics.median(bare):.2f}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=Path, default=ROOT / "data" / "prompts.csv")
    parser.add_argument("--n", type=int, default=300)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with options.prompts.open(encoding="utf-8", newline="") as stream:
        prompts = [row["prompt"] for row in csv.DictReader(stream)]
    print(f"{platform.machine()}, {os.cpu_count()} processors, Python {platform.python_version()}, seed {options.seed}")
    measure_processes(options.runs)
    measure_routing(random.Random(options.seed).sample(prompts, options.n))


if __name__ == "__main__":
    main()
