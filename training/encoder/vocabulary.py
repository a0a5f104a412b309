"""A Unigram tokenizer and texts in, the pieces to keep and the smaller tokenizer out."""

from __future__ import annotations

import json
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

# Pieces to keep by script, the most likely first. The scripts are those of the 40 most spoken languages. Their shares follow
# the number of speakers and of the pieces that words need.
PIECES_BY_SCRIPT: Final[Mapping[str, int]] = {
    "LATIN": 36_000,
    "CYRILLIC": 9_000,
    "CJK": 9_000,
    "ARABIC": 5_000,
    "HANGUL": 4_500,
    "DEVANAGARI": 4_000,
    "THAI": 2_500,
    "BENGALI": 1_500,
    "HIRAGANA": 1_500,
    "TAMIL": 1_300,
    "TELUGU": 1_300,
    "GREEK": 1_200,
    "KANNADA": 1_200,
    "MALAYALAM": 1_200,
    "GUJARATI": 1_100,
    "MYANMAR": 1_100,
    "ETHIOPIC": 1_000,
    "HEBREW": 1_000,
    "GURMUKHI": 900,
    "ORIYA": 900,
    "KATAKANA": 700,
    "NONE": 6_000,
}
_OTHER_SCRIPTS = 100
_SPECIAL = 4
_SPACE = "▁"


def find_script(piece: str) -> str:
    """Return the script of most letters of a piece, as Unicode names it. `NONE` for digits and signs."""
    letters = [letter for letter in piece if letter.isalpha() or unicodedata.category(letter).startswith("M")]
    scripts = Counter(unicodedata.name(letter, "?").split(" ")[0] for letter in letters)
    return scripts.most_common(1)[0][0] if scripts else "NONE"


def choose_pieces(vocabulary: Sequence[tuple[str, float]], used: Iterable[int]) -> list[int]:
    """Return the numbers of the pieces to keep, in order.

    They are the special pieces, the single letters of the kept scripts, the pieces that the texts use, and the most likely
    pieces of each script.

    Args:
        vocabulary: Pieces with their log-probabilities. The first four are special.
        used: Numbers of the pieces in the texts.
    """
    kept = {*range(_SPECIAL), *used}
    by_script: dict[str, list[int]] = defaultdict(list)
    for number, (piece, _) in enumerate(vocabulary[_SPECIAL:], _SPECIAL):
        script = find_script(piece)
        by_script[script].append(number)
        # Without its letters a word would become an unknown piece, whatever else is kept.
        if len(piece.strip(_SPACE)) <= 1 and script in PIECES_BY_SCRIPT:
            kept.add(number)
    for script, numbers in by_script.items():
        likely = sorted(numbers, key=lambda number: -vocabulary[number][1])
        kept.update(likely[: PIECES_BY_SCRIPT.get(script, _OTHER_SCRIPTS)])
    return sorted(number for number in kept if number < len(vocabulary))


def shrink_tokenizer(tokenizer: Mapping[str, Any], kept: Sequence[int]) -> str:
    """Return the text of a `tokenizer.json` with these pieces only. Their order gives their new numbers.

    Args:
        tokenizer: The content of `tokenizer.json`, of the Unigram kind.
        kept: Numbers of the pieces to keep, from `choose_pieces`.
    """
    model = {**tokenizer["model"], "vocab": [tokenizer["model"]["vocab"][number] for number in kept]}
    special = [token for token in tokenizer["added_tokens"] if token["id"] < _SPECIAL]
    return json.dumps({**tokenizer, "added_tokens": special, "model": model}, ensure_ascii=False)
