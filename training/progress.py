"""The types of the hooks that show the progress of long work. The hook `iter` shows nothing."""

from collections.abc import Callable, Iterable, Sequence

# Wraps texts while they are encoded.
Progress = Callable[[Sequence[str]], Iterable[str]]
# Wraps the numbers of training steps.
Steps = Callable[[Sequence[int]], Iterable[int]]
