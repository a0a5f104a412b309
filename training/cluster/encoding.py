"""Some texts in, their vectors out, in a process of the cluster. It imports little, because each actor waits for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from router.types import Encoder


class EncodingActor:
    """Encodes texts in a process of the cluster, as the router does: one at a time and on one thread.

    Args:
        encoder: The encoder.
    """

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return the vectors of texts, shape (len(texts), dim)."""
        return np.asarray(self._encoder.encode(texts), np.float32)
