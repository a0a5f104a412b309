"""A task that the encoder does not know, with few prompts: how many further prompts of it a regression finds.

    python benchmarks/new_label.py [--n 60]

The labelled prompts are those of `data/prompts.csv` that the shipped encoder was not tuned on. The new task is booking
(`notebooks/bookings.csv`): the first n prompts teach, the last 20 are searched. For each inverse strength of regularisation
the script prints the bookings that it finds, without and with the weights of rare labels, and the accuracy on a fifth of the
other prompts (seed 0).
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression

from router.classify.encoder import OnnxEncoder
from training.classifier.features import default_cache, featurize
from training.classifier.linear import weigh_rare
from training.data.prompts import TASKS, read_prompts
from training.encoder.seen import was_seen

ROOT = Path(__file__).parents[1]
_CS, _SEARCHED, _HELD_OUT = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0), 20, 0.2


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=60)
    n = parser.parse_args().n
    encoder = OnnxEncoder.load(ROOT / "models" / "default" / "encoder")
    rows = read_prompts(ROOT / "data" / "prompts.csv", tasks=TASKS).rows
    seen = was_seen([row.prompt for row in rows], encoder.record.tuning)
    others = [row for row, known in zip(rows, seen, strict=True) if not known]
    with (ROOT / "notebooks" / "bookings.csv").open(encoding="utf-8", newline="") as stream:
        bookings = [row["prompt"] for row in csv.DictReader(stream)]
    texts = [*(row.prompt for row in others), *bookings[:n], *bookings[-_SEARCHED:]]
    vectors = featurize(texts, encoder, cache=default_cache()).embedding
    taught, searched = vectors[:-_SEARCHED], vectors[-_SEARCHED:]
    labels = np.array([*(row.task for row in others), *["booking"] * n])
    held_out = (np.random.default_rng(0).random(len(labels)) < _HELD_OUT) & (labels != "booking")
    print(
        f"{len(others)} prompts and {n} bookings; found of {_SEARCHED}, accuracy of {held_out.sum()}; without, with weights"
    )
    for c in _CS:
        found, accuracy = [], []
        for is_weighted in (False, True):
            kept = labels[~held_out]
            _, targets = np.unique(kept, return_inverse=True)
            weights = weigh_rare(targets) if is_weighted else None
            model = LogisticRegression(C=c, max_iter=5000).fit(taught[~held_out], kept, sample_weight=weights)
            found.append(int((model.predict(searched) == "booking").sum()))
            accuracy.append(float((model.predict(taught[held_out]) == labels[held_out]).mean()))
        print(f"C {c:4}: found {found[0]:2} and {found[1]:2}; accuracy {accuracy[0]:.3f} and {accuracy[1]:.3f}")


if __name__ == "__main__":
    main()
