"""Texts in, feature blocks out, computed by the runtime's own functions."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from joblib import Memory, Parallel, delayed
from scipy import sparse

from router.classify.encoder import OnnxEncoder
from router.classify.features import BUCKETS, SURFACE, hashed_ngrams, surface_features
from router.types import Encoder
from training.classifier.known_vectors import KnownVectors, round_vectors

if TYPE_CHECKING:
    from numpy.typing import NDArray


# Turns texts into vectors, in the order of the texts.
Encode = Callable[[Sequence[str], Encoder], Iterable["NDArray[np.float32]"]]
# Turns a few texts into their vectors, at once.
_EncodeFew = Callable[[Sequence[str]], Sequence["NDArray[np.float32]"]]

# Fewer prompts than that do not show where the prompts of a domain lie.
_FEWEST_PROMPTS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureBlocks:
    """The features of n texts.

    Attributes:
        embedding: Vectors of the encoder, shape (n, dim), float32. Each row has length one.
        lexical: Hashed n-grams, shape (n, BUCKETS), sparse float32. Each row has length one.
        surface: Surface features, shape (n, len(SURFACE)), float32, unscaled.
    """

    embedding: NDArray[np.float32]
    lexical: sparse.csr_matrix
    surface: NDArray[np.float32]

    def take(self, rows: NDArray[np.int64]) -> FeatureBlocks:
        """Return the features of the texts at these rows, in this order."""
        return FeatureBlocks(embedding=self.embedding[rows], lexical=self.lexical[rows], surface=self.surface[rows])

    def concat(self, other: FeatureBlocks) -> FeatureBlocks:
        """Return the features of both sets of texts. The other texts come last."""
        return FeatureBlocks(
            embedding=np.concatenate([self.embedding, other.embedding]),
            lexical=sparse.vstack([self.lexical, other.lexical], format="csr"),
            surface=np.concatenate([self.surface, other.surface]),
        )


def move_descriptions(features: FeatureBlocks, described: NDArray[np.bool_], prompts: NDArray[np.float32]) -> FeatureBlocks:
    """Move the vectors of descriptions by one vector, so that their mean is that of prompts.

    A description names things in other words than prompts do. All descriptions differ from prompts in much the same
    direction, which says nothing about the task.

    Args:
        features: Features of n texts.
        described: Whether a text is a description, shape (n,).
        prompts: Embeddings of prompts, shape (prompts, dim). With fewer than 20 nothing is moved.
    """
    if len(prompts) < _FEWEST_PROMPTS or not described.any():
        return features
    embedding = features.embedding.copy()
    embedding[described] += prompts.mean(axis=0) - embedding[described].mean(axis=0)
    return replace(features, embedding=embedding)


def default_cache() -> Path:
    """Return the folder of the embedding cache, and create it if needed. Only the user can read it."""
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "contextual-llm-router"
    # joblib stores the arguments, which are prompts here, beside the results. Other users must not read them.
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    return root


def featurize(
    texts: Sequence[str],
    encoder: OnnxEncoder,
    *,
    encode: Encode | None = None,
    cache: Path | None = None,
    known: KnownVectors | None = None,
    progress: Callable[[Sequence[str]], Iterable[str]] = iter,
) -> FeatureBlocks:
    """Compute the features of texts with the runtime's own functions.

    Each text is encoded by itself, as the router does it. A batch would pad the texts and change the vectors slightly.
    Embeddings are rounded to eight bits, as `KnownVectors` keeps them.

    Args:
        texts: n texts. A text that occurs twice is encoded once.
        encoder: The encoder of the model folder.
        encode: Encodes texts. None: one thread for each processor does.
        cache: Folder that keeps embeddings by encoder and text. None: no cache.
        known: Embeddings of texts that need not be encoded. Those of another encoder are not used. None: none.
        progress: Wraps the texts to encode, to show how many are done.
    """
    return FeatureBlocks(
        embedding=_embed_all(texts, encoder, encode or encode_in_threads, cache=cache, known=known, progress=progress),
        lexical=lexical_matrix(texts),
        surface=_surface_matrix(texts),
    )


def find_known(
    texts: Sequence[str], encoder: OnnxEncoder, known: KnownVectors | None
) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
    """Return which texts need not be encoded, shape (len(texts),), and the embeddings of those, shape (known, dim).

    Args:
        texts: The texts.
        encoder: The encoder.
        known: Embeddings that are kept. None, or those of another encoder: no text is known.
    """
    if known is None or known.encoder_sha256 != encoder.sha256:
        return np.zeros(len(texts), np.bool_), np.empty((0, encoder.dim), np.float32)
    return known.find(texts)


def encode_in_threads(texts: Sequence[str], encoder: Encoder, *, jobs: int = -1) -> Iterable[NDArray[np.float32]]:
    """Return the vector of each text, in the order of the texts, as they get ready.

    Args:
        texts: The texts.
        encoder: The encoder.
        jobs: Number of threads. -1: one for each processor.
    """
    work = (delayed(encoder.encode)([text]) for text in texts)
    # Threads are enough: ONNX Runtime releases the interpreter lock while it computes.
    return (vector for (vector,) in Parallel(n_jobs=jobs, prefer="threads", return_as="generator")(work))


def _embed_all(
    texts: Sequence[str],
    encoder: OnnxEncoder,
    encode: Encode,
    *,
    cache: Path | None,
    known: KnownVectors | None,
    progress: Callable[[Sequence[str]], Iterable[str]],
) -> NDArray[np.float32]:
    """Return the rounded embeddings of texts, shape (len(texts), dim)."""
    embed, identity = Memory(cache, verbose=0).cache(_embed, ignore=["encode"]), encoder.sha256
    found, vectors = find_known(texts, encoder, known)
    embeddings, missing = np.empty((len(texts), encoder.dim), np.float32), ~found
    embeddings[found] = vectors
    others = list(dict.fromkeys(itertools.compress(texts, missing)))
    kept = {text: None for text in others if embed.check_call_in_cache(text, identity, encoder.encode)}
    new = [text for text in others if text not in kept]
    # If the cache refuses what it keeps, because another version wrote it, the text is encoded here.
    given = itertools.chain((encoder.encode for _ in kept), map(_hand_over, encode(new, encoder)))
    pairs = zip(progress([*kept, *new]), given, strict=True)
    rows = {text: embed(text, identity, vector_of) for text, vector_of in pairs}
    if rows:
        embeddings[missing] = round_vectors(np.stack([rows[text] for text in itertools.compress(texts, missing)]))
    return embeddings


def _embed(text: str, identity: str, encode: _EncodeFew) -> NDArray[np.float32]:
    """Encode one text. The cache of joblib uses `text` and `identity` as the key."""
    del identity
    return encode([text])[0]


def _hand_over(vector: NDArray[np.float32]) -> _EncodeFew:
    """Return a function that gives a vector which is already computed. The cache keeps it as if it had been computed now."""
    return lambda _: [vector]


def lexical_matrix(texts: Sequence[str]) -> sparse.csr_matrix:
    """Return the hashed n-grams of n texts, shape (n, BUCKETS). Each row has length one."""
    grams = [hashed_ngrams(text) for text in texts]
    pointers = np.cumsum([0, *(len(buckets) for buckets, _ in grams)])
    columns = np.concatenate([buckets for buckets, _ in grams] or [np.empty(0, np.int64)])
    values = np.concatenate([values for _, values in grams] or [np.empty(0, np.float32)])
    return sparse.csr_matrix((values, columns, pointers), shape=(len(texts), BUCKETS), dtype=np.float32)


def _surface_matrix(texts: Sequence[str]) -> NDArray[np.float32]:
    if not len(texts):
        return np.empty((0, len(SURFACE)), np.float32)
    return np.stack([surface_features(text) for text in texts])
