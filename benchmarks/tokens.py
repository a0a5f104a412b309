"""Texts of many kinds in, the token estimate as a multiple of the count of public tokenizers out.

    python benchmarks/tokens.py NAME=FILE ... [--n 20] [--seed 0]

FILE is a `tokenizer.json`, a `tekken.json`, or a file of ranks that ends in `.tiktoken`. The last two need the package
tiktoken. Ranks are split by the pattern of Qwen if NAME starts with qwen, else by that of o200k_base. A ratio below 1 means
that the estimate is too low. The texts are made by rule or taken from `data/prompts.csv`.
"""

from __future__ import annotations

import argparse
import base64
import csv
import json
import random
import string
import uuid
from collections.abc import Callable
from pathlib import Path

from tokenizers import Tokenizer

from router.classify.tokens import count_tokens

ROOT = Path(__file__).parent.parent
CHARS = 1500
LANGUAGES = {"English": "en", "German": "de", "Indonesian": "id", "Polish": "pl", "Russian": "ru", "Arabic": "ar"}
LANGUAGES |= {"Hindi": "hi", "Thai": "th", "Chinese": "zh", "Japanese": "ja", "Korean": "ko"}
EMOJI = ["👩‍👩‍👧‍👦", "🏳️‍🌈", "👨🏽‍💻", "🧑‍🚀", "❤️", "🇩🇪", "👍🏿"]
LETTERS_OF_O200K = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"
CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
O200K = (
    rf"{LETTERS_OF_O200K}*[\p{{Ll}}\p{{Lm}}\p{{Lo}}\p{{M}}]+{CONTRACTIONS}?"
    rf"|{LETTERS_OF_O200K}+[\p{{Ll}}\p{{Lm}}\p{{Lo}}\p{{M}}]*{CONTRACTIONS}?"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN = rf"{CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
Count = Callable[[str], int]


def of_range(first: int, last: int, rng: random.Random) -> str:
    """Return random characters of a range of code points."""
    return "".join(chr(rng.randint(first, last)) for _ in range(CHARS))


def pick(choices: str | list[str], rng: random.Random) -> str:
    """Return random items in a row."""
    return "".join(rng.choices(choices, k=CHARS))


KINDS: dict[str, Callable[[random.Random], str]] = {
    "base64": lambda rng: base64.b64encode(rng.randbytes(CHARS)).decode(),
    "hex": lambda rng: rng.randbytes(CHARS).hex(),
    "digits": lambda rng: pick(string.digits, rng),
    "UUIDs": lambda rng: "\n".join(str(uuid.UUID(int=rng.getrandbits(128))) for _ in range(40)),
    "CSV of floats": lambda rng: "\n".join(",".join(f"{rng.random() * 100:.4f}" for _ in range(5)) for _ in range(40)),
    "JSON": lambda rng: json.dumps([{"id": rng.randrange(10**6), "name": "anna", "on": True} for _ in range(40)]),
    "minified JSON": lambda rng: json.dumps([{"k": rng.random(), "v": None}] * 50, separators=(",", ":")),
    "random ASCII": lambda rng: of_range(33, 126, rng),
    "random letters": lambda rng: pick(string.ascii_lowercase, rng),
    "random words": lambda rng: " ".join(pick(string.ascii_lowercase, rng)[: rng.randint(2, 8)] for _ in range(200)),
    "white space": lambda rng: pick(" \t\n\r", rng),
    "spaces": lambda _: " " * CHARS,
    "random Han": lambda rng: of_range(0x4E00, 0x9FFF, rng),
    "random kana": lambda rng: of_range(0x3041, 0x30FE, rng),
    "random Hangul": lambda rng: of_range(0xAC00, 0xD7A3, rng),
    "random Amharic": lambda rng: of_range(0x1200, 0x1357, rng),
    "emoji": lambda rng: of_range(0x1F300, 0x1FAFF, rng),
    "joined emoji": lambda rng: pick(EMOJI, rng),
    "rare Unicode": lambda rng: of_range(0x10000, 0x1F2FF, rng),
    "mixed": lambda rng: "please sort this: " + pick([*EMOJI, "日本", "abc ", "12", "Q3x"], rng),
}


def make_texts(n: int, rng: random.Random) -> dict[str, list[str]]:
    """Return up to n texts of each kind."""
    csv.field_size_limit(1 << 30)
    with (ROOT / "data/prompts.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    prompts = {name: "\n".join(row["prompt"] for row in rows if row["language"] == code) for name, code in LANGUAGES.items()}
    code = "\n".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "router").rglob("*.py")))
    long = prompts | {"Python": code, "Markdown": (ROOT / "README.md").read_text(encoding="utf-8")}
    texts = {name: cut_pieces(text, n, rng) for name, text in long.items()}
    return texts | {kind: [make(rng) for _ in range(n)] for kind, make in KINDS.items()}


def cut_pieces(text: str, n: int, rng: random.Random) -> list[str]:
    """Return n random pieces of a text."""
    starts = [rng.randrange(max(len(text) - CHARS, 1)) for _ in range(n)]
    return [text[start : start + CHARS] for start in starts]


def load_counter(name: str, path: Path) -> Count:
    """Return a function that counts the tokens of a text."""
    if path.suffix == ".tiktoken":
        lines = path.read_text().splitlines()
        ranks = {base64.b64decode(token): int(rank) for token, rank in map(str.split, lines)}
        return make_counter(name, QWEN if name.startswith("qwen") else O200K, ranks)
    if path.name.startswith("tekken"):
        tekken = json.loads(path.read_text(encoding="utf-8"))
        config = tekken["config"]
        size = config["default_vocab_size"] - config["default_num_special_tokens"]
        ranks = {base64.b64decode(entry["token_bytes"]): entry["rank"] for entry in tekken["vocab"][:size]}
        return make_counter(name, config["pattern"], ranks)
    tokenizer = Tokenizer.from_file(str(path))
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids)


def make_counter(name: str, pattern: str, ranks: dict[bytes, int]) -> Count:
    """Return a function that counts the tokens of a text by ranks."""
    import tiktoken

    encoding = tiktoken.Encoding(name, pat_str=pattern, mergeable_ranks=ranks, special_tokens={})
    return lambda text: len(encoding.encode_ordinary(text))


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tokenizers", nargs="+", metavar="NAME=FILE")
    parser.add_argument("--n", type=int, default=20, help="Number of texts of each kind.")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    counters = {name: load_counter(name, Path(file)) for name, file in (item.split("=", 1) for item in options.tokenizers)}
    print(f"estimate / count, {options.n} texts of each kind, seed {options.seed}; lowest: of a single text\n")
    print(f"| kind | {' | '.join(counters)} | lowest |\n|---|{'---:|' * (len(counters) + 1)}")
    for kind, texts in make_texts(options.n, random.Random(options.seed)).items():
        estimates = [count_tokens(text) for text in texts]
        counts = {name: [count(text) for text in texts] for name, count in counters.items()}
        ratios = [f"{sum(estimates) / sum(counted):.2f}" for counted in counts.values()]
        lowest = min(e / c for counted in counts.values() for e, c in zip(estimates, counted, strict=True))
        print(f"| {kind} | {' | '.join(ratios)} | {lowest:.2f} |")


if __name__ == "__main__":
    main()
