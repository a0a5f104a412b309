"""An answer is as good as it is similar to a reference answer, by the encoder of a model folder."""

from __future__ import annotations

from dataclasses import dataclass

from router.types import Encoder
from training.measure.item import Grade, Item


@dataclass(frozen=True, slots=True)
class SimilarityGrader:
    """Compares embeddings (Reimers and Gurevych, 2019, Sentence-BERT).

    The score is the cosine of both embeddings, and 0 if that is negative. It says how much two texts are about the same, and
    little about which one is right: a sentence and its opposite are similar. Only the beginning and the end of a long text
    count, as the encoder reads them.

    Attributes:
        encoder: The encoder. Its vectors have length one.
    """

    encoder: Encoder

    def __call__(self, answer: str, item: Item, /) -> Grade:
        """Return the similarity of the answer and the expected text."""
        if not answer.strip():
            return Grade(0.0)
        given, wanted = self.encoder.encode([answer, item.expected])
        return Grade(min(1.0, max(0.0, float(given @ wanted))))
