"""Commands in, the time and the peak memory of whole processes from start to exit out, with the installed size.

    python benchmarks/startup.py [--runs 10] [--size]

The commands run in turn, after one warm-up each. `--size` installs the core into an empty environment and measures its size.
Absolute times depend on the machine and its load, so compare the ratios of one run.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parent.parent
PROMPT = "prove that sqrt(2) is irrational"
COMMANDS = {
    "import numpy": ["-c", "import numpy"],
    "import router": ["-c", "import router"],
    "from router import route": ["-c", "from router import route"],
    "route(), first tier": ["-c", f"import router; router.route({PROMPT!r})"],
    "route(), full tier": ["-c", f"import router; router.route({PROMPT!r}, tier='full')"],
    "llm-router route --json": ["-c", "from router.cli import main; main()", "route", "--json", PROMPT],
}
SENTENCE_TRANSFORMERS = (
    "from sentence_transformers import SentenceTransformer as S; S({folder!r}, device='cpu').encode([{prompt!r}])"
)


def run_once(command: Sequence[str]) -> tuple[float, float]:
    """Run one process. Return the seconds from start to exit and the peak memory in MB."""
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, *command], stdout=subprocess.DEVNULL, cwd=ROOT)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise RuntimeError(f"{command} must exit with 0, got {os.waitstatus_to_exitcode(status)}")
    return time.perf_counter() - start, usage.ru_maxrss / 1024


def measure_processes(commands: dict[str, list[str]], runs: int) -> None:
    """Print the time and the memory of each command, and the ratio of its time to the first command's."""
    measured: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    for command in commands.values():
        run_once(command)
    for _ in range(runs):
        for name, command in commands.items():
            measured[name].append(run_once(command))
    print(f"start to exit, medians of {runs} runs in turn:")
    for name, figures in measured.items():
        seconds, megabytes = (statistics.median(column) for column in zip(*figures, strict=True))
        first = measured[next(iter(commands))]
        ratio = statistics.median(own[0] / base[0] for own, base in zip(figures, first, strict=True))
        print(f"  {name:26} {seconds:6.3f} s  {megabytes:6.1f} MB peak  {ratio:5.2f} x")


def measure_size() -> None:
    """Install the core into an empty environment and print the size of its largest packages in MB."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
        target = next((Path(folder) / "lib").glob("python*/site-packages"))
        subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--target", str(target), str(ROOT)], check=True)
        sizes = {
            path.name: sum(file.stat().st_size for file in path.rglob("*") if file.is_file()) / 1e6
            for path in target.iterdir()
            if path.is_dir()
        }
    print(f"installed, without extras: {sum(sizes.values()):.0f} MB, of which", end=" ")
    print(", ".join(f"{name} {size:.0f}" for name, size in sorted(sizes.items(), key=lambda item: -item[1])[:6]))


def main() -> None:
    """Measure and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument(
        "--minilm", metavar="FOLDER", help="Folder of all-MiniLM-L6-v2; adds sentence-transformers if it is installed."
    )
    parser.add_argument("--size", action="store_true", help="Also install the core and measure its size.")
    options = parser.parse_args()
    commands = dict(COMMANDS)
    if options.minilm and importlib.util.find_spec("sentence_transformers"):
        commands["sentence-transformers"] = ["-c", SENTENCE_TRANSFORMERS.format(folder=options.minilm, prompt=PROMPT)]
    print(f"{platform.machine()}, {os.cpu_count()} processors, Python {platform.python_version()}")
    measure_processes(commands, options.runs)
    if options.size:
        measure_size()


if __name__ == "__main__":
    main()
