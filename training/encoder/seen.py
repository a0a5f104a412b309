"""Texts in, a compact record of them out, and the other way round: which texts an encoder has seen.

Prompts that an encoder was tuned on are never held out, because it knows their labels.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from router.classify.encoder_record import DistillationRecord, TuningRecord
from training.classifier.folds import split_folds
from training.data.prompts import PromptSet

if TYPE_CHECKING:
    from numpy.typing import NDArray

# A tenth of the prompts is held out. If that is fewer than 200 prompts, more are held out, but at most a fifth. Some
# settings, such as the epoch to stop at, are chosen on these prompts and need a few hundred.
_HELD_OUT_SHARE, _HELD_OUT_MOST, _HELD_OUT_PROMPTS = 0.1, 0.2, 200


def was_seen(texts: Sequence[str], record: TuningRecord | DistillationRecord | None) -> NDArray[np.bool_]:
    """Return whether each text was used to tune an encoder or to distil a draft, shape (len(texts),).

    Scores on such texts are too high.

    Args:
        texts: The texts to look up.
        record: How the encoder was tuned or the draft was distilled. None: no text was used.
    """
    seen = _read_seen(record)
    return np.array([number in seen for number in _fingerprint(texts)], np.bool_)


def record_seen(texts: Sequence[str], *, before: TuningRecord | None = None) -> str:
    """Return a record of texts that `was_seen` reads: their sorted CRC-32 values in base64.

    Args:
        texts: The texts.
        before: An earlier tuning, whose prompts are in the record too.
    """
    return base64.b64encode(np.array(sorted(_read_seen(before) | set(_fingerprint(texts))), "<u4").tobytes()).decode()


def _read_seen(record: TuningRecord | DistillationRecord | None) -> frozenset[int]:
    return frozenset(np.frombuffer(base64.b64decode(record.seen), "<u4").tolist()) if record else frozenset()


def _fingerprint(texts: Sequence[str]) -> list[int]:
    return [zlib.crc32(text.encode("utf-8", "replace")) for text in texts]


def hold_out(prompts: PromptSet, *, seed: int, tuning: TuningRecord | None = None) -> NDArray[np.bool_]:
    """Return whether each prompt is held out: a tenth to a fifth of them, by group, with tasks spread evenly.

    Args:
        prompts: n labelled prompts.
        seed: Seed of the draw.
        tuning: An earlier tuning of the encoder. Prompts that it used are not held out, and at most half of the others are.
    """
    unseen = np.flatnonzero(~was_seen([row.prompt for row in prompts.rows], tuning))
    rows = [prompts.rows[i] for i in unseen.tolist()]
    targets = np.unique([row.task for row in rows], return_inverse=True)[1]
    share = max(_HELD_OUT_SHARE, min(_HELD_OUT_MOST, _HELD_OUT_PROMPTS / len(prompts.rows)))
    share = min(share * len(prompts.rows) / max(len(rows), 1), 1 / 2)
    folds = split_folds(targets, [row.group for row in rows], seed=seed, n=round(1 / share))
    held_out = np.zeros(len(prompts.rows), np.bool_)
    held_out[unseen[folds == 0]] = True
    return held_out
