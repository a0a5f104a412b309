"""A mapping of model names whose values are computed on access."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar

_T = TypeVar("_T")


class LazyMapping(Mapping[str, _T]):
    """Computes each value when it is looked up, because most strategies look up only a few.

    Args:
        names: The keys.
        compute: Returns the value of a key.
    """

    def __init__(self, names: Sequence[str], compute: Callable[[str], _T]) -> None:
        self._names, self._compute = dict.fromkeys(names), compute

    def __getitem__(self, name: str) -> _T:
        # No InputError: `in` and get() of a mapping depend on KeyError.
        if name not in self._names:
            raise KeyError(name)
        return self._compute(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)
