"""Texts in, further texts made of their parts out, for the distillation of a draft."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

_WORD = re.compile(r"\S+\s*")

# Only this many characters from the start of a text are used.
_MOST_CHARACTERS = 3000

# Share of crops among the made texts. The others are splices.
_CROPS = 0.45

# Share of crops that start at the start of the text.
_CROPS_OF_HEAD = 0.7

# Share of splices that start with the request.
_SPLICES_HEAD_FIRST = 0.65

_HEAD_JOINTS, _TAIL_JOINTS = (" ", "\n", "\n\n", ": ", ". "), (" ", "\n", "\n\n")


def make_texts(texts: Sequence[str], n: int, *, seed: int) -> list[str]:
    """Return up to n different texts made of parts of other texts. Nobody wrote them, but somebody might have.

    There are two kinds. A crop is short, because prompts are often shorter than the given texts. A splice joins the head of
    one text with the middle of another, or such a middle with a tail. From splices the draft learns that the words of the
    request decide about the task, and not the topic.

    Args:
        texts: Texts to take the parts from.
        n: Number of texts to make. Empty and repeated ones are dropped.
        seed: Seed of all draws.
    """
    rng = random.Random(f"made {seed}")  # noqa: S311 - texts, no secrets
    words = [found for text in texts if (found := _WORD.findall(text[:_MOST_CHARACTERS]))]
    made = (_crop(rng, words) if rng.random() < _CROPS else _splice(rng, words) for _ in range(n if words else 0))
    return list(dict.fromkeys(text for text in made if text))


def _crop(rng: random.Random, words: Sequence[Sequence[str]]) -> str:
    text, n = rng.choice(words), rng.randint(3, 18)
    start = 0 if rng.random() < _CROPS_OF_HEAD else rng.randrange(max(1, len(text) - n))
    return "".join(text[start : start + n]).strip()


def _splice(rng: random.Random, words: Sequence[Sequence[str]]) -> str:
    request, material = rng.choice(words), rng.choice(words)
    n, m = rng.randint(3, 20), rng.randint(3, 40)
    start = rng.randrange(max(1, len(material) - m))
    middle = "".join(material[start : start + m]).strip()
    if rng.random() < _SPLICES_HEAD_FIRST:
        return "".join(request[:n]).strip() + rng.choice(_HEAD_JOINTS) + middle
    return middle + rng.choice(_TAIL_JOINTS) + "".join(request[-n:]).strip()
