"""Prompts in, the time of a decision out: by length, tier and stage, cached, in a batch and on several threads.

    python benchmarks/speed.py [--prompts FILE] [--n 300] [--repeats 5] [--seed 0]

FILE is a CSV file with a column `prompt`. `--n 0` takes all its rows. Every prompt goes through each variant before the
next one. Absolute times depend on the machine and its load, so compare the ratios of one run.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import os
import platform
import random
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tokenizers import Tokenizer

from router import Router
from router.classify.classifier import TaskClassifier
from router.classify.encoder import OnnxEncoder
from router.classify.encoder_record import TOKENIZER_FILE
from router.classify.features import hashed_ngrams, surface_features
from router.classify.text import cut
from router.model_folder.load import find_model_folder, load_model_folder
from router.score.scoring import ProfileTable
from router.strategies.contextual import contextual
from router.types import RoutingContext

ROOT = Path(__file__).parent.parent
LENGTHS = (10, 60, 256)
THREADS = (1, 2, 8)
BATCH = 10_000


def time_in_turn(variants: Mapping[str, Callable[[str], object]], texts: Iterable[str]) -> dict[str, list[float]]:
    """Return the milliseconds that each variant takes for each text."""
    times: dict[str, list[float]] = {name: [] for name in variants}
    for text in texts:
        for name, variant in variants.items():
            start = time.perf_counter()
            variant(text)
            times[name].append((time.perf_counter() - start) * 1000)
    return times


def print_quantiles(title: str, times: Mapping[str, Sequence[float]]) -> None:
    """Print the quantiles of measured milliseconds, one line per name."""
    print(f"\n{title:40} {'p50':>8} {'p90':>8} {'p99':>8}  ms")
    for name, measured in times.items():
        cuts = statistics.quantiles(measured, n=100)
        print(f"  {name:38} {cuts[49]:8.3f} {cuts[89]:8.3f} {cuts[98]:8.3f}")


def make_variants(router: Router, full: Router, classifier: TaskClassifier) -> dict[str, Callable[[str], object]]:
    """Return the variants of a decision, by name. The last two share a cache: one fills it, the other reads it."""
    caching = Router.load()

    def again(text: str) -> object:
        return caching.route(text)

    return {
        "bare encoder": lambda text: classifier.encoder.encode([text]),
        "route(), full tier": full.route,
        "route()": router.route,
        "route(), first time": again,
        "route(), cached": again,
    }


def make_stages(router: Router, classifier: TaskClassifier) -> dict[str, Callable[[str], object]]:
    """Return the stages of a decision, by name."""
    encoder, first = classifier.encoder, classifier.first
    if not isinstance(encoder, OnnxEncoder) or first is None:
        raise RuntimeError("the shipped model folder must have two tiers; train it again")
    table = ProfileTable(router.profiles, classifier.tasks)
    even = dict.fromkeys(classifier.tasks, 1 / len(classifier.tasks))
    decision = router.route("hello")
    context = RoutingContext(
        prompt="",
        key="",
        prediction=decision.prediction,
        candidates=tuple(decision.scores),
        scores=decision.scores,
        preference=decision.preference,
    )
    return {
        "cut": cut,
        "word pieces": encoder.pieces,
        "first tier with word pieces": first.probabilities,
        "n-grams": hashed_ngrams,
        "surface": surface_features,
        "full classifier, complete": lambda text: classifier.probabilities(classifier.featurize(text)),
        f"scores of {len(router.profiles)} models": lambda _: table.score(
            table.names, even, tokens=100, preference=decision.preference
        ),
        "strategy (contextual)": lambda _: contextual(context),
    }


def make_text(prompts: Sequence[str], tokenizer: Tokenizer, tokens: int, rng: random.Random) -> str:
    """Return words of prompts in a row, cut to at most the given number of tokens."""

    def count() -> int:
        return len(tokenizer.encode(" ".join(words), add_special_tokens=False).ids)

    words: list[str] = []
    while count() < tokens:
        words += rng.choice(prompts).split()[:8]
    while count() > tokens:
        words.pop()
    return " ".join(words)


def measure_batch(prompts: Sequence[str], rng: random.Random) -> None:
    """Print the prompts per second of `route_many`. All prompts are different."""
    router = Router.load(cache_size=0)
    batch = [f"{rng.choice(prompts)} {number}" for number in range(BATCH)]
    start = time.perf_counter()
    decisions = router.route_many(batch)
    seconds = time.perf_counter() - start
    first = sum(decision.prediction.tier == "first" for decision in decisions)
    print(f"\nroute_many: {BATCH} prompts, {BATCH / seconds:.0f} per second, {first / BATCH:.0%} of them by the first tier")


def measure_threads(prompts: Sequence[str]) -> None:
    """Print the prompts per second of several threads together."""
    for name, router in (("both tiers", Router.load(cache_size=0)), ("cached", Router.load(cache_size=len(prompts)))):
        for prompt in prompts:
            router.route(prompt)
        rates = {}
        for n in THREADS:
            with ThreadPoolExecutor(n) as pool:
                start = time.perf_counter()
                list(pool.map(router.route, prompts))
                rates[n] = len(prompts) / (time.perf_counter() - start)
        figures = ", ".join(f"{n} threads {rate:.0f} per second" for n, rate in rates.items())
        print(f"route() at once, {name}: {figures}")


def read_prompts(path: Path) -> list[str]:
    """Read the column `prompt` of a CSV file, gzipped if its name ends in .gz."""
    csv.field_size_limit(1 << 30)
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8", newline="") as stream:
        return [row["prompt"] for row in csv.DictReader(stream)]


def main() -> None:
    """Measure everything and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=Path, default=ROOT / "data" / "prompts.csv")
    parser.add_argument("--n", type=int, default=300)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    prompts = read_prompts(options.prompts)
    prompts = rng.sample(prompts, options.n) if options.n else prompts
    classifier = load_model_folder(find_model_folder(), eager=True).classifier
    if classifier is None or not isinstance(classifier.encoder, OnnxEncoder):
        raise RuntimeError("the shipped model folder must have a classifier; train it again")
    router, full = Router.load(cache_size=0), Router.load(cache_size=0, tier="full")
    variants = make_variants(router, full, classifier)
    time_in_turn(variants, ["prove that sqrt(2) is irrational", "hm"])
    print(f"{platform.machine()}, {os.cpu_count()} processors, Python {platform.python_version()}, seed {options.seed}")
    print_quantiles(f"{len(prompts)} prompts of {options.prompts.name}", time_in_turn(variants, prompts))
    shares = [router.predict(prompt).tier == "first" for prompt in prompts]
    print(f"  answered by the first tier: {statistics.mean(shares):.0%}")
    tokenizer = Tokenizer.from_file(str(find_model_folder() / "encoder" / TOKENIZER_FILE))
    tokenizer.no_truncation()
    for tokens in LENGTHS:
        texts = [make_text(prompts, tokenizer, tokens, rng) for _ in range(options.repeats * 10)]
        print_quantiles(f"{len(texts)} texts of {tokens} tokens", time_in_turn(variants, texts))
    print_quantiles("by stage", time_in_turn(make_stages(router, classifier), prompts))
    measure_batch(prompts, rng)
    measure_threads(prompts)


if __name__ == "__main__":
    main()
