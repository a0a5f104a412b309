"""The same key to the same model, for warm caches."""

import math
from hashlib import blake2b

from router.types import RoutingContext

# A model takes at most a quarter more than its share of the requests in flight.
_HEADROOM = 1.25
_UNFED = blake2b(digest_size=8)  # a copy of it costs a third of a new one
_LARGEST_BELOW_ONE = math.nextafter(1.0, 0.0)


def consistent_hash(context: RoutingContext) -> list[str]:
    """Rank by hash of `key`, or of the prompt where none is given; those that are too busy come last, in the same order.

    Too busy is who would have more than ⌈1.25 · (Σ inflight + 1) · w / Σw⌉ requests in flight, sums over the candidates
    (Mirrokni, Thorup and Zadimoghaddam, 2018, Consistent hashing with bounded loads); never all of them at once. The rank
    is the fallback order: where a key's model is lost, every request for the key goes to the same next one.
    """
    ranking = rank_by_hash(context)
    inflight, weights = context.inflight, context.weights
    allowed = _HEADROOM * (sum([inflight.get(name, 0) for name in ranking]) + 1)
    total_weight = sum([weights.get(name, 1.0) for name in ranking])
    # inflight + 1 > ⌈x⌉ is inflight ≥ x for whole numbers; multiplied out, nothing is rounded where weights are whole.
    busy = {name for name, n in inflight.items() if n * total_weight >= allowed * weights.get(name, 1.0)}
    return sorted(ranking, key=busy.__contains__)


def rank_by_hash(context: RoutingContext) -> list[str]:
    """Rank the candidates by weighted rendezvous hashing: by −w / ln u, falling, with u = `hash_to_unit(model, key)`.

    A model is the first for a share w / Σw of the keys. Losing a model moves its keys and no other; a new or a heavier one
    takes keys from the others and moves none between them (Thaler and Ravishankar, 1998, Using name-based mappings to
    increase hit rates; weights: Schindelhauer and Schomaker, 2005, Weighted distributed hash tables).
    """
    key, weights = _frame(_key_of(context)), context.weights
    scores = {name: weights.get(name, 1.0) / math.log(_to_unit(name, key)) for name in context.candidates}
    return sorted(scores, key=scores.__getitem__)


def hash_to_unit(model: str, key: str) -> float:
    """Return a number in (0, 1) that is the same in every process and on every machine.

    ((h >> 11) + ½) / 2⁵³, where h is the 64-bit BLAKE2b of len(model) ‖ model ‖ len(key) ‖ key, both in UTF-8, lengths in
    bytes; all integers of eight bytes, big end first.
    """
    return _to_unit(model, _frame(key.encode("utf-8", "replace")))


def _to_unit(model: str, framed_key: bytes) -> float:
    digest = _UNFED.copy()
    digest.update(_frame(model.encode("utf-8", "replace")) + framed_key)
    hashed = int.from_bytes(digest.digest(), "big")
    # Of the largest hashes, + ½ makes 2⁵³ in floating point: u = 1, and −w / ln u would divide by zero.
    return min(((hashed >> 11) + 0.5) / 2**53, _LARGEST_BELOW_ONE)


def _frame(part: bytes) -> bytes:
    return len(part).to_bytes(8, "big") + part


def _key_of(context: RoutingContext) -> bytes:
    if context.key:
        return context.key.encode("utf-8", "replace")
    # A digest, because a prompt has up to 12 kB and is hashed with every candidate.
    return blake2b(context.prompt.encode("utf-8", "replace"), digest_size=16).digest()
