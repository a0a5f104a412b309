"""Keyword rules: literal phrases that speak for a task when no classifier does, or it is unsure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

import msgspec

# The request stands at the edges of a prompt; what lies between is mostly pasted, and says anything.
_HEAD_CHARS = _TAIL_CHARS = 240
_DEFAULT_RULES = Path(__file__).with_name("keywords.json")
_SPACELESS = re.compile(r"[぀-ヿ㐀-鿿가-힯฀-๿]")


class KeywordRules(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, dict=True):
    """Phrases by task. Literal text, never regular expressions: a crafted one took 12.9 s on 27 characters.

    Attributes:
        precision: Share of the training prompts with a fitting rule whose task the rule names, in [0, 1].
        phrases: The phrases of each task; upper and lower case are the same.
    """

    precision: float
    phrases: Mapping[str, Sequence[str]]

    def __post_init__(self) -> None:
        if not 0 <= self.precision <= 1:
            raise ValueError(f"precision must be in [0, 1], was {self.precision}")
        if any(not phrase.strip() for phrases in self.phrases.values() for phrase in phrases):
            raise ValueError("a phrase must not be empty; remove it")

    def match(self, text: str) -> tuple[str, tuple[str, ...]] | None:
        """Return the task that the phrases in a text's head and tail speak for, and those phrases; None where none fits.

        A phrase counts with its number of words, each phrase once, unless it is part of a longer one that fits. Of equal
        tasks the one that is named first wins.
        """
        edges = text if len(text) <= _HEAD_CHARS + _TAIL_CHARS else f"{text[:_HEAD_CHARS]} \0 {text[-_TAIL_CHARS:]}"
        searched = " ".join(edges.lower().split())
        # A plain search for each phrase: one regular expression of them all takes 25 times as long, and 60 ms to compile.
        places = {p: place for p in self._tasks if p in searched and (place := _find(p, searched)) >= 0}
        found = [p for p in sorted(places, key=lambda p: places[p]) if not any(p in q for q in places if len(q) > len(p))]
        votes: dict[str, int] = {}
        for phrase in found:
            task = self._tasks[phrase]
            votes[task] = votes.get(task, 0) + len(phrase.split())
        if not votes:
            return None
        winner = max(votes, key=lambda task: votes[task])  # max() keeps the first of equals: the order of appearance
        return winner, tuple(phrase for phrase in found if self._tasks[phrase] == winner)

    @cached_property
    def _tasks(self) -> dict[str, str]:
        return {" ".join(phrase.lower().split()): task for task, phrases in self.phrases.items() for phrase in phrases}


def default_rules() -> KeywordRules:
    """Return the rules that come with the package, for the 14 tasks."""
    return msgspec.json.decode(_DEFAULT_RULES.read_bytes(), type=KeywordRules)


def _find(phrase: str, text: str) -> int:
    """Return where a phrase first stands with its words whole; -1: nowhere."""
    place = -1
    while (place := text.find(phrase, place + 1)) >= 0:
        end = place + len(phrase)
        if not (_goes_on(phrase[0], text[max(place - 1, 0) : place]) or _goes_on(phrase[-1], text[end : end + 1])):
            break
    return place


def _goes_on(edge: str, beyond: str) -> bool:
    """Return whether a word goes on over an edge of a phrase; in a script written without spaces none does."""
    return bool(beyond) and _in_word(edge) and _in_word(beyond) and not _SPACELESS.match(edge)


def _in_word(sign: str) -> bool:
    return sign.isalnum() or sign == "_"
