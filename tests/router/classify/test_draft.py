import pickle
import string

import numpy as np
import pytest

from router.classify.draft import EDGE, WIDTH, DraftEncoder
from router.errors import EncoderError

PIECES, VECTORS, D, FILTERS = 26, 20, 4, 5


def letters(text: str) -> list[int]:
    return [string.ascii_lowercase.index(letter) for letter in text]


def make_arrays(seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    floats = {"scales": (VECTORS,), "edges": (2, EDGE, D), "kernel": (WIDTH, D, FILTERS), "bias": (FILTERS,)}
    arrays = {name: rng.normal(size=shape).astype(np.float32) for name, shape in floats.items()}
    rows = rng.integers(0, VECTORS, PIECES).astype(np.int32)
    return arrays | {"rows": rows, "tokens": rng.integers(-127, 128, (VECTORS, D)).astype(np.int8)}


ARRAYS = make_arrays()
DRAFT = DraftEncoder(letters, ARRAYS)


def by_hand(ids: list[int]) -> np.ndarray:
    """Return the vector by the definition, one number after the other."""
    n = len(ids)
    vectors = [ARRAYS["tokens"][row] * ARRAYS["scales"][row] for row in ARRAYS["rows"][ids]]
    for i in range(min(n, EDGE)):
        vectors[i] = vectors[i] + ARRAYS["edges"][0, i]
        vectors[n - 1 - i] = vectors[n - 1 - i] + ARRAYS["edges"][1, i]
    outputs = np.zeros((n, FILTERS))
    for i in range(n):
        for k in range(WIDTH):
            if 0 <= i + k - WIDTH // 2 < n:
                outputs[i] += vectors[i + k - WIDTH // 2] @ ARRAYS["kernel"][k]
    outputs = np.maximum(outputs + ARRAYS["bias"], 0)
    return np.concatenate([outputs.mean(axis=0), outputs.max(axis=0)])


@pytest.mark.parametrize("text", ["a", "ab", "abcdefg", "abcdefgh", "abcdefghi", "thequickbrownfoxjumpsoverthelazydog"])
def test_a_text_is_convolved_and_pooled(text: str) -> None:
    np.testing.assert_allclose(DRAFT.encode([text])[0], by_hand(letters(text)), rtol=1e-4, atol=1e-4)


def test_the_order_of_pieces_matters_and_that_of_texts_does_not() -> None:
    assert not np.allclose(DRAFT.encode(["abc"]), DRAFT.encode(["cba"]))
    np.testing.assert_array_equal(DRAFT.encode(["abc", "xyz"]), DRAFT.encode(["xyz", "abc"])[::-1])


def test_a_text_without_pieces_is_all_zeros() -> None:
    assert not DRAFT.encode([""]).any()
    assert DRAFT.encode([]).shape == (0, DRAFT.dim)


def test_a_draft_pickles() -> None:
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(DRAFT)).encode(["abc"]), DRAFT.encode(["abc"]))  # noqa: S301


@pytest.mark.parametrize(
    "change",
    [
        {"tokens": ARRAYS["tokens"].astype(np.float32)},
        {"tokens": ARRAYS["tokens"].ravel()},
        {"scales": ARRAYS["scales"][:-1]},
        {"edges": ARRAYS["edges"][:, :-1]},
        {"kernel": ARRAYS["kernel"][..., :-1]},
        {"bias": ARRAYS["bias"][:0]},
        {"other": ARRAYS["bias"]},
        {"rows": ARRAYS["rows"].astype(np.int64)},
        {"rows": ARRAYS["rows"][:0]},
        {"rows": ARRAYS["rows"] - 1},
        {"rows": ARRAYS["rows"] + VECTORS},
    ],
)
def test_arrays_of_another_type_or_shape_are_refused(change: dict[str, np.ndarray]) -> None:
    with pytest.raises(EncoderError, match="distil"):
        DraftEncoder(letters, ARRAYS | change)


def test_a_missing_array_is_refused() -> None:
    with pytest.raises(EncoderError, match="got"):
        DraftEncoder(letters, {name: array for name, array in ARRAYS.items() if name != "tokens"})
