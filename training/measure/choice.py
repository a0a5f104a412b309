r"""An answer is right if it chooses the expected letter, or gives the text of that option.

Models word a choice in many ways. Hendrycks et al. (2021), MMLU, compare letters only; an answer in a chat also says `(B)`,
`The answer is B` or the option's text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from training.measure.exact import normalise
from training.measure.item import Grade, Item

# A and I are words too: `the answer is A because`, but not `the answer is A dog`.
_LETTER = r"(?:[B-HJ]|[AI](?!\s+(?!because\b|since\b|as\b|for\b)[a-z]))(?![\w'’])"
_NO_OTHER = r"(?!\W*(?:,|/|\bor\b|\band\b|&)\W*[A-J]\b)"
_BOXED = re.compile(r"\\boxed\s*\{\s*(?:\\text(?:bf)?\s*\{)?\W*([A-J])\b")
# A small letter counts in brackets, or at the end of a line.
_CHOSEN = rf"(?:(?i:option|choice|letter)\W{{1,3}})?(?:({_LETTER}){_NO_OTHER}|\(([a-j])\)|([a-j])[.*]*[ ]*$)"
_ANSWER = re.compile(
    r"(?:(?i:\b(?:answer|choose|select|pick)\b)|答案)(?:\s*(?i:is|would be|should be|must be)\b|是|为)?\W{0,6}" + _CHOSEN,
    re.MULTILINE,
)
_OPTION = re.compile(
    rf"(?i:\b(?:option|choice)\b)(?:\s*(?i:is|would be|should be|must be)\b)?\W{{0,6}}({_LETTER}){_NO_OTHER}"
)
_ALONE = re.compile(r"\W*([A-Ja-j])\W*")
_LEADING = re.compile(rf"[^\w\n]*([A-J])[\])}}.:,*]{_NO_OTHER}(?!\w)")
_BRACKETED = re.compile(r"\(([A-J])\)")
_LISTED = re.compile(r"^[ \t>*-]*\(?([A-J])[).:][ \t]+(.+?)[ \t]*$", re.MULTILINE)


def grade_choice(answer: str, item: Item, /) -> Grade:
    r"""Return 1 if the answer chooses the expected option. Else 0, also if it chooses several or none.

    >>> paris = Item(prompt="A) Rome\nB) Paris\nC) Oslo", expected="B")
    >>> [grade_choice(text, paris).score for text in ("B", "(b)", "The answer is **B**.", "Paris", "A or B", "It is C.")]
    [1.0, 1.0, 1.0, 1.0, 0.0, 0.0]
    """
    options = item.options or list_options(item.prompt)
    wanted = find_letter(item.expected, options)
    return Grade(float(wanted is not None and find_letter(answer, options) == wanted))


def list_options(prompt: str) -> tuple[str, ...]:
    """Return the texts of the options that a prompt lists as A, B, C, … in lines of their own. Empty if it lists none."""
    texts: list[str] = []
    for letter, text in _LISTED.findall(prompt):
        # A second list starts at A again, as the examples before a question do. The last list counts.
        texts = [text] if letter == "A" else [*texts, text] if ord(letter) - ord("A") == len(texts) else texts
    return tuple(texts)


def find_letter(answer: str, options: Sequence[str]) -> str | None:
    """Return the letter of the option that an answer chooses. None if it chooses none, or several."""
    answer = answer.strip()
    if whole := _ALONE.fullmatch(answer):
        return whole[1].upper()
    # The last statement counts: a model may first say what others choose.
    if found := _BOXED.findall(answer):
        return str(found[-1])
    if stated := _ANSWER.findall(answer):
        return "".join(stated[-1]).upper()
    lines = [line for line in answer.splitlines() if line.strip()]
    # The first line may start with the choice, and the last line may be nothing else.
    if lines and (first := _LEADING.match(lines[0])) and len(_LISTED.findall(answer)) <= 1:
        return first[1]
    if lines and (last := _ALONE.fullmatch(lines[-1])):
        return last[1].upper()
    return _only(_OPTION.findall(answer)) or _only(_BRACKETED.findall(answer)) or _find_text(answer, options)


def _find_text(answer: str, options: Sequence[str]) -> str | None:
    """Return the letter of the only option whose text the answer contains. The whole answer counts first."""
    letters = "ABCDEFGHIJ"
    texts = {letter: normalise(option) for letter, option in zip(letters, options, strict=False)}
    given = normalise(answer)
    if same := [letter for letter, text in texts.items() if text == given]:
        return _only(same)
    named = [letter for letter, text in texts.items() if text and re.search(rf"(?<!\w){re.escape(text)}(?!\w)", given)]
    # An option may be a part of a longer one: `Rome` and `New Rome`. The longer one is meant.
    return _only([a for a in named if not any(texts[a] in texts[b] for b in named if b != a)])


def _only(letters: Sequence[str]) -> str | None:
    return letters[0] if len(set(letters)) == 1 else None
