"""Candidates and a key come in, a ranking goes out that is the same for the same key, to keep prompt caches warm."""

import math
from hashlib import blake2b

from router.types import RoutingContext

# A model takes at most this factor of its share of the requests in flight.
_HEADROOM = 1.25
# A copy of this hash costs a third of a new one.
_EMPTY_HASH = blake2b(digest_size=8)
_LARGEST_BELOW_ONE = math.nextafter(1.0, 0.0)


def consistent_hash(context: RoutingContext) -> list[str]:
    """Rank by a hash of the key, or of the prompt if there is no key. Models that are too busy come last, in the same order.

    A model is too busy if it would have more than ⌈1.25 · (Σ inflight + 1) · w / Σw⌉ requests in flight. The sums are over
    the candidates (Mirrokni, Thorup and Zadimoghaddam, 2018, Consistent hashing with bounded loads). That is never true of
    all models at once. The ranking is the fallback order: if the model of a key is lost, all its requests go to the same
    next model.
    """
    ranking = rank_by_hash(context)
    inflight, weights = context.inflight, context.weights
    allowed = _HEADROOM * (sum([inflight.get(name, 0) for name in ranking]) + 1)
    total_weight = sum([weights.get(name, 1.0) for name in ranking])
    # For whole numbers, inflight + 1 > ⌈x⌉ means inflight ≥ x. Multiplied out, whole weights cause no rounding.
    busy = {name for name, n in inflight.items() if n * total_weight >= allowed * weights.get(name, 1.0)}
    # sorted() is stable, so the busy models and the others both keep the order of the hash.
    return sorted(ranking, key=busy.__contains__)


def rank_by_hash(context: RoutingContext) -> list[str]:
    """Rank by weighted rendezvous hashing: by falling −w / ln u, with u = `hash_to_unit(model, key)`.

    A model is first for a share w / Σw of the keys. If a model is lost, only its keys move. A new or a heavier model takes
    keys from the others and moves none between them (Thaler and Ravishankar, 1998, Using name-based mappings to increase
    hit rates; weights: Schindelhauer and Schomaker, 2005, Weighted distributed hash tables).
    """
    key, weights = _frame(_find_key(context)), context.weights
    scores = {name: weights.get(name, 1.0) / math.log(_to_unit(name, key)) for name in context.candidates}
    # ln u is negative, so rising w / ln u is falling −w / ln u.
    return sorted(scores, key=scores.__getitem__)


def hash_to_unit(model: str, key: str) -> float:
    """Return a number in (0, 1) that is the same in every process and on every machine.

    It is ((h >> 11) + ½) / 2⁵³. Here h is the 64-bit BLAKE2b of len(model) ‖ model ‖ len(key) ‖ key. Texts are in UTF-8 and
    lengths are in bytes. All integers have eight bytes and are big-endian.
    """
    return _to_unit(model, _frame(key.encode("utf-8", "replace")))


def _to_unit(model: str, framed_key: bytes) -> float:
    digest = _EMPTY_HASH.copy()
    digest.update(_frame(model.encode("utf-8", "replace")) + framed_key)
    hashed = int.from_bytes(digest.digest(), "big")
    # For the largest hashes, + ½ rounds to 2⁵³. Then u would be 1, and −w / ln u would divide by zero.
    return min(((hashed >> 11) + 0.5) / 2**53, _LARGEST_BELOW_ONE)


def _frame(part: bytes) -> bytes:
    """Return a part with its length in front, so that ("ab", "c") and ("a", "bc") differ."""
    return len(part).to_bytes(8, "big") + part


def _find_key(context: RoutingContext) -> bytes:
    if context.key:
        return context.key.encode("utf-8", "replace")
    # A digest, because a prompt has up to 12 kB and would be hashed again for every candidate.
    return blake2b(context.prompt.encode("utf-8", "replace"), digest_size=16).digest()
