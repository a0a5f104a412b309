"""Tiny limits, so that small tables take the way of tables that are larger than memory."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from training.data import columns, prompt_codes, repeats


@contextmanager
def limit_memory(*, rows: int = 3, prompt_bytes: int = 600) -> Iterator[None]:
    """Keep at most so many rows, and so many bytes of prompts, in memory."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(columns, "CHUNK_ROWS", rows)
        patch.setattr(prompt_codes, "KEPT_BYTES", prompt_bytes)
        # Else all prompts of a small table would be in one part.
        patch.setattr(repeats, "_PROMPTS_OF_BUCKET", 1)
        yield
