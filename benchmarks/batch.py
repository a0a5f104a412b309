"""Short prompts in files in, what `llm-router batch` makes of them out: its speed, and its rows after being killed twice.

    python benchmarks/batch.py speed [--n 20000] [--tier first] [--engines local,ray] [--workers 1,2,4] [--seed 0]
    python benchmarks/batch.py killed [--n 100000] [--engine local] [--workers 2] [--format parquet] [--seed 0]

Both write n different prompts from a small grammar. `speed` prints the rows per second of each engine and number of
workers, after the workers have started. `killed` runs the command, kills it with signal 9 after about a third and two thirds
of the rows, resumes it, counts the rows, and prints the peak memory of the driver in each third.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from router.batch.blocks import cut_files, find_format
from router.batch.engines import LocalEngine, RayEngine
from router.batch.job import OutFolder
from router.batch.run import make_job
from router.options import RouteOptions

ROOT = Path(__file__).parent.parent
ASKS = ("write a haiku about", "explain", "translate into French:", "list five facts on", "debug my script for", "summarize")
THINGS = ("rain", "prime numbers", "sorting a list", "the moon", "bread", "a lost key", "tax law", "chess openings")
ENDS = ("in one line", "for a child", "with an example", "please", "and cite sources", "politely", "in JSON", "step by step")
# Rows of one chunk while the input is written.
CHUNK = 100_000


def make_prompts(n: int, seed: int) -> Iterator[str]:
    """Return n different prompts."""
    draw = random.Random(seed)
    for number in range(n):
        yield f"{draw.choice(ASKS)} {draw.choice(THINGS)} {draw.choice(ENDS)}, case {number}"


def write_input(path: Path, n: int, seed: int) -> None:
    """Write the prompts with their numbers, in the format that the name of the file says."""
    if path.suffix == ".csv":
        with path.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream)
            writer.writerow(("id", "prompt"))
            writer.writerows(enumerate(make_prompts(n, seed)))
        return
    if path.suffix == ".jsonl":
        with path.open("w", encoding="utf-8") as stream:
            for number, prompt in enumerate(make_prompts(n, seed)):
                stream.write(json.dumps({"id": number, "prompt": prompt}) + "\n")
        return
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([("id", pa.int64()), ("prompt", pa.string())])
    prompts = enumerate(make_prompts(n, seed))
    with pq.ParquetWriter(path, schema) as writer:
        for start in range(0, n, CHUNK):
            rows = [next(prompts) for _ in range(min(CHUNK, n - start))]
            ids, texts = zip(*rows, strict=True)
            writer.write_table(pa.table({"id": ids, "prompt": texts}, schema=schema))


def count_ids(out: Path) -> dict[int, int]:
    """Return how often each id is in the parts, only for ids that are not there exactly once. It holds one byte per row."""
    seen = bytearray()
    for part in sorted(out.glob("part-*")):
        for number in read_ids(part):
            if number >= len(seen):
                seen.extend(bytes(number + 1 - len(seen)))
            seen[number] = min(seen[number] + 1, 255)
    print(f"  ids 0 to {len(seen) - 1}, {sum(seen)} rows")
    return {number: times for number, times in enumerate(seen) if times != 1}


def read_ids(part: Path) -> list[int]:
    """Return the ids of a part, in their order."""
    if part.suffix == ".parquet":
        import pyarrow.parquet as pq

        found: list[int] = pq.read_table(part, columns=["id"]).column("id").to_pylist()
        return found
    with part.open(newline="", encoding="utf-8") as stream:
        if part.suffix == ".jsonl":
            return [json.loads(line)["id"] for line in stream]
        return [int(row["id"]) for row in csv.DictReader(stream)]


def find_processors(workers: int) -> dict[str, Any]:
    """Return the options of a Ray cluster on this machine that has room for these workers."""
    return {
        "address": "local",
        "num_cpus": workers,
        "object_store_memory": 200 << 20,
        "include_dashboard": False,
        "logging_level": "error",
    }


def measure_speed(given: argparse.Namespace, folder: Path) -> None:
    """Print the rows per second of each engine and number of workers."""
    path = folder / f"in.{given.format}"
    write_input(path, given.n, given.seed)
    print(
        f"{given.n} rows, {given.format}, tier {given.tier}, blocks of {given.block_rows} rows, {os.cpu_count()} processors"
    )
    for engine in given.engines.split(","):
        for workers in map(int, given.workers.split(",")):
            out = folder / f"{engine}-{workers}"
            options = RouteOptions(tier=given.tier)
            job = make_job(str(path), out, block_rows=given.block_rows, options=options)
            form = find_format([path])
            OutFolder(out, form.suffix).open(job)
            blocks = list(cut_files(form, [path], given.block_rows))
            if engine == "ray":
                import ray

                ray.init(**find_processors(workers), log_to_driver=False)
            make = partial(RayEngine if engine == "ray" else LocalEngine, job, workers)
            with make() as running:
                begin = first = time.perf_counter()
                rows = 0
                for done, block in enumerate(running.run("decide", blocks)):
                    # The first block of each worker waits for its router.
                    if done < workers:
                        first = time.perf_counter()
                    else:
                        rows += block.rows
                seconds = time.perf_counter() - first
            if engine == "ray":
                ray.shutdown()
            print(
                f"  {engine:5} {workers} workers {rows / seconds:8.0f} rows/s, after {first - begin:.1f} s of start",
                flush=True,
            )


def run_killed(given: argparse.Namespace, folder: Path) -> None:
    """Run the command, kill it twice, and print what is in the output."""
    path, out = folder / f"in.{given.format}", folder / "out"
    write_input(path, given.n, given.seed)
    blocks = -(-given.n // given.block_rows)
    command = [sys.executable, "-c", "from router.cli import main; main()", "batch", "--in", path, "--out", out]
    command += ["--block-rows", str(given.block_rows), "--workers", str(given.workers), "--engine", given.engine]
    command += ["--tier", given.tier] + (["--budget-usd", str(given.budget_usd)] if given.budget_usd else [])
    print(
        f"{given.n} rows, {given.format}, {blocks} blocks, engine {given.engine}, {given.workers} workers, tier {given.tier}"
    )
    begin = time.perf_counter()
    for third, is_last in ((1, False), (2, False), (3, True)):
        running = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        peak_mb = watch(running, out, None if is_last else blocks * third // 3, given.budget_usd)
        printed = running.communicate()[0]
        state = f"killed, {len(list(out.glob('part-*')))} parts" if not is_last else "complete"
        print(
            f"  third {third}: {state}, exit code {running.returncode}, peak memory of the driver {peak_mb:.0f} MB",
            flush=True,
        )
    print(printed)
    print(f"  {time.perf_counter() - begin:.0f} s in total")
    odd = count_ids(out)
    print(f"  rows lost or repeated: {len(odd)}")
    left_over = list(out.rglob(".*.tmp"))
    if running.returncode or odd or left_over:
        raise SystemExit(f"the output is wrong: {len(odd)} rows, {len(left_over)} unfinished files")


def watch(running: subprocess.Popen[str], out: Path, parts: int | None, budget_usd: float | None) -> float:
    """Kill the command when it has made some parts. Return the peak memory of its process in MB."""
    peak_kb = 0
    # With a budget, the parts come last, so the classified blocks are counted.
    pattern = "part-*" if budget_usd is None else "_batch/scored/*.json"
    while running.poll() is None:
        try:
            status = Path(f"/proc/{running.pid}/status").read_text()
        except OSError:
            break
        peak_kb = max([peak_kb, *(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))])
        if parts is not None and len(list(out.glob(pattern))) >= parts:
            running.send_signal(signal.SIGKILL)
            break
        time.sleep(0.2)
    return peak_kb / 1024


def main() -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    speed, killed = commands.add_parser("speed"), commands.add_parser("killed")
    for command in (speed, killed):
        command.add_argument("--tier", default="first")
        command.add_argument("--format", default="parquet", choices=["csv", "jsonl", "parquet"])
        command.add_argument("--seed", type=int, default=0)
        command.add_argument("--folder", type=Path, help="Where the files are written; default: a new temporary folder.")
    speed.add_argument("--n", type=int, default=20_000)
    speed.add_argument("--block-rows", type=int, default=500)
    speed.add_argument("--engines", default="local,ray")
    speed.add_argument("--workers", default="1,2,4")
    killed.add_argument("--n", type=int, default=100_000)
    killed.add_argument("--block-rows", type=int, default=5000)
    killed.add_argument("--engine", default="local", choices=["local", "ray"])
    killed.add_argument("--workers", type=int, default=2)
    killed.add_argument("--budget-usd", type=float)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        (measure_speed if given.command == "speed" else run_killed)(given, Path(folder))


if __name__ == "__main__":
    main()
