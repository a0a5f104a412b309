"""A model folder in, its cost and its expected quality with and without variants of models out.

    python benchmarks/variants.py [--model FOLDER] [--prompts data/prompts.csv] [--n 400] [--seed 0]

The prompts are drawn from the file, without turns that continue. Quality and cost are those that the profiles of the folder
expect, so the script measures what the catalogue says, not the models. At each dial it prints both, once for a choice among
the models without their variants, and once among all. The last lines show which effort of one model an easy and a hard
prompt get.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from router import Router
from training.data.prompts import read_prompts, with_task

_DIALS = (1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
_FAMILY, _DIAL = "gpt-5.4-mini", 5e-5
_EASY = "tidy up this sentence: me and him goes to the shop"
_HARD = "if all bloops are razzies and no razzie is a lazzie, can a bloop be a lazzie? explain the deduction step by step"


def main() -> None:
    """Print the two curves and the two choices."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--prompts", type=Path, default=Path("data/prompts.csv"))
    parser.add_argument("--n", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    router = Router.load(given.model)
    rows = with_task(read_prompts(given.prompts).rows)
    prompts = [row.prompt for row in random.Random(given.seed).sample(rows, given.n)]
    names = {profile.name for profile in router.profiles}
    variants = {profile.name for profile in router.profiles if profile.variant_of}
    print(f"{len(variants)} variants among {len(names)} models, {given.n} prompts, seed {given.seed}")
    print("USD per point  without: quality, USD per 1,000 prompts  with: quality, USD per 1,000 prompts, share of variants")
    for dial in _DIALS:
        without, with_them = (_measure(router, prompts, allowed, dial, variants) for allowed in (names - variants, names))
        print(f"{dial:13g}  {without[0]:.4f} {without[1]:.3f}  {with_them[0]:.4f} {with_them[1]:.3f} {with_them[2]:.2f}")
    family = {name for name in names if name == _FAMILY or name.startswith(f"{_FAMILY}@")}
    for prompt in (_EASY, _HARD):
        print(f"{router.route(prompt, allowed=family, usd_per_point=_DIAL).model}: {prompt}")


def _measure(
    router: Router, prompts: Sequence[str], allowed: set[str], dial: float, variants: set[str]
) -> tuple[float, float, float]:
    """Return mean expected quality, expected cost in USD of 1,000 prompts, and the share of prompts that get a variant."""
    decisions = router.route_many(prompts, allowed=allowed, usd_per_point=dial)
    chosen = [decision.scores[decision.model] for decision in decisions]
    quality, cost = np.mean([[score.quality, 1000 * score.cost_usd] for score in chosen], axis=0)
    return float(quality), float(cost), float(np.mean([decision.model in variants for decision in decisions]))


if __name__ == "__main__":
    main()
