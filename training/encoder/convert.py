"""A sentence-transformers model in, an encoder folder of the runtime out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec

from router.classify.encoder import OnnxEncoder
from router.classify.encoder_record import MODEL_FILE, TOKENIZER_FILE, EncoderRecord, TuningRecord
from router.errors import EncoderError
from training.encoder.folder import check_new, new_folder, write_record
from training.encoder.onnx_graph import write_graph
from training.encoder.parity import compare_vectors
from training.encoder.source_model import find_prefix, hash_weights, limit_tokens, load_source_model, special_tokens

Precision = Literal["int8", "fp32"]

# Lowest mean cosine to the original at which the converted encoder counts as the same model. MiniLM has 1.0000 with fp32,
# 0.991 with int8 per channel, and 0.956 with int8 per tensor.
_PARITY = {"fp32": 0.999, "int8": 0.98}


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversion:
    """The result of a conversion.

    Attributes:
        record: The content of `encoder.json`.
        mean_cosine: Mean cosine of the converted encoder's vectors to the original's, over `n` prompts.
        min_cosine: Lowest of these cosines.
        n: Number of prompts in the comparison.
        size_bytes: Size of the graph.
    """

    record: EncoderRecord
    mean_cosine: float
    min_cosine: float
    n: int
    size_bytes: int


def convert_encoder(
    name_or_path: str,
    out: Path,
    *,
    prompts: Sequence[str],
    name: str | None = None,
    precision: Precision = "int8",
    max_tokens: int = 128,
    tuning: TuningRecord | None = None,
) -> Conversion:
    """Write `model.onnx`, `tokenizer.json` and `encoder.json` to a new folder, and compare the result with the original.

    Args:
        name_or_path: A name on the Hugging Face hub or a local folder.
        out: The folder to write. It must not exist.
        prompts: Texts for the comparison with the original. 200 are enough.
        name: Name of the encoder in the record. None: `name_or_path`.
        precision: `int8` is a quarter of the size of `fp32` and about 1.5 times as fast.
        max_tokens: Longest input in tokens. If the original takes less, its limit applies.
        tuning: How the model was tuned. None: it was not.

    Raises:
        EncoderError: If `out` exists, the runtime cannot represent the model, or the result differs from the original.
    """
    check_new(out)
    # Eager attention is exported as plain matrix products, which the fusions look for.
    original = load_source_model(
        name_or_path, purpose="converting an encoder", model_kwargs={"attn_implementation": "eager"}
    ).eval()
    record = _describe(original, name=name or name_or_path, precision=precision, max_tokens=max_tokens)
    record = msgspec.structs.replace(record, tuning=tuning)
    with new_folder(out) as folder:
        write_graph(original, record, folder / MODEL_FILE, scratch=folder.parent)
        (folder / TOKENIZER_FILE).write_text(original.tokenizer.backend_tokenizer.to_str(), encoding="utf-8")
        write_record(folder, record)
        cosines = compare_vectors(original, OnnxEncoder.load(folder), prompts)
        if cosines.mean() < _PARITY[precision]:
            raise EncoderError(
                f"the converted {name_or_path} must have a mean cosine to the original of at least {_PARITY[precision]}, "
                f"got {cosines.mean():.4f}; try precision fp32, or choose another model"
            )
    return Conversion(
        record=record,
        mean_cosine=float(cosines.mean()),
        min_cosine=float(cosines.min()),
        n=len(cosines),
        size_bytes=(out / MODEL_FILE).stat().st_size,
    )


def _describe(model: Any, *, name: str, precision: Precision, max_tokens: int) -> EncoderRecord:
    """Return the record of a model. Raise an EncoderError if the runtime cannot represent it."""
    kinds = [type(module).__name__ for module in model]
    if kinds not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
        raise EncoderError(
            f"{name} must be Transformer + Pooling (+ Normalize), got {' + '.join(kinds)}; choose another model"
        )
    pooling = str(model[1].pooling_mode)
    if pooling not in ("mean", "cls"):
        raise EncoderError(f"{name} must pool by mean or cls, got {pooling}; choose another model")
    if not getattr(model.tokenizer, "is_fast", False):
        raise EncoderError(f"{name} must have a fast tokenizer (tokenizer.json), got a slow one; choose another model")
    before, after = special_tokens(model.tokenizer)
    inputs = ("input_ids", "attention_mask", "token_type_ids")
    return EncoderRecord(
        name=name,
        weights_sha256=hash_weights(model),
        dim=int(model.get_embedding_dimension()),
        pooling="mean" if pooling == "mean" else "cls",
        normalize=len(kinds) == 3,  # noqa: PLR2004 - the longer of the two forms above
        prefix=find_prefix(model),
        max_tokens=limit_tokens(model, max_tokens),
        special_before=before,
        special_after=after,
        precision=precision,
        inputs=[each for each in inputs if each in model.tokenizer.model_input_names],
    )
