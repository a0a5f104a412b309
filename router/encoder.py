"""A sentence embedding by ONNX Runtime: the one encoder that training and serving share."""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import numpy as np

from router.draft import PIECES, DraftEncoder
from router.errors import EncoderError, RouterError
from router.text import cut

if TYPE_CHECKING:
    from numpy.typing import NDArray

MODEL_FILE, TOKENIZER_FILE, RECORD_FILE, DRAFT_FILE = "model.onnx", "tokenizer.json", "encoder.json", "draft.safetensors"


_log = logging.getLogger("router")
# Of a long text head and tail are split into pieces by themselves, each up to a blank so many characters a piece inside:
# English has about five to a piece.
_CHARS_PER_PIECE = 6


class Tuning(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an encoder was tuned on, and how.

    Attributes:
        prompts_sha256: Hash of the file of labelled prompts.
        rows: How many of its prompts the weights have seen; the others were held out.
        objective: The loss.
        layers: How many layers the encoder has.
        epochs: How often it saw each prompt.
        seed: Of every random choice.
        seen: The sorted CRC-32s of the prompts it saw, as 32-bit little-endian integers in base64, so that training never
            takes its word for a prompt that it knows the answer of.
    """

    prompts_sha256: str
    rows: int
    objective: Literal["cross-entropy", "contrastive", "both"]
    layers: int
    epochs: int
    seed: int
    seen: str


class Distillation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the draft beside an encoder was distilled from.

    Attributes:
        teacher_sha256: Hash of the manifest of the model folder whose probabilities it learnt.
        texts: How many texts it saw, among them
        made: so many that were put together of parts of the others, or drawn at random and ask for nothing.
        files: Names of the files they came from; of each its sources with the licence of each, as far as it names them.
        epochs: How often it saw each.
        seed: Of every random choice.
        seen: As in `Tuning`, of the texts of the files.
    """

    teacher_sha256: str
    texts: int
    made: int
    files: dict[str, dict[str, str]]
    epochs: int
    seed: int
    seen: str


class EncoderRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What has to be known of an encoder besides its two files; stands beside them as `encoder.json`.

    Attributes:
        name: The sentence-transformers model it was made from.
        weights_sha256: Hash of that model's weights.
        dim: Length of a vector.
        pooling: `mean` over the tokens, or the first one (`cls`).
        normalize: Whether the original scales vectors to length one. The runtime always does.
        prefix: Text put before every prompt.
        max_tokens: Longest input in tokens, special ones included; longer ones keep head and tail.
        special_before: Ids of the special tokens before a text, and
        special_after: behind it.
        precision: `int8` (dynamic, per channel) or `fp32`.
        inputs: Names of the graph's inputs.
        tuning: None where the weights are the original's.
        draft: Of the draft beside it; None where there is none.
    """

    name: str
    weights_sha256: str
    dim: int
    pooling: Literal["mean", "cls"]
    normalize: bool
    prefix: str
    max_tokens: int
    special_before: list[int]
    special_after: list[int]
    precision: Literal["int8", "fp32"]
    inputs: list[str]
    tuning: Tuning | None = None
    draft: Distillation | None = None


class OnnxEncoder:
    """Encodes texts one at a time, on one thread.

    One at a time, because dynamic int8 quantisation takes its scale from the whole batch: the same text in another batch
    gives another vector. ONNX Runtime is imported and the graph opened when the first text is encoded, or by `open`.
    Thread-safe. Pickles by its bytes.

    Args:
        record: The content of `encoder.json`.
        model: The bytes of `model.onnx`.
        tokenizer: The bytes of `tokenizer.json`.
        draft: The arrays of `draft.safetensors`, where there is one.
        verify: Called with this encoder once its graph is open; what it raises, `open` and `encode` raise.

    Attributes:
        draft: The small encoder distilled for the first tier; None where there is none.

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
        self._tokenizer = _open_tokenizer(tokenizer)
        self.draft = None if draft is None else self._make_draft(draft)
        self._verify = verify
        self._session: Any = None
        self._failure: RouterError | None = None
        self._opening = threading.RLock()

    @classmethod
    def load(cls, folder: Path) -> OnnxEncoder:
        """Load a folder that `llm-router-train encoder` wrote.

        Raises:
            EncoderError: If a file is missing or does not fit.
        """
        try:
            record = msgspec.json.decode((folder / RECORD_FILE).read_bytes(), type=EncoderRecord)
            model, tokenizer = (folder / MODEL_FILE).read_bytes(), (folder / TOKENIZER_FILE).read_bytes()
            draft = _read_draft((folder / DRAFT_FILE).read_bytes()) if record.draft else None
        except (OSError, msgspec.MsgspecError) as error:
            raise EncoderError(
                f"{folder} is no encoder folder ({error}); make one with `llm-router-train encoder`"
            ) from error
        encoder = cls(record, model=model, tokenizer=tokenizer, draft=draft)
        encoder.open()
        return encoder

    @property
    def name(self) -> str:
        """The model it was made from."""
        return self.record.name

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return self.record.dim

    @property
    def sha256(self) -> str:
        """Hash over record, graph and tokenizer, not the draft: two encoders of the same hash give the same vectors."""
        digest = hashlib.sha256(msgspec.json.encode(msgspec.structs.replace(self.record, draft=None)))
        for content in self._files:
            digest.update(hashlib.sha256(content).digest())
        return digest.hexdigest()

    def _make_draft(self, arrays: Mapping[str, NDArray[Any]]) -> DraftEncoder:
        draft = DraftEncoder(partial(self.pieces, most=PIECES), arrays)
        known, needed = len(arrays["tokens"]), self._tokenizer.get_vocab_size()
        if known < needed:
            raise EncoderError(f"the draft must know all {needed} pieces of the tokenizer, knows {known}; distil it again")
        return draft

    def open(self) -> None:
        """Open the graph, and verify it, unless that was done.

        Raises:
            EncoderError: If ONNX Runtime is missing or cannot use it; the same again each time.
            RouterError: What `verify` raises.
        """
        with self._opening:
            if self._failure is not None:
                raise self._failure
            if self._session is not None:
                return
            try:
                self._session = _open_session(self._files[0])
                if self._verify is not None:
                    self._verify(self)
            except RouterError as error:
                self._session, self._failure = None, error
                _log.warning("the encoder cannot be used: %s", error)
                raise

    def encode(self, texts: Sequence[str], /) -> NDArray[np.float32]:
        """Return an array of shape (len(texts), dim), float32, rows of length one.

        Raises:
            EncoderError: If the graph cannot be opened, see `open`.
        """
        self.open()
        rows = [self._encode_one(text) for text in texts]
        return np.stack(rows) if rows else np.empty((0, self.dim), np.float32)

    def tokenize(self, text: str) -> list[int]:
        """Return the ids the graph sees: the pieces between special tokens."""
        return self.record.special_before + self.pieces(text) + self.record.special_after

    def pieces(self, text: str, most: int | None = None) -> list[int]:
        """Return the ids of the word pieces; of a long text those of the head and the tail.

        Args:
            text: The text.
            most: How many; None: as many as the graph takes between special tokens.
        """
        text = self.record.prefix + cut(text)
        room = self.record.max_tokens - len(self.record.special_before) - len(self.record.special_after)
        room = room if most is None else min(room, most)
        head, tail = room - room // 2, room // 2
        ending = text.find(" ", head * _CHARS_PER_PIECE)
        beginning = text.rfind(" ", 0, max(len(text) - tail * _CHARS_PER_PIECE, 0))
        if 0 < ending <= beginning:  # what lies between is most of a long text, and mostly not looked at
            first, last = self._split(text[:ending]), self._split(text[beginning:])
            if len(first) >= head and len(last) >= tail:
                return first[:head] + last[len(last) - tail :]
        ids = self._split(text)
        return ids if len(ids) <= room else ids[:head] + ids[len(ids) - tail :]

    def _split(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def encode_pieces(self) -> NDArray[np.float32]:
        """Return the vector of each word piece by itself, shape (pieces, dim), not scaled: the mean over what is seen.

        Raises:
            EncoderError: If the graph cannot be opened, see `open`.
        """
        self.open()
        before, after = self.record.special_before, self.record.special_after
        return np.stack([self._run([*before, i, *after]).mean(axis=0) for i in range(self._tokenizer.get_vocab_size())])

    def _encode_one(self, text: str) -> NDArray[np.float32]:
        hidden = self._run(self.tokenize(text))
        vector = hidden[0] if self.record.pooling == "cls" else hidden.mean(axis=0)
        return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-12), np.float32)

    def _run(self, tokens: Sequence[int]) -> NDArray[np.float32]:
        """Return what the graph says of each token, shape (tokens, dim)."""
        ids = np.array([tokens], np.int64)
        given = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        (hidden,) = self._session.run(None, {name: given[name] for name in self.record.inputs})
        return np.asarray(hidden[0], np.float32)

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


def _read_draft(draft: bytes) -> dict[str, NDArray[Any]]:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        return dict(load(draft))
    except (SafetensorError, ValueError, KeyError) as error:
        raise EncoderError(f"the encoder's {DRAFT_FILE} cannot be read: {error}") from error


def _open_session(model: bytes):  # type: ignore[no-untyped-def]
    try:
        import onnxruntime as ort  # 0.15 s: only when an encoder is really used
    except ImportError as error:
        raise EncoderError(f"ONNX Runtime cannot be imported: {error}; install the package again") from error
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # two threads under contention took 701 ms for 5
    options.log_severity_level = 3
    try:
        return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise EncoderError(f"ONNX Runtime {ort.__version__} refuses the encoder's graph: {error}") from error


def _open_tokenizer(tokenizer: bytes):  # type: ignore[no-untyped-def]
    from tokenizers import Tokenizer

    try:
        opened = Tokenizer.from_buffer(tokenizer)
    except Exception as error:
        raise EncoderError(f"the encoder's tokenizer.json cannot be read: {error}") from error
    opened.no_truncation()  # the file of all-MiniLM-L6-v2 truncates at 128 and pads: lengths are the record's business
    opened.no_padding()
    return opened
