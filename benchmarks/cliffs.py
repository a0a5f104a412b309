"""Odd inputs of every length in, the worst time of each stage and of the decision out, with the memory over time.

    python benchmarks/cliffs.py [--n 20000] [--seed 0]

The script takes the kinds of text in turn. Lengths are even on a logarithmic scale up to 10 million characters. Times are
processor times of this process. So other work on the machine does not look like a cliff.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import random
import time
from collections.abc import Callable
from pathlib import Path

from router import Router
from router.classify.encoder import OnnxEncoder
from router.classify.features import hashed_ngrams, surface_features
from router.classify.text import parse_prompt
from router.model_folder.load import find_model_folder, load_model_folder

LONGEST, PIECE = 10_000_000, 4_000
ALPHABETS = {
    "letters": "abcdefghijklmnopqrstuvwxyz ",
    "Cyrillic": "абвгдежзийклмнопрстуфхцчшщъыьэюя ",
    "Chinese": "".join(map(chr, range(0x4E00, 0x5200))),
    "Arabic": "".join(map(chr, range(0x627, 0x64B))) + " ",
    "Devanagari": "".join(map(chr, range(0x904, 0x940))) + " ",
    "emoji": "".join(map(chr, range(0x1F600, 0x1F650))),
    "emoji joined": "👩‍👩‍👧‍👦🏳️‍🌈",
    "combining": "a\u0301\u0302\u0303\u0304",
    "controls": "".join(map(chr, range(32))),
    "surrogates": "\ud800\udfff a",
    "signs": "{}[]()<>|&^%$#@!~`'\";:,./?\\+-*=_",
    "blanks": " \t\n\u3000\u00a0",
    "digits": "0123456789",
    "one letter": "x",
}
Make = Callable[[random.Random, int], str]


def from_alphabet(alphabet: str) -> Make:
    """Return a function that makes random texts from an alphabet."""
    return lambda rng, n: "".join(rng.choices(alphabet, k=n))


KINDS: dict[str, Make] = {name: from_alphabet(alphabet) for name, alphabet in ALPHABETS.items()} | {
    "minified JSON": lambda rng, n: json.dumps([{"k": rng.random(), "v": None}] * (n // 30 + 1), separators=(",", ":"))[:n],
    "base64": lambda rng, n: base64.b64encode(rng.randbytes(n)).decode()[:n],
    "code": lambda rng, n: (f"for i in range({rng.randrange(99)}):\n    x[i] = f(x[i - 1])  # next\n" * (n // 40 + 1))[:n],
    "log": lambda rng, n: (f"2026-11-27T08:00:{rng.randrange(60):02} ERROR worker: timeout\n" * (n // 40 + 1))[:n],
    "table": lambda rng, n: (f"| {rng.random():.3f} | a | b |\n" * (n // 18 + 1))[:n],
    "words": lambda rng, n: ("please " + rng.choice(["sort", "translate", "explain"]) + " this list ") * (n // 25 + 1),
}


def make_text(kind: str, rng: random.Random) -> str:
    """Return a random text of a kind. Texts over `PIECE` characters repeat one piece, which is faster to draw."""
    n = int(LONGEST ** rng.random())
    piece = KINDS[kind](rng, min(n, PIECE))
    return (piece * (n // max(len(piece), 1) + 1))[:n]


def resident_mb() -> float:
    """Return the resident memory of this process in MB (Linux only)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def main() -> None:
    """Measure and print the worst times and the memory."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=20_000, help="Number of texts.")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng, router = random.Random(options.seed), Router.load()
    classifier = load_model_folder(find_model_folder(), eager=True).classifier
    if classifier is None or classifier.first is None or not isinstance(classifier.encoder, OnnxEncoder):
        raise RuntimeError("the shipped model folder must have two tiers; train it again")
    stages: dict[str, Callable[[str], object]] = {
        "cut": parse_prompt,
        "word pieces": lambda text: classifier.encoder.pieces(parse_prompt(text).turns[0]),  # type: ignore[attr-defined]
        "n-grams": lambda text: hashed_ngrams(parse_prompt(text).turns[0]),
        "surface": lambda text: surface_features(parse_prompt(text).turns[0]),
        "route()": router.route,
        "route(), full tier": lambda text: router.route(text, tier="full"),
    }
    worst = dict.fromkeys(stages, (0.0, "", 0))
    kinds, resident = list(KINDS), []
    router.route("hello", tier="full")  # opens ONNX Runtime, so that the first text does not pay for it
    for i in range(options.n):
        kind = kinds[i % len(kinds)]
        text = make_text(kind, rng)
        for name, stage in stages.items():
            start = time.process_time()
            stage(text)
            worst[name] = max(worst[name], ((time.process_time() - start) * 1000, kind, len(text)))
        if i % (options.n // 4) == options.n // 8:
            resident.append(resident_mb())
    print(f"{options.n} texts of {len(kinds)} kinds, seed {options.seed}; longest times:")
    for name, (milliseconds, kind, length) in worst.items():
        print(f"  {name:20} {milliseconds:8.2f} ms   {kind}, {length} characters")
    print(f"resident memory in the middle of each quarter: {', '.join(f'{mb:.0f} MB' for mb in resident)}")


if __name__ == "__main__":
    main()
