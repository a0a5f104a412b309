"""A prompt comes in, hashed n-grams and surface features that need no encoder go out."""

from __future__ import annotations

import math
import re
import zlib
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from router.classify.text import cut

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Number of buckets that n-grams are hashed into.
BUCKETS = 1 << 15
# Head and tail hold the request. The words in between mostly come from pasted material.
_HEAD_WORDS = _TAIL_WORDS = 60
# Opening and closing words that get n-grams of their own kind.
_EDGE_WORDS = 4
_MAX_WORD_CHARS = 40

# A word, a number, or one other sign. In a script without spaces, each letter counts as a word.
_WORD = re.compile(r"[぀-ヿ㐀-鿿가-힯฀-๿]|[^\W\d_぀-ヿ㐀-鿿가-힯฀-๿]+|\d+|[^\w\s]")
_SENTENCE_END = re.compile(r"[.!?。？！]")
_CODE_SIGN = re.compile(r"[{};=<>\[\]()_\\|&$#@^`~]")
_CODE_WORD = re.compile(
    r"\b(?:def|class|import|return|function|const|void|select|from|where|null|print|public|static)\b", re.I
)
# Blanks of one line only. In a text of empty lines, `\s*` would scan the rest of the text again at every line.
_OPTION = re.compile(r"(?m)^[^\S\n]*[\(\[]?[A-Da-d1-5][).:\]]\s")
_EQUATION = re.compile(r"\d\s*[-+*/^=×÷%]\s*\d|[xyn]\s*[=^]")
_BULLET = re.compile(r"(?m)^[^\S\n]*(?:[-*•]|\d+[.)])\s")
_LINK = re.compile(r"https?://|www\.|@\w+\.\w")
_QUOTE = re.compile(r"[\"“”«»„]")

# Names of the surface features, in the order of the array.
SURFACE = (
    "log_chars", "log_words", "log_lines", "chars_per_word", "words_in_first_line", "words_in_last_line",
    "upper_share", "digit_share", "punctuation_share", "code_sign_share", "non_ascii_share", "spaceless_script_share",
    "starts_lower", "ends_question", "ends_colon", "first_line_ends_colon", "any_question", "exclamations",
    "sentences", "quotes", "code_fence", "code_words", "options", "equations", "bullets", "links", "tabs_or_pipes",
    "blank_lines",
)  # fmt: skip


def hashed_ngrams(text: str) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the buckets of a text's n-grams and their values, both of shape (n-grams,).

    The n-grams are words, word pairs, opening words, closing words and stems. The buckets are sorted and unique, in
    [0, BUCKETS). The values are square roots of counts, scaled to length one (feature hashing, Weinberger et al., 2009).
    The hash is CRC-32, which is the same in every process and on every machine.
    """
    counts: dict[int, int] = {}
    for gram in _ngrams(_words(text)):
        bucket = zlib.crc32(gram.encode()) % BUCKETS
        counts[bucket] = counts.get(bucket, 0) + 1
    buckets = np.array(sorted(counts), np.int64)
    values = np.sqrt(np.array([counts[bucket] for bucket in buckets.tolist()], np.float32))
    return buckets, np.asarray(values / max(float(np.linalg.norm(values)), 1e-12), np.float32)


def surface_features(text: str) -> NDArray[np.float32]:
    """Return the surface features of a text, shape (len(SURFACE),), all finite.

    They measure length, case, punctuation, and signs of code, tables and questions.
    """
    text = cut(text)
    lines = [line for line in text.splitlines() if line.strip()] or [""]
    chars, words, first = max(len(text), 1), text.split(), lines[0]
    counts = Counter(text).items()  # one pass over the text, because a text has few different characters
    return np.array(
        [
            math.log1p(len(text)),
            math.log1p(len(words)),
            math.log1p(len(lines)),
            min(len(text) / max(len(words), 1), 20.0),
            math.log1p(len(first.split())),
            math.log1p(len(lines[-1].split())),
            sum(n for c, n in counts if c.isupper()) / chars,
            sum(n for c, n in counts if c.isdigit()) / chars,
            sum(n for c, n in counts if c in ".,;:!?'\"-") / chars,
            len(_CODE_SIGN.findall(text)) / chars,
            sum(n for c, n in counts if c > "\x7f") / chars,
            sum(n for c, n in counts if "\u3040" <= c <= "\u9fff") / chars,
            text[:1].islower(),
            text.rstrip().endswith(("?", "？", "؟")),
            text.rstrip().endswith((":", "：")),
            first.rstrip().endswith((":", "：")),
            "?" in text,
            math.log1p(text.count("!")),
            math.log1p(len(_SENTENCE_END.findall(text))),
            math.log1p(len(_QUOTE.findall(text))),
            "```" in text,
            math.log1p(len(_CODE_WORD.findall(text))),
            math.log1p(len(_OPTION.findall(text))),
            math.log1p(len(_EQUATION.findall(text))),
            math.log1p(len(_BULLET.findall(text))),
            math.log1p(len(_LINK.findall(text))),
            math.log1p(text.count("\t") + text.count("|")),
            math.log1p(text.count("\n\n")),
        ],
        np.float32,
    )


def _words(text: str) -> list[str]:
    words = [word[:_MAX_WORD_CHARS] for word in _WORD.findall(cut(text).lower())]
    return words if len(words) <= _HEAD_WORDS + _TAIL_WORDS else words[:_HEAD_WORDS] + words[-_TAIL_WORDS:]


def _ngrams(words: Sequence[str]) -> list[str]:
    """Return the n-grams, each with a mark of its kind, so that equal words of two kinds get different buckets."""
    grams = [f"w {word}" for word in words]
    grams += [f"p {a} {b}" for a, b in pairwise(words)]
    grams += [f"h {word}" for word in words[:_EDGE_WORDS]]
    grams += [f"t {word}" for word in words[-_EDGE_WORDS:]]
    grams += [f"s {word[:5]}" for word in words if len(word) > 5]  # noqa: PLR2004 - stems of translat-e, -ing, -ion
    return grams
