"""A benchmark in, the part of it out that training learns from. It has a limited number of prompts."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from training.data.benchmark import BenchmarkSet
from training.data.results import Results

# Prompts that heads, the dial and the risk curve are fitted on. They need about 20 kB of memory each.
MAX_PROMPTS = 50_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What training learns from a benchmark.

    Attributes:
        rows: The rows that profiles are learned from: those that name their task or whose prompt was drawn.
        benchmark: The rows of the drawn prompts, and the rows without a prompt. All else is learned from them.
    """

    rows: Results
    benchmark: BenchmarkSet


def draw_prompts(benchmark: BenchmarkSet, *, seed: int) -> Sample:
    """Draw at most `MAX_PROMPTS` prompts. With fewer prompts the sample is the whole benchmark.

    The prompts are divided into as many equal stretches, in the order of their first appearance. One prompt of each stretch
    is drawn. So each part of the file keeps its share of the prompts, and with it each model, task and benchmark.

    Args:
        benchmark: The benchmark.
        seed: Seed of the draw.
    """
    results = benchmark.results
    # One element more than prompts, for the code −1 of rows without a prompt.
    occurs = np.zeros(len(results.prompts) + 1, np.bool_)
    for part in results.chunks():
        occurs[part.prompt] = True
    codes = np.flatnonzero(occurs[:-1])
    if len(codes) <= MAX_PROMPTS:
        return Sample(rows=results, benchmark=benchmark)
    bounds = np.arange(MAX_PROMPTS + 1) * len(codes) // MAX_PROMPTS
    drawn = codes[np.random.default_rng(seed).integers(bounds[:-1], bounds[1:])]
    number = np.full(len(occurs), -1, np.int32)
    number[drawn] = np.arange(len(drawn))
    known = number >= 0
    prompts, groups = (tuple(texts[i] for i in drawn.tolist()) for texts in (results.prompts, results.groups))
    kept = Results.concat(
        replace(found, prompts=prompts, groups=groups, prompt=number[found.prompt])
        for found in (part.take((part.prompt < 0) | known[part.prompt]) for part in results.chunks())
    )
    note = (
        f"The benchmark has {len(codes):,} prompts. What prompts say beyond their task, the dial and the risk were learned "
        f"from {MAX_PROMPTS:,} of them, drawn with seed {seed}; profiles also from all rows that name their task."
    )
    return Sample(
        rows=Results.concat(part.take((part.task >= 0) | known[part.prompt]) for part in results.chunks()),
        benchmark=replace(benchmark, results=kept, notes=(*benchmark.notes, note)),
    )
