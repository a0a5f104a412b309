"""The types of the hooks that show the progress of long work, and one progress over several stages."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any, TypeVar

T = TypeVar("T")

# Wraps texts while they are encoded. The hook `iter` shows nothing.
Progress = Callable[[Sequence[str]], Iterable[str]]
# Wraps the numbers of training steps.
Steps = Callable[[Sequence[int]], Iterable[int]]
# Wraps results as they arrive. Its second argument is their number.
Watch = Callable[[Iterable[Any], int], Iterable[Any]]
# Is told what runs now, and the share of the whole work that is done, in [0, 1].
Show = Callable[[str, float], None]


def unwatched(items: Iterable[T], count: int) -> Iterable[T]:
    """Return the items. It is the hook for `Watch` that shows nothing."""
    del count
    return items


class Stages:
    """One progress over stages that follow each other.

    Args:
        work: Expected work of each stage, in their order and in any unit.
        show: Is told the progress. None: nobody is.
    """

    def __init__(self, work: Mapping[str, float], show: Show | None = None) -> None:
        self._show, self._stage = show, ""
        whole = sum(work.values()) or 1.0
        ends = [end / whole for end in accumulate(work.values())]
        self._spans = dict(zip(work, zip([0.0, *ends], ends, strict=False), strict=True))

    def begin(self, stage: str) -> None:
        """Begin a stage. All stages before it count as done."""
        self._stage = stage
        self._tell(0.0)

    def watch(self, items: Iterable[T], count: int) -> Iterator[T]:
        """Return the items of the stage that runs. The stage is done when all of them are taken.

        Args:
            items: The items.
            count: Their number.
        """
        for place, item in enumerate(items, 1):
            yield item
            self._tell(place / count)

    def watch_texts(self, texts: Sequence[str]) -> Iterator[str]:
        """Return the texts of the stage that runs, as `watch` does."""
        return self.watch(texts, len(texts))

    def end(self) -> None:
        """Tell that everything is done."""
        if self._show:
            self._show("done", 1.0)

    def _tell(self, share: float) -> None:
        if self._show:
            start, end = self._spans[self._stage]
            self._show(self._stage, start + (end - start) * share)
