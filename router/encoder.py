"""A sentence embedding by ONNX Runtime: the one encoder that training and serving share."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec
import numpy as np

from router.errors import EncoderError
from router.text import cut

if TYPE_CHECKING:
    from numpy.typing import NDArray

MODEL_FILE, TOKENIZER_FILE, RECORD_FILE = "model.onnx", "tokenizer.json", "encoder.json"


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


class OnnxEncoder:
    """Encodes texts one at a time, on one thread.

    One at a time, because dynamic int8 quantisation takes its scale from the whole batch: the same text in another batch
    gives another vector. Thread-safe. Pickles by its bytes.

    Args:
        record: The content of `encoder.json`.
        model: The bytes of `model.onnx`.
        tokenizer: The bytes of `tokenizer.json`.

    Raises:
        EncoderError: If ONNX Runtime or the tokenizer cannot use those bytes.
    """

    def __init__(self, record: EncoderRecord, *, model: bytes, tokenizer: bytes) -> None:
        self.record = record
        self._files = (model, tokenizer)
        self._session = _open_session(model)
        self._tokenizer = _open_tokenizer(tokenizer)

    @classmethod
    def load(cls, folder: Path) -> OnnxEncoder:
        """Load a folder that `llm-router-train encoder` wrote.

        Raises:
            EncoderError: If a file is missing or does not fit.
        """
        try:
            record = msgspec.json.decode((folder / RECORD_FILE).read_bytes(), type=EncoderRecord)
            model, tokenizer = (folder / MODEL_FILE).read_bytes(), (folder / TOKENIZER_FILE).read_bytes()
        except (OSError, msgspec.MsgspecError) as error:
            raise EncoderError(
                f"{folder} is no encoder folder ({error}); make one with `llm-router-train encoder`"
            ) from error
        return cls(record, model=model, tokenizer=tokenizer)

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
        """Hash over record, graph and tokenizer: two encoders with the same hash give the same vectors."""
        digest = hashlib.sha256(msgspec.json.encode(self.record))
        for content in self._files:
            digest.update(hashlib.sha256(content).digest())
        return digest.hexdigest()

    def encode(self, texts: Sequence[str], /) -> NDArray[np.float32]:
        """Return an array of shape (len(texts), dim), float32, rows of length one."""
        rows = [self._encode_one(text) for text in texts]
        return np.stack(rows) if rows else np.empty((0, self.dim), np.float32)

    def tokenize(self, text: str) -> list[int]:
        """Return the ids the graph sees: special tokens, and of a long text the head and the tail."""
        ids: list[int] = self._tokenizer.encode(self.record.prefix + cut(text), add_special_tokens=False).ids
        room = self.record.max_tokens - len(self.record.special_before) - len(self.record.special_after)
        if len(ids) > room:
            ids = ids[: room - room // 2] + ids[len(ids) - room // 2 :]
        return self.record.special_before + ids + self.record.special_after

    def _encode_one(self, text: str) -> NDArray[np.float32]:
        ids = np.array([self.tokenize(text)], np.int64)
        given = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        (hidden,) = self._session.run(None, {name: given[name] for name in self.record.inputs})
        vector = hidden[0, 0] if self.record.pooling == "cls" else hidden[0].mean(axis=0)
        return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-12), np.float32)

    def __reduce__(self) -> tuple[object, ...]:
        model, tokenizer = self._files
        return _rebuild, (self.record, model, tokenizer)


def _rebuild(record: EncoderRecord, model: bytes, tokenizer: bytes) -> OnnxEncoder:
    return OnnxEncoder(record, model=model, tokenizer=tokenizer)


def _open_session(model: bytes):  # type: ignore[no-untyped-def]
    import onnxruntime as ort  # 0.15 s: only when an encoder is really used

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
