"""An answer in, its final answer in a form that can be compared out: a number, a choice or a short text."""

from __future__ import annotations

import re
import unicodedata

# A longer text without a marked answer says the same in too many ways.
_MOST_SHORT = 60
_BOXED = re.compile(r"\\boxed\{((?:[^{}]|\{[^{}]*\})*)\}")
_MARKED = re.compile(r"(?:answer|result|solution)\W{0,4}(?:\bis\b|:|=)[\s*_:]*([^\n]+)", re.IGNORECASE)
_NUMBER = re.compile(r"[-−]?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?", re.IGNORECASE)
_CHOICE = re.compile(r"\(?([A-Ja-j])[).:]?")


def find_final_answer(text: str) -> str | None:
    r"""Return the final answer in a form that is equal for equal answers. None if the text has no short final answer.

    It is what stands last in `\boxed{}`, or else behind "the answer is" or "Answer:", or else a whole short text. Of that, a
    choice such as `(B)` counts as its letter, and a text with one number as its number: 1,000.0 is 1000.

    >>> find_final_answer("So we add them. The answer is **1,000.0** km."), find_final_answer("(B) Rome")
    ('1000', 'b')

    Args:
        text: The whole answer.
    """
    marked = _BOXED.findall(text) or _MARKED.findall(text)
    final = marked[-1] if marked else text.strip()
    # Marks of formatting are no part of the answer.
    final = unicodedata.normalize("NFKC", re.sub(r"[*_`$\\{}]", "", final)).strip(" .!\n\t\"'")
    if not final or len(final) > _MOST_SHORT:
        return None
    choice = _CHOICE.match(final)
    if choice is not None and (choice.end() == len(final) or not choice[0][-1].isalpha()):
        return choice[1].lower()
    numbers = _NUMBER.findall(final)
    if len(numbers) == 1:
        return _write_number(numbers[0])
    return " ".join(re.findall(r"\w+", final.casefold())) or None


def _write_number(number: str) -> str:
    return format(float(number.replace(",", "").replace("−", "-")), ".12g")
