"""A row without a usable prompt."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """Stands in the place of a prompt.

    Attributes:
        reason: Why the row has no usable prompt. It has no text of the prompt.
    """

    reason: str
