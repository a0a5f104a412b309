"""How accuracy grows with the number of labelled prompts per task, beside the same numbers from another file.

    python benchmarks/learning_curve.py --test user_dev.csv.gz --beside external.csv.gz
        [--prompts data/prompts.csv] [--per-task 50 100 200 300] [--seed 0]

The quick path: the encoder as it is (--encoder: one not tuned on these prompts), no keyword rules. A task that has fewer
prompts gives all it has.
"""

from __future__ import annotations

import argparse
import random
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from router.artifacts import find_artifact
from router.encoder import OnnxEncoder
from training.classifier import default_cache, featurize, fit_classifier, head_logits
from training.datasets import LabelledPrompt, read_prompts
from training.evaluate import judge

ROOT = Path(__file__).parent.parent


def main() -> None:
    """Fit and judge, file by file, size by size."""
    arguments = _read_arguments()
    encoder = OnnxEncoder.load(find_artifact() / "encoder" if arguments.encoder is None else arguments.encoder)
    test = read_prompts(arguments.test).rows
    seen = featurize([row.prompt for row in test], encoder, cache=default_cache())
    print(f"{arguments.test.name}: n {len(test)}, encoder {encoder.name}, seed {arguments.seed}, 95 % bootstrap intervals")
    print(f"{'trained on':24} {'per task':>8} {'rows':>6}  {'strict accuracy':22} {'lenient accuracy':22} macro-F1")
    for path in [arguments.prompts, *arguments.beside]:
        pool = read_prompts(path).rows
        for per_task in arguments.per_task:
            rows = _sample(pool, per_task, arguments.seed)
            features = featurize([row.prompt for row in rows], encoder, cache=default_cache())
            fitted = fit_classifier(features, [row.task for row in rows], [row.group for row in rows], seed=arguments.seed)
            guesses = [fitted.labels[i] for i in head_logits(fitted.heads, seen).argmax(axis=1)]
            quality = judge(path.name, guesses, test, seed=arguments.seed)
            lenient = quality.lenient or ""
            print(f"{path.name:24} {per_task:8} {len(rows):6}  {quality.accuracy!s:22} {lenient!s:22} {quality.macro_f1}")


def _sample(pool: Sequence[LabelledPrompt], per_task: int, seed: int) -> list[LabelledPrompt]:
    by_task: dict[str, list[LabelledPrompt]] = defaultdict(list)
    for row in pool:
        by_task[row.task].append(row)
    rng = random.Random(seed)
    return [row for task in sorted(by_task) for row in rng.sample(by_task[task], min(per_task, len(by_task[task])))]


def _read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--test", type=Path, required=True)
    parser.add_argument("--prompts", type=Path, default=ROOT / "data" / "prompts.csv")
    parser.add_argument("--beside", type=Path, nargs="*", default=[])
    parser.add_argument("--per-task", type=int, nargs="+", default=[50, 100, 200, 300])
    parser.add_argument("--encoder", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
