"""Mistakes in a data file in, one error that lists them out."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from router.errors import RouterError

# One mistake is often repeated in every row. Twenty lines are enough to see it.
MAX_REPORTED = 20
# A field may hold a whole prompt, because a comma or the header is missing. So a message shows only its beginning.
SHOWN_CHARS = 40


class DatasetError(RouterError):
    """A data file breaks a rule of its layout. The message lists at most 20 rows, then the number of further ones."""


@dataclass
class Problems:
    """Collects the mistakes in a file, so that one run reports all of them.

    Attributes:
        path: The file. Every message starts with it.
        lines: The first 20 messages.
        count: Number of mistakes, including those without a line.
    """

    path: Path
    lines: list[str] = field(default_factory=list)
    count: int = 0

    def add(self, row: int, message: str) -> None:
        """Record one mistake.

        Args:
            row: Number of the row. The header is row 1.
            message: Rule, value and remedy. It must not contain a prompt.
        """
        self.count += 1
        if len(self.lines) < MAX_REPORTED:
            self.lines.append(f"{self.path} row {row}: {message}")

    def raise_any(self) -> None:
        """Raise all mistakes as one error, or return if there are none.

        Raises:
            DatasetError: If a mistake was added.
        """
        if self.count:
            more = [f"... and {self.count - len(self.lines)} more"] if self.count > len(self.lines) else []
            raise DatasetError("\n".join([*self.lines, *more]))


def count_more(count: int, what: str) -> str:
    """Return the end of a note that shows only the first of several findings. It is empty if there are no others.

    >>> count_more(2, "models")
    ' and 2 more models'
    """
    return f" and {count} more {what}" if count else ""
