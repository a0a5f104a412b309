"""A text in, the same text as somebody else might send it out: with typing errors, or with the request in the middle."""

from __future__ import annotations

import random
import re
import unicodedata

# Words of letters. Errors of input methods for Chinese and Japanese are others: they choose a wrong word.
_WORD = re.compile(r"[^\W\d_]{3,}")
_NO_ALPHABET = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]")

_PARAGRAPH, _LINE = re.compile(r"\n\s*\n"), re.compile(r"\n")
# A request of more characters is no short part, and less material hides no request. There are at least this many parts.
_LONGEST_REQUEST, _LEAST_MATERIAL, _FEWEST_PARTS = 200, 300, 2

_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm", "йцукенгшщзхъ", "фывапролджэ", "ячсмитьбю")
_NEIGHBOURS = {letter: row[max(0, i - 1) : i] + row[i + 1 : i + 2] for row in _ROWS for i, letter in enumerate(row)}


def add_typos(text: str, rng: random.Random, *, share: float = 0.1) -> str:
    """Return a text in which some words have one typing error: a swap, a letter too few, too many or of the next key.

    Args:
        text: The text.
        rng: Draws the words and the errors.
        share: Share of the words that get an error, in [0, 1]. At least one word does, if any is a word of letters.

    >>> add_typos("please explain the difference", random.Random(0))
    'please explain the differecne'
    """
    words = [found for found in _WORD.finditer(text) if not _NO_ALPHABET.search(found[0])]
    chosen = rng.sample(words, min(len(words), max(1, round(share * len(words)))))
    # From the end, so that the places of the others stay right.
    for word in sorted(chosen, key=lambda found: -found.start()):
        text = text[: word.start()] + _misspell(word[0], rng) + text[word.end() :]
    return text


def drop_marks(text: str) -> str:
    """Return a text without the marks of Latin letters, as people type on a keyboard of another language.

    >>> drop_marks("příliš žluťoučký, ¿cuándo?")
    'prilis zlutoucky, ¿cuando?'
    """
    return "".join(_base_letter(letter) for letter in text)


def move_request(text: str) -> str:
    r"""Return a text whose first or last part stands in the middle of the others, if it is short. Otherwise return the text.

    Parts are paragraphs, or lines if there is only one paragraph. The short part is mostly the request, and the others are
    material. If it is a heading, the request stays where it was.

    >>> move_request("shorten this\n" + "\n".join(f"{n}. " + "word " * 40 for n in (1, 2, 3, 4))).splitlines()[2]
    'shorten this'
    """
    separator = "\n\n" if _PARAGRAPH.search(text.strip()) else "\n"
    parts = [part for part in (_PARAGRAPH if separator == "\n\n" else _LINE).split(text.strip()) if part.strip()]
    short = [at for at in (0, -1) if len(parts) > _FEWEST_PARTS and len(parts[at]) <= _LONGEST_REQUEST]
    if not short or len(text) < _LEAST_MATERIAL + len(parts[short[0]]):
        return text
    request = parts.pop(short[0])
    middle = len(parts) // 2
    return separator.join([*parts[:middle], request, *parts[middle:]])


def _misspell(word: str, rng: random.Random) -> str:
    # People rarely mistype the start of a word.
    at = rng.randrange(2, len(word))
    kind = rng.choice(("swap", "drop", "double", "neighbour"))
    letter = word[at]
    if kind == "swap":
        return word[: at - 1] + letter + word[at - 1] + word[at + 1 :]
    if kind == "drop":
        return word[:at] + word[at + 1 :]
    near = _NEIGHBOURS.get(letter.lower(), "") if kind == "neighbour" else ""
    return word[:at] + (rng.choice(near) if near else letter * 2) + word[at + 1 :]


def _base_letter(letter: str) -> str:
    base = unicodedata.normalize("NFD", letter)[0]
    return base if base.isascii() and base.isalpha() else letter
