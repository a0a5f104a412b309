"""The latest readings of prompts: one that comes again costs no second look."""

import os
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from hashlib import blake2b

from router.classifier import Reading, TaskOracle
from router.types import TierChoice

# Of fewer prompts threads take longer to start than they save.
_FEWEST_SHARED = 4


class CachedOracle:
    """Reads prompts, and remembers the latest readings. Thread-safe; pickles, empty.

    What was read depends on the turns, the tier and the oracle alone, none of which changes; what is chosen of it, by
    options and live state, is never kept. Turns are kept as hashes (BLAKE2b, 128 bits), not as text.

    Args:
        oracle: Who reads.
        size: How many readings to keep, some 5 kB each; 0: none.
    """

    def __init__(self, oracle: TaskOracle, *, size: int) -> None:
        self.oracle = oracle
        self._size = size
        self._readings: OrderedDict[bytes, Reading] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, turns: Sequence[str], *, tier: TierChoice = "auto") -> Reading:
        """Read the first of the user's turns, newest first, given those before it; see `TaskOracle.read`."""
        if not self._size:
            return self.oracle.read(turns[0], turns[1:], tier=tier)
        key = _digest((*turns, tier))
        with self._lock:
            known = self._readings.get(key)
            if known is not None:
                self._readings.move_to_end(key)
        if known is None:
            known = self.oracle.read(turns[0], turns[1:], tier=tier)
            with self._lock:
                self._readings[key] = known
                if len(self._readings) > self._size:
                    self._readings.popitem(last=False)
        return _copy(known)

    def read_many(self, several: Sequence[Sequence[str]], *, tier: TierChoice = "auto") -> list[Reading]:
        """Read several prompts, each as `read` does, on all processors; the longest first, that none is left at the end."""
        from concurrent.futures import ThreadPoolExecutor

        different = sorted({tuple(turns) for turns in several}, key=lambda turns: -sum(map(len, turns)))
        if len(different) < _FEWEST_SHARED:
            return [self.read(turns, tier=tier) for turns in several]
        with ThreadPoolExecutor(os.cpu_count()) as pool:  # the encoder and numpy let other threads go on meanwhile
            known = dict(zip(different, pool.map(lambda turns: self.read(turns, tier=tier), different), strict=True))
        return [_copy(known[tuple(turns)]) for turns in several]

    def __reduce__(self) -> tuple[object, ...]:
        return _make_empty, (self.oracle, self._size)


def _copy(reading: Reading) -> Reading:
    """Return a reading with probabilities of its own: a decision's are the caller's, who may change them."""
    return replace(reading, prediction=replace(reading.prediction, probabilities=dict(reading.prediction.probabilities)))


def _make_empty(oracle: TaskOracle, size: int) -> CachedOracle:
    return CachedOracle(oracle, size=size)


def _digest(parts: Sequence[str]) -> bytes:
    digest = blake2b(digest_size=16)
    for part in parts:
        content = part.encode()
        digest.update(len(content).to_bytes(8, "little"))
        digest.update(content)
    return digest.digest()
