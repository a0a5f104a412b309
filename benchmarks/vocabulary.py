"""A tokenizer with fewer pieces beside the whole one: what it lacks in each language.

    python benchmarks/vocabulary.py --whole FILE --kept models/default/encoder/tokenizer.json --prompts data/prompts.csv

For each language it prints the share of unknown pieces, and how many more pieces a text has than with the whole tokenizer.
"""

from __future__ import annotations

import argparse
import csv
from collections import defaultdict
from pathlib import Path

from tokenizers import Tokenizer


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--whole", type=Path, required=True)
    parser.add_argument("--kept", type=Path, required=True)
    parser.add_argument("--prompts", type=Path, required=True)
    arguments = parser.parse_args()
    csv.field_size_limit(1 << 24)
    texts: dict[str, list[str]] = defaultdict(list)
    with arguments.prompts.open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            texts[row["language"]].append(row["prompt"])
    whole, kept = (_open(path) for path in (arguments.whole, arguments.kept))
    unknown = kept.token_to_id("<unk>")
    print("language  prompts  unknown pieces, %  more pieces, %")
    for language, prompts in sorted(texts.items(), key=lambda item: -len(item[1])):
        ids = [kept.encode(prompt, add_special_tokens=False).ids for prompt in prompts]
        n, n_whole = sum(map(len, ids)), sum(len(whole.encode(prompt, add_special_tokens=False).ids) for prompt in prompts)
        lacking = sum(piece == unknown for each in ids for piece in each)
        print(f"{language:8}  {len(prompts):7}  {100 * lacking / n:17.3f}  {100 * (n / n_whole - 1):14.1f}")


def _open(path: Path) -> Tokenizer:
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_truncation()
    return tokenizer


if __name__ == "__main__":
    main()
