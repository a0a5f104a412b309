"""Large random benchmark files in, the seconds and the peak memory to read them and learn from them out.

    python benchmarks/large_benchmark.py [--rows 2000000 10000000] [--models 16] [--chars 300] [--seed 0]
        [--by model] [--limit-mb 512]

For each number of rows the script writes a file, measures in a child process and removes the file. Each prompt has about
`--chars` characters and one row per model. `--limit-mb` limits the memory that the child may ask for (RLIMIT_DATA of Linux).
It fails if it needs more. Times are those of the processor, because other programs do not change them much.
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
from training.quality.profiles import learn_models

ROOT = Path(__file__).parent.parent
COLUMNS = ("prompt", "task", "benchmark", "model", "score", "cost_usd", "input_tokens", "output_tokens", "latency_s")
WORDS = ("route", "prompt", "model, of", "quality", "cost", "a", "answer", "to", "the", "réponse")
# Formats of the figures of a line.
_WIDTHS = {
    "rows": "10.0f",
    "prompts": "10.0f",
    "file_mb": "9.0f",
    "read_s": "8.1f",
    "speed": "8.0f",
    "learn_s": "9.1f",
    "first_mb": "15.0f",
    "own_mb": "6.0f",
    "peak_mb": "21.0f",
}


def write_table(path: Path, *, rows: int, models: int, chars: int, seed: int, by: str) -> None:
    """Write a table in the long layout. `by` says what comes first: all rows of a prompt, or all rows of a model."""
    draw = random.Random(seed)
    prompts, last, text = rows // models, -1, ""
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(COLUMNS)
        for row in range(prompts * models):
            prompt, model = divmod(row, models) if by == "prompt" else divmod(row, prompts)[::-1]
            if prompt != last:
                # The same words in each row of a prompt.
                last, text = prompt, f"{prompt}: {' '.join(random.Random(prompt).choices(WORDS, k=chars // 5))}"[:chars]
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


class Own(threading.Thread):
    """Watches the memory that this process cannot give back, in MB, ten times a second (Linux).

    Pages of files are not part of it, because the system can drop them.
    """

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.first_mb = self.peak_mb = read_own_mb()

    def run(self) -> None:
        """Watch until the process ends."""
        while True:
            self.peak_mb = max(self.peak_mb, read_own_mb())
            time.sleep(0.1)


def read_own_mb() -> float:
    """Return the memory of this process without pages of files, in MB. 0 if the system does not tell."""
    status = Path("/proc/self/status")
    kilobytes = re.search(r"RssAnon:\s+(\d+)", status.read_text()) if status.is_file() else None
    return int(kilobytes[1]) / 1024 if kilobytes else 0.0


def measure(path: Path) -> dict[str, float]:
    """Read and learn in this process. Return the seconds of both, the rows and the peak memory in MB."""
    own = Own()
    own.start()
    start = time.process_time()
    table = read_benchmark(path)
    middle = time.process_time()
    learn_models(table.results, table.facts, TASKS)
    return {
        "rows": len(table.results),
        "prompts": len(table.results.prompts),
        "read_s": middle - start,
        "learn_s": time.process_time() - middle,
        "first_mb": own.first_mb,
        "own_mb": own.peak_mb,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def measure_rows(given: argparse.Namespace, rows: int) -> dict[str, float]:
    """Write a file, measure in a child process and return its figures."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "benchmark.csv"
        write_table(path, rows=rows, models=given.models, chars=given.chars, seed=given.seed, by=given.by)
        # A child process, so that writing the file does not count for the peak memory.
        child = [sys.executable, __file__, "--measure", str(path), "--limit-mb", str(given.limit_mb)]
        figures = json.loads(subprocess.run(child, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout)
        return figures | {"file_mb": path.stat().st_size / 1e6}


def main() -> None:
    """Measure each number of rows and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[2_000_000, 10_000_000])
    parser.add_argument("--models", type=int, default=16)
    parser.add_argument("--chars", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--by", choices=("prompt", "model"), default="prompt")
    parser.add_argument("--limit-mb", type=int, default=0)
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        if given.limit_mb:
            resource.setrlimit(resource.RLIMIT_DATA, (given.limit_mb << 20, given.limit_mb << 20))
        print(json.dumps(measure(given.measure)))
        return
    limit = f", at most {given.limit_mb} MB" if given.limit_mb else ""
    print(f"{given.models} models, prompts of {given.chars} characters, sorted by {given.by}, seed {given.seed}{limit}:")
    print("      rows   prompts  file MB  read s  rows/s  learn s  own MB: start  peak  with pages of files")
    measured = []
    for rows in given.rows:
        figures = measure_rows(given, rows)
        measured.append((figures["rows"] / 1e6, figures["own_mb"]))
        figures["speed"] = figures["rows"] / figures["read_s"]
        print("".join(f"{figures[name]:{width}}" for name, width in _WIDTHS.items()), flush=True)
    (few, small), (many, large) = measured[0], measured[-1]
    if many > few:
        print(f"own memory grows by {(large - small) / (many - few):.1f} MB per million rows")


if __name__ == "__main__":
    main()
