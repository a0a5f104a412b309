"""The names of an encoder's files, and the schema of `encoder.json`, which describes the encoder besides its weights."""

from __future__ import annotations

from typing import Literal

import msgspec

MODEL_FILE, TOKENIZER_FILE, RECORD_FILE, DRAFT_FILE = "model.onnx", "tokenizer.json", "encoder.json", "draft.safetensors"


class TuningRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The data and the settings that an encoder was tuned with.

    Attributes:
        prompts_sha256: Hash of the file of labelled prompts.
        rows: Number of its prompts that the encoder was tuned on. The others were held out.
        objective: The loss.
        layers: Number of layers of the encoder.
        epochs: Number of passes over the prompts.
        seed: Seed of every random choice.
        seen: Sorted CRC-32s of the prompts in the tuning, as 32-bit little-endian integers in base64. Training uses them to
            never evaluate the encoder on a prompt whose label it knows.
    """

    prompts_sha256: str
    rows: int
    objective: Literal["cross-entropy", "contrastive", "both"]
    layers: int
    epochs: int
    seed: int
    seen: str


class DistillationRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The data and the settings that the draft of an encoder was distilled with.

    Attributes:
        teacher_sha256: Hash of the manifest of the model folder whose probabilities the draft learned.
        texts: Number of texts, with the made ones.
        made: Number of texts that were made: joined from parts of other texts, or drawn at random without a request.
        files: For each file of texts, its sources with the licence of each, as far as the file names them.
        epochs: Number of passes over the texts.
        seed: Seed of every random choice.
        seen: Hashes of the texts of the files, in the form of `TuningRecord.seen`.
    """

    teacher_sha256: str
    texts: int
    made: int
    files: dict[str, dict[str, str]]
    epochs: int
    seed: int
    seen: str


class EncoderRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Everything about an encoder besides its graph and its tokenizer. Stored beside them as `encoder.json`.

    Attributes:
        name: The sentence-transformers model that it was made from.
        weights_sha256: Hash of the weights of that model.
        dim: Length of a vector.
        pooling: `mean` over the tokens, or the first token (`cls`).
        normalize: Whether the original model scales vectors to length one. The runtime always does.
        prefix: Text put before every prompt.
        max_tokens: Longest input in tokens, with the special ones. A longer text keeps its head and its tail.
        special_before: Ids of the special tokens before a text.
        special_after: Ids of the special tokens after a text.
        precision: `int8` (dynamic, per channel) or `fp32`.
        inputs: Names of the inputs of the graph.
        tuning: How it was tuned. None if the weights are those of the original model.
        draft: How the draft was distilled. None if there is no draft.
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
    tuning: TuningRecord | None = None
    draft: DistillationRecord | None = None
