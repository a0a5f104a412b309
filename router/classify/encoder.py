"""Texts come in, sentence embeddings from ONNX Runtime go out. Training and runtime share this encoder."""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from router.classify.draft import PIECES, DraftEncoder
from router.classify.encoder_files import open_graph, open_tokenizer, read_draft
from router.classify.encoder_record import DRAFT_FILE, MODEL_FILE, RECORD_FILE, TOKENIZER_FILE, EncoderRecord
from router.classify.text import cut
from router.errors import EncoderError, RouterError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_log = logging.getLogger("contextual_llm_router")

# English has about five characters per word piece. Six, so that head and tail of a long text hold enough pieces.
_CHARS_PER_PIECE = 6


class OnnxEncoder:
    """Encode texts one at a time, on one thread.

    Dynamic int8 quantisation takes its scale from the whole batch, so the same text gives another vector in another batch.
    Therefore there are no batches. ONNX Runtime is imported and the graph is opened by the first text, or by `open`.
    Thread-safe. Pickles as the bytes of its files.

    Args:
        record: The content of `encoder.json`.
        model: The bytes of `model.onnx`.
        tokenizer: The bytes of `tokenizer.json`.
        draft: The arrays of `draft.safetensors`. None if there is no draft.
        verify: Called with this encoder once its graph is open. `open` and `encode` raise the errors that it raises.

    Attributes:
        record: The content of `encoder.json`.
        draft: The small encoder distilled for the first tier. None if there is none.

    Raises:
        EncoderError: If the tokenizer cannot be read or the draft does not fit.
    """

    def __init__(
        self,
        record: EncoderRecord,
        *,
        model: bytes,
        tokenizer: bytes,
        draft: Mapping[str, NDArray[Any]] | None = None,
        verify: Callable[[OnnxEncoder], None] | None = None,
    ) -> None:
        self.record = record
        self._files = (model, tokenizer)
        self._tokenizer = open_tokenizer(tokenizer)
        self.draft = None if draft is None else self._make_draft(draft)
        self._verify = verify
        self._session: Any = None
        self._failure: RouterError | None = None
        # Reentrant, because `verify` encodes texts while `open` holds it.
        self._opening = threading.RLock()

    @classmethod
    def load(cls, folder: Path) -> OnnxEncoder:
        """Load a folder that `llm-router-train encoder` wrote, and open its graph.

        Raises:
            EncoderError: If a file is missing or does not fit.
        """
        try:
            record = msgspec.json.decode((folder / RECORD_FILE).read_bytes(), type=EncoderRecord)
            model, tokenizer = (folder / MODEL_FILE).read_bytes(), (folder / TOKENIZER_FILE).read_bytes()
            draft = read_draft((folder / DRAFT_FILE).read_bytes()) if record.draft else None
        except (OSError, msgspec.MsgspecError) as error:
            raise EncoderError(
                f"{folder} is not an encoder folder: {error}; make one with `llm-router-train encoder`"
            ) from error
        encoder = cls(record, model=model, tokenizer=tokenizer, draft=draft)
        encoder.open()
        return encoder

    @property
    def name(self) -> str:
        """The model that it was made from."""
        return self.record.name

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return self.record.dim

    @property
    def vocabulary_size(self) -> int:
        """Number of word pieces of the tokenizer."""
        return int(self._tokenizer.get_vocab_size())

    @property
    def sha256(self) -> str:
        """Hash over record, graph and tokenizer, without the draft. Encoders with the same hash give the same vectors."""
        digest = hashlib.sha256(msgspec.json.encode(msgspec.structs.replace(self.record, draft=None)))
        for content in self._files:
            digest.update(hashlib.sha256(content).digest())
        return digest.hexdigest()

    def open(self) -> None:
        """Open and verify the graph, if that is not done yet.

        Raises:
            EncoderError: If ONNX Runtime is missing or refuses the graph. Every later call raises the same error.
            RouterError: If `verify` raises it.
        """
        with self._opening:
            if self._failure is not None:
                raise self._failure
            if self._session is not None:
                return
            try:
                self._session = open_graph(self._files[0])
                if self._verify is not None:
                    self._verify(self)
            except RouterError as error:
                self._session, self._failure = None, error
                _log.warning("the encoder cannot be used: %s", error)
                raise

    def encode(self, texts: Sequence[str], /) -> NDArray[np.float32]:
        """Return an array of shape (len(texts), dim), float32, with rows of length one.

        Raises:
            EncoderError: If the graph cannot be opened, see `open`.
        """
        self.open()
        rows = [self._encode_one(text) for text in texts]
        return np.stack(rows) if rows else np.empty((0, self.dim), np.float32)

    def tokenize(self, text: str) -> list[int]:
        """Return the ids that the graph takes: the word pieces between the special tokens."""
        return self.record.special_before + self.pieces(text) + self.record.special_after

    def pieces(self, text: str, most: int | None = None) -> list[int]:
        """Return the ids of the word pieces. A long text gives those of its head and its tail.

        Args:
            text: The text.
            most: Largest number of ids. None: as many as the graph takes between the special tokens.
        """
        text = self.record.prefix + cut(text)
        room = self.record.max_tokens - len(self.record.special_before) - len(self.record.special_after)
        room = room if most is None else min(room, most)
        head, tail = room - room // 2, room // 2
        # Only the two ends of a long text are split into pieces, each up to a blank, because most of the rest is dropped.
        head_end = text.find(" ", head * _CHARS_PER_PIECE)
        tail_start = text.rfind(" ", 0, max(len(text) - tail * _CHARS_PER_PIECE, 0))
        if 0 < head_end <= tail_start:
            first, last = self._split(text[:head_end]), self._split(text[tail_start:])
            if len(first) >= head and len(last) >= tail:
                return first[:head] + last[len(last) - tail :]
        ids = self._split(text)
        return ids if len(ids) <= room else ids[:head] + ids[len(ids) - tail :]

    def encode_pieces(self, ids: Sequence[int]) -> NDArray[np.float32]:
        """Return the vector of each word piece on its own, shape (len(ids), dim): the mean over its tokens, not scaled.

        Args:
            ids: The word pieces. At least one.

        Raises:
            EncoderError: If the graph cannot be opened, see `open`.
        """
        self.open()
        before, after = self.record.special_before, self.record.special_after
        return np.stack([self._run([*before, i, *after]).mean(axis=0) for i in ids])

    def _make_draft(self, arrays: Mapping[str, NDArray[Any]]) -> DraftEncoder:
        draft = DraftEncoder(partial(self.pieces, most=PIECES), arrays)
        known, needed = len(arrays["rows"]), self.vocabulary_size
        if known < needed:
            raise EncoderError(
                f"the draft must have all {needed} pieces of the tokenizer, got {known}; distil it again with "
                "`llm-router-train distil`"
            )
        return draft

    def _split(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def _encode_one(self, text: str) -> NDArray[np.float32]:
        outputs = self._run(self.tokenize(text))
        vector = outputs[0] if self.record.pooling == "cls" else outputs.mean(axis=0)
        return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-12), np.float32)

    def _run(self, tokens: Sequence[int]) -> NDArray[np.float32]:
        """Return the output of the graph for each token, shape (tokens, dim)."""
        ids = np.array([tokens], np.int64)
        inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        (outputs,) = self._session.run(None, {name: inputs[name] for name in self.record.inputs})
        return np.asarray(outputs[0], np.float32)

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (self.record, *self._files, self.draft.arrays if self.draft else None, self._verify)


def _rebuild(
    record: EncoderRecord,
    model: bytes,
    tokenizer: bytes,
    draft: Mapping[str, NDArray[Any]] | None,
    verify: Callable[[OnnxEncoder], None] | None,
) -> OnnxEncoder:
    return OnnxEncoder(record, model=model, tokenizer=tokenizer, draft=draft, verify=verify)
