"""Names as people write them in, the names that they mean out, with a note if two of them may mean the same."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping

_GAP = re.compile(r"[\s_-]+")


def fold_name(name: str) -> str:
    """Return what two spellings of a name share.

    >>> fold_name("Code Review") == fold_name("code-review")
    True
    """
    # One letter with an accent may be one character or two.
    return _GAP.sub(" ", unicodedata.normalize("NFKC", name).strip().casefold())


def find_known(name: str, known: Collection[str]) -> str | None:
    """Return the known name that is meant. None if there is none, or if several have this spelling.

    >>> find_known("Math", ["coding", "math"])
    'math'

    Args:
        name: The name as written.
        known: The known names.
    """
    if name in known:
        return name
    meant = {other for other in known if fold_name(other) == fold_name(name)}
    return meant.pop() if len(meant) == 1 else None


def group_spellings(names: Iterable[str]) -> list[tuple[str, ...]]:
    """Return the names that differ only in case, spaces, hyphens and underscores, in order of first appearance.

    >>> group_spellings(["Math", "qa", "math"])
    [('Math', 'math')]
    """
    groups: dict[str, list[str]] = {}
    for name in dict.fromkeys(names):
        groups.setdefault(fold_name(name), []).append(name)
    return [tuple(group) for group in groups.values() if len(group) > 1]


def describe_spellings(what: str, rows: Mapping[str, int]) -> list[str]:
    """Return a note for each group of names that differ only in spelling.

    Args:
        what: What they name, in the plural.
        rows: The first row of each name.
    """
    return [
        f"{what} must differ in more than case, spaces and hyphens, got "
        + " and ".join(f"{name!r} (first in row {rows[name]})" for name in group)
        + "; write them alike, or they count as different ones"
        for group in group_spellings(rows)
    ]
