"""Whether 8-bit arithmetic decides alike on processors with and without VNNI.

    python benchmarks/precision.py --prompts FILE [--model FOLDER]

Without VNNI, ONNX Runtime adds two products in 16 bits, which may overflow with weights of 8 bits. The option
`session.x64quantprecision` avoids that, as VNNI does. The script decides each prompt with and without the option and counts
the prompts whose task or model differs. On a processor with VNNI both ways are the same.
"""

from __future__ import annotations

import argparse
import csv
import gzip
from pathlib import Path
from typing import Any

import onnxruntime

from router import Router


def main() -> None:
    """Print how many decisions differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=Path, required=True)
    parser.add_argument("--model", type=Path)
    arguments = parser.parse_args()
    opened = gzip.open if arguments.prompts.suffix == ".gz" else open
    with opened(arguments.prompts, "rt", encoding="utf-8", newline="") as stream:
        prompts = [row["prompt"] for row in csv.DictReader(stream)]
    plain = _decide(arguments.model, prompts)
    original = onnxruntime.SessionOptions

    def make_precise() -> Any:
        options = original()
        options.add_session_config_entry("session.x64quantprecision", "1")
        return options

    onnxruntime.SessionOptions = make_precise
    precise = _decide(arguments.model, prompts)
    pairs = list(zip(plain, precise, strict=True))
    tasks, models = (sum(one[place] != other[place] for one, other in pairs) for place in (0, 1))
    largest = max(abs(one[2] - other[2]) for one, other in pairs)
    print(f"{len(prompts)} prompts, full tier: {tasks} tasks and {models} models differ; confidence by up to {largest:.3f}")


def _decide(model: Path | None, prompts: list[str]) -> list[tuple[str | None, str, float]]:
    router = Router.load(model, tier="full")
    decisions = [router.route(prompt) for prompt in prompts]
    return [(decision.task, decision.model, decision.prediction.confidence) for decision in decisions]


if __name__ == "__main__":
    main()
