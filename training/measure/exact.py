"""An answer is right if it is one of the accepted texts, whatever its case, spaces and outer punctuation.

Evaluation harnesses normalise in the same spirit: Rajpurkar et al. (2016), SQuAD, lower the case and remove punctuation and
spaces before they compare. Articles stay here, because they matter in other languages and in code.
"""

from __future__ import annotations

import re
import unicodedata

from training.data.fields import split_list
from training.measure.item import Grade, Item

_SPACE = re.compile(r"\s+")
# A model often says that this is its answer. `Answer: Paris`, `The final answer is Paris.`
_ANNOUNCED = re.compile(r".*\banswer\b\W*(?:is\b|:|=)\W*(.+)", re.IGNORECASE)


def grade_exact(answer: str, item: Item, /) -> Grade:
    r"""Return 1 if the whole answer, or what its last line announces as the answer, is an accepted text. Else 0.

    >>> grade_exact("  **Paris.** ", Item(prompt="", expected="paris | Lutetia")).score
    1.0
    >>> grade_exact("It is in France.\nAnswer: Paris", Item(prompt="", expected="Paris")).score
    1.0
    >>> grade_exact("Paris or London", Item(prompt="", expected="Paris")).score
    0.0
    """
    accepted = {normalise(text) for text in split_list(item.expected)}
    lines = answer.strip().splitlines()
    announced = _ANNOUNCED.fullmatch(lines[-1].strip()) if lines else None
    given = {normalise(answer), *([normalise(announced[1])] if announced else [])}
    return Grade(float(bool(given & accepted)))


def normalise(text: str) -> str:
    """Return a text in small letters, with single spaces and without punctuation and marks at its ends.

    Signs that change a value stay: `-5`, `+5`, `50%`, `5°`.

    >>> normalise(' “New   York”! '), normalise("-5%")
    ('new york', '-5%')
    """
    text = _SPACE.sub(" ", unicodedata.normalize("NFKC", text)).casefold()
    start, end = 0, len(text)
    while start < end and _is_outer(text[start]):
        start += 1
    while start < end and _is_outer(text[end - 1]):
        end -= 1
    # A text of nothing but punctuation is itself, so that "!" and "?" differ.
    return text[start:end] or text.strip()


def _is_outer(sign: str) -> bool:
    # The dash and the per cent sign are punctuation in Unicode, but belong to a number. ` and ~ mark code.
    return sign == " " or sign in "`~" or (unicodedata.category(sign).startswith("P") and sign not in "-%#@&/\\")
