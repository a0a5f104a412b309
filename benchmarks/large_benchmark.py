"""A large random benchmark file in, the seconds and the peak memory to read it and learn from it out.

    python benchmarks/large_benchmark.py [--rows 5000000] [--models 16] [--chars 300] [--seed 0]

The script writes the file, measures in a child process and removes the file. Each prompt has about `--chars` characters and
one row per model.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import re
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from training.data.benchmark import read_benchmark
from training.data.prompts import TASKS
from training.quality.profiles import learn_profiles

ROOT = Path(__file__).parent.parent
COLUMNS = ("prompt", "task", "benchmark", "model", "score", "cost_usd", "input_tokens", "output_tokens", "latency_s")
WORDS = ("route", "prompt", "model, of", "quality", "cost", "a", "answer", "to", "the", "réponse")


def write_table(path: Path, *, rows: int, models: int, chars: int, seed: int) -> None:
    """Write a table in the long layout. The last prompt may lack some models."""
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


class PeakOwn(threading.Thread):
    """Watches the memory that this process cannot give back, in MB, ten times a second (Linux).

    Pages of files are not part of it, because the system can drop them.
    """

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak_mb = 0.0

    def run(self) -> None:
        """Watch until the process ends."""
        status = Path("/proc/self/status")
        while status.is_file():
            kilobytes = re.search(r"RssAnon:\s+(\d+)", status.read_text())
            self.peak_mb = max(self.peak_mb, int(kilobytes[1]) / 1024 if kilobytes else 0.0)
            time.sleep(0.1)


def measure(path: Path) -> dict[str, float]:
    """Read and learn in this process. Return the seconds of both, the rows and the peak memory in MB."""
    own = PeakOwn()
    own.start()
    start = time.perf_counter()
    table = read_benchmark(path)
    middle = time.perf_counter()
    learn_profiles(table.results, table.facts, TASKS)
    return {
        "rows": len(table.results),
        "read_s": middle - start,
        "learn_s": time.perf_counter() - middle,
        "own_mb": own.peak_mb,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def main() -> None:
    """Write the file, measure in a child process and print the figures."""
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
        # A child process, so that writing the file does not count for the peak memory.
        child = [sys.executable, __file__, "--measure", str(path)]
        figures = json.loads(subprocess.run(child, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout)
    print(f"{figures['rows']} rows, {given.models} models, prompts of {given.chars} characters")
    print(f"{size:.0f} MB, seed {given.seed}:")
    print(f"  read   {figures['read_s']:7.1f} s  {figures['rows'] / figures['read_s']:9.0f} rows/s")
    print(f"  learn  {figures['learn_s']:7.1f} s  {figures['rows'] / figures['learn_s']:9.0f} rows/s")
    print(f"  peak memory {figures['peak_mb']:.0f} MB, without pages of files {figures['own_mb']:.0f} MB")


if __name__ == "__main__":
    main()
