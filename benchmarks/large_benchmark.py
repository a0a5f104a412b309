"""What a large benchmark file costs: read and learnt from in a process of its own, rows per second and peak memory.

    python benchmarks/large_benchmark.py [--rows 5000000] [--models 16] [--chars 300] [--seed 0]

The file is drawn at random and removed afterwards: each prompt of about `--chars` characters stands in a row of each model.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from training.datasets import TASKS, read_benchmark
from training.profiles import learn_profiles

ROOT = Path(__file__).parent.parent
COLUMNS = ("prompt", "task", "benchmark", "model", "score", "cost_usd", "input_tokens", "output_tokens", "latency_s")
WORDS = ("route", "prompt", "model, of", "quality", "cost", "a", "answer", "to", "the", "réponse")


def write_table(path: Path, *, rows: int, models: int, chars: int, seed: int) -> None:
    """Write a long table; its last prompt may lack some models."""
    draw = random.Random(seed)
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(COLUMNS)
        for row in range(rows):
            prompt, model = divmod(row, models)
            if model == 0:
                text = f"{prompt}: {' '.join(draw.choices(WORDS, k=chars // 5))}"[:chars]
            tokens, length = chars // 4, draw.randrange(10, 900)
            writer.writerow(
                (
                    text,
                    TASKS[prompt % len(TASKS)],
                    f"benchmark {prompt % 9}",
                    f"model {model}",
                    round(draw.random(), 3),
                    f"{length * 1e-6:.6f}",
                    tokens,
                    length,
                    length / 100,
                )
            )


def measure(path: Path) -> dict[str, float]:
    """Read and learn in this process; return seconds of both, rows, and peak memory in MB."""
    start = time.perf_counter()
    table = read_benchmark(path)
    middle = time.perf_counter()
    learn_profiles(table.results, table.facts, TASKS)
    return {
        "rows": len(table.results),
        "read_s": middle - start,
        "learn_s": time.perf_counter() - middle,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def main() -> None:
    """Write the file, measure in a child process, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--models", type=int, default=16)
    parser.add_argument("--chars", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        print(json.dumps(measure(given.measure)))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "benchmark.csv"
        write_table(path, rows=given.rows, models=given.models, chars=given.chars, seed=given.seed)
        size = path.stat().st_size / 1e6
        child = [sys.executable, __file__, "--measure", str(path)]
        told = json.loads(subprocess.run(child, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout)
    print(
        f"{told['rows']} rows, {given.models} models, prompts of {given.chars} characters, {size:.0f} MB, seed {given.seed}:"
    )
    print(f"  read   {told['read_s']:7.1f} s  {told['rows'] / told['read_s']:9.0f} rows/s")
    print(f"  learn  {told['learn_s']:7.1f} s  {told['rows'] / told['learn_s']:9.0f} rows/s")
    print(f"  peak memory {told['peak_mb']:.0f} MB")


if __name__ == "__main__":
    main()
