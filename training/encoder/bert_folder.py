"""The weights of a BERT and its tokenizer in, a sentence-transformers folder out."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from router.errors import EncoderError
from training.encoder.source_model import set_prefix


@dataclass(frozen=True, slots=True, kw_only=True)
class BertShape:
    """The shape of a BERT, and how its vectors become one.

    Attributes:
        pieces: Number of word pieces.
        hidden: Length of a vector.
        layers: Number of layers.
        heads: Number of attention heads.
        feed_forward: Width of the feed-forward layers.
        positions: Longest input in tokens.
        epsilon: Epsilon of the layer norms.
        pad: Id of the padding.
        inputs: Names of the inputs.
        pooling: `mean` over the tokens, or the first token (`cls`).
        normalize: Whether vectors are scaled to length one.
        prefix: Text put before every prompt.
    """

    pieces: int
    hidden: int
    layers: int
    heads: int
    feed_forward: int
    positions: int
    epsilon: float
    pad: int
    inputs: tuple[str, ...]
    pooling: Literal["mean", "cls"] = "mean"
    normalize: bool = True
    prefix: str = ""


def save_bert(
    state: Mapping[str, Any], tokenizer: str, folder: Path, *, shape: BertShape, special: Mapping[str, str]
) -> None:
    """Write a BERT as a folder of sentence-transformers.

    Args:
        state: Arrays by their names in a BERT of transformers, without the pooler.
        tokenizer: Content of `tokenizer.json`.
        folder: The folder to write.
        shape: The shape of the model.
        special: The special tokens: `cls`, `sep`, `pad`, `unk`, and others that transformers knows.

    Raises:
        EncoderError: If sentence-transformers is missing.
    """
    try:
        import torch
        from sentence_transformers import SentenceTransformer
        from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
        from transformers import BertConfig, BertModel, PreTrainedTokenizerFast
    except ImportError as error:
        raise EncoderError(
            "making a model needs sentence-transformers; pip install 'contextual-llm-router[sentence-transformers]'"
        ) from error
    config = BertConfig(
        vocab_size=shape.pieces,
        hidden_size=shape.hidden,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        intermediate_size=shape.feed_forward,
        max_position_embeddings=shape.positions,
        layer_norm_eps=shape.epsilon,
        pad_token_id=shape.pad,
    )
    bert = BertModel(config)
    # The form has another layer, which pooling here does not use. Without weights it would get random ones.
    pooler = {"pooler.dense.weight": np.zeros((shape.hidden,) * 2), "pooler.dense.bias": np.zeros(shape.hidden)}
    weights = {name: np.array(array, np.float32, order="C") for name, array in {**state, **pooler}.items()}
    bert.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "tokenizer.json"
        file.write_text(tokenizer, encoding="utf-8")
        # transformers has no types for it.
        fast: Any = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
            tokenizer_file=str(file),
            **{f"{name}_token": token for name, token in special.items()},
            model_max_length=shape.positions,
            model_input_names=list(shape.inputs),
        )
        bert.save_pretrained(scratch)
        fast.save_pretrained(scratch)
        modules = [Transformer(scratch, max_seq_length=shape.positions), Pooling(shape.hidden, pooling_mode=shape.pooling)]
        model = SentenceTransformer(modules=[*modules, *([Normalize()] if shape.normalize else [])], device="cpu")
        if shape.prefix:
            set_prefix(model, shape.prefix)
        model.save(str(folder))
