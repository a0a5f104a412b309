"""A cache in front of the task predictor, so that a repeated prompt is not encoded again."""

import os
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from hashlib import blake2b

from router.classify.predictor import Classification, TaskPredictor
from router.classify.text import ParsedPrompt
from router.types import TierChoice

# Below this number of prompts, starting threads takes longer than they save.
_MIN_PROMPTS_FOR_THREADS = 4


class CachedPredictor:
    """Classify prompts and keep the latest results. Thread-safe. Pickles, with an empty cache.

    A classification depends only on the turns, the tier and the predictor, and none of these changes. The choice of a model
    depends on options and live state as well, so it is never cached. The keys are hashes (BLAKE2b, 128 bits). No text is
    kept.

    Args:
        predictor: Classifies prompts that are not in the cache.
        size: Number of classifications to keep, about 5 kB each. 0 turns the cache off.
    """

    def __init__(self, predictor: TaskPredictor, *, size: int) -> None:
        self.predictor = predictor
        self._size = size
        self._cached: OrderedDict[bytes, Classification] = OrderedDict()
        self._lock = threading.Lock()

    def classify(self, turns: Sequence[str], *, tier: TierChoice = "auto", is_agent: bool = False) -> Classification:
        """Return the classification of a conversation, see `TaskPredictor.classify`.

        Args:
            turns: The user's turns, newest first.
            tier: The tier that answers.
            is_agent: Whether the turns belong to the session of an agent.
        """
        if not self._size:
            return self.predictor.classify(turns[0], turns[1:], tier=tier, is_agent=is_agent)
        key = _hash((*turns, tier, str(is_agent)))
        with self._lock:
            found = self._cached.get(key)
            if found is not None:
                self._cached.move_to_end(key)
        if found is None:
            # Outside the lock: two threads may classify the same prompt, but no thread waits for the encoder of another.
            found = self.predictor.classify(turns[0], turns[1:], tier=tier, is_agent=is_agent)
            with self._lock:
                self._cached[key] = found
                if len(self._cached) > self._size:
                    self._cached.popitem(last=False)
        return _copy(found)

    def classify_many(self, prompts: Sequence[ParsedPrompt], *, tier: TierChoice = "auto") -> list[Classification]:
        """Return the classification of each prompt, as `classify` does, on all processors.

        Equal prompts are classified once.

        Args:
            prompts: The prompts.
            tier: The tier that answers.
        """
        from concurrent.futures import ThreadPoolExecutor

        asked = [(prompt.turns, prompt.is_agent) for prompt in prompts]
        # Longest first, so that no thread starts on a long prompt while the others have nothing left to do.
        unique = sorted(set(asked), key=lambda pair: -sum(map(len, pair[0])))

        def find(pair: tuple[tuple[str, ...], bool]) -> Classification:
            return self.classify(pair[0], tier=tier, is_agent=pair[1])

        if len(unique) < _MIN_PROMPTS_FOR_THREADS:
            return [find(pair) for pair in asked]
        # Threads are enough: ONNX Runtime and numpy release the interpreter lock while they compute.
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            found = dict(zip(unique, pool.map(find, unique), strict=True))
        return [_copy(found[pair]) for pair in asked]

    def __reduce__(self) -> tuple[object, ...]:
        return _make_empty, (self.predictor, self._size)


def _copy(found: Classification) -> Classification:
    """Return a copy with its own probabilities, because a caller may change those of its decision."""
    return replace(found, prediction=replace(found.prediction, probabilities=dict(found.prediction.probabilities)))


def _make_empty(predictor: TaskPredictor, size: int) -> CachedPredictor:
    return CachedPredictor(predictor, size=size)


def _hash(parts: Sequence[str]) -> bytes:
    digest = blake2b(digest_size=16)
    for part in parts:
        content = part.encode()
        # The length goes in too, so that ("ab", "c") and ("a", "bc") differ.
        digest.update(len(content).to_bytes(8, "little"))
        digest.update(content)
    return digest.digest()
