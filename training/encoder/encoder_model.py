"""An encoder folder in, the sentence-transformers model that it was made from out, so that it can be tuned further."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from router.classify.encoder_record import MODEL_FILE, RECORD_FILE, TOKENIZER_FILE, EncoderRecord, TuningRecord
from router.errors import EncoderError
from training.encoder.bert_folder import BertShape, save_bert
from training.encoder.folder import check_new, new_folder

# The weights of a fused operator among its inputs, by their place. Equal tensors share one name in the graph, so the places
# tell more than the names.
_EMBEDDING = {
    2: "embeddings.word_embeddings.weight",
    3: "embeddings.position_embeddings.weight",
    4: "embeddings.token_type_embeddings.weight",
    5: "embeddings.LayerNorm.weight",
    6: "embeddings.LayerNorm.bias",
}
_NORM = {2: "LayerNorm.weight", 3: "LayerNorm.bias", 4: "dense.bias"}
# The products of matrices in a layer, in their order.
_PRODUCTS = ("attention.output.dense.weight", "intermediate.dense.weight", "output.dense.weight")
_SPECIAL = {"cls": ("<s>", "[CLS]"), "sep": ("</s>", "[SEP]"), "pad": ("<pad>", "[PAD]"), "unk": ("<unk>", "[UNK]")}


def is_encoder_folder(folder: Path) -> bool:
    """Return whether a folder is an encoder of the runtime."""
    return (folder / RECORD_FILE).is_file() and (folder / MODEL_FILE).is_file()


def read_tuning(name_or_path: str) -> TuningRecord | None:
    """Return how the encoder of a folder was tuned. None if it was not, or if the name is not that of such a folder."""
    folder = Path(name_or_path)
    return _read_record(folder).tuning if is_encoder_folder(folder) else None


def write_encoder_model(encoder: Path, out: Path) -> None:
    """Write the model of an encoder folder as a folder of sentence-transformers.

    Weights of eight bits become floats. They differ from the original ones by their rounding.

    Args:
        encoder: An encoder folder that `convert_encoder` wrote.
        out: The folder to write. It must not exist.

    Raises:
        EncoderError: If the graph is not that of a BERT, `out` exists, or sentence-transformers is missing.
    """
    check_new(out)
    record = _read_record(encoder)
    tokenizer = (encoder / TOKENIZER_FILE).read_text(encoding="utf-8")
    state, shape = _read_graph(encoder / MODEL_FILE, record, _find_ids(tokenizer))
    tokens = {token["content"] for token in json.loads(tokenizer)["added_tokens"]}
    special = {name: token for name, names in _SPECIAL.items() for token in names if token in tokens}
    with new_folder(out) as folder:
        save_bert(state, tokenizer, folder, shape=shape, special=special)


def _read_record(folder: Path) -> EncoderRecord:
    return msgspec.json.decode((folder / RECORD_FILE).read_bytes(), type=EncoderRecord)


def _find_ids(tokenizer: str) -> dict[str, int]:
    return {token["content"]: token["id"] for token in json.loads(tokenizer)["added_tokens"]}


def _read_graph(file: Path, record: EncoderRecord, ids: dict[str, int]) -> tuple[dict[str, NDArray[np.float32]], BertShape]:
    try:
        import onnx
        from onnx import numpy_helper
    except ImportError as error:
        raise EncoderError(
            "reading a graph needs onnx; pip install 'contextual-llm-router[sentence-transformers]'"
        ) from error
    graph = onnx.load(str(file)).graph
    tensors = _Tensors({each.name: numpy_helper.to_array(each) for each in graph.initializer})
    embedding, attention = _find(graph, "EmbedLayerNormalization"), _find(graph, "Attention")
    norms, gelus = _find(graph, "SkipLayerNormalization"), _find(graph, "BiasGelu")
    products = [node for node in _find(graph, "MatMul", "MatMulInteger") if tensors.has(node.input[1])]
    layers = len(attention)
    if (len(embedding), len(norms), len(gelus), len(products)) != (1, 2 * layers, layers, len(_PRODUCTS) * layers):
        raise EncoderError(f"{file} must hold a BERT as the encoder command writes it; tune the original model instead")
    state = {name: tensors.read(embedding[0].input[place]) for place, name in _EMBEDDING.items()}
    hidden = state[_EMBEDDING[2]].shape[1]
    for layer in range(layers):
        at = f"encoder.layer.{layer}."
        weights, bias = (tensors.read(attention[layer].input[place]) for place in (1, 2))
        for i, part in enumerate(("query", "key", "value")):
            columns = slice(i * hidden, (i + 1) * hidden)
            state[f"{at}attention.self.{part}.weight"] = weights[:, columns].T
            state[f"{at}attention.self.{part}.bias"] = bias[columns]
        state[f"{at}intermediate.dense.bias"] = tensors.read(gelus[layer].input[1])
        for norm, block in zip(norms[2 * layer :], ("attention.output", "output"), strict=False):
            state |= {f"{at}{block}.{name}": tensors.read(norm.input[place]) for place, name in _NORM.items()}
        for product, name in zip(products[len(_PRODUCTS) * layer :], _PRODUCTS, strict=False):
            state[at + name] = tensors.read(product.input[1]).T
    shape = BertShape(
        pieces=len(state[_EMBEDDING[2]]),
        hidden=hidden,
        layers=layers,
        heads=_attribute(attention[0], "num_heads"),
        feed_forward=len(state["encoder.layer.0.intermediate.dense.bias"]),
        positions=len(state[_EMBEDDING[3]]),
        epsilon=_attribute(norms[0], "epsilon"),
        pad=next((ids[token] for token in _SPECIAL["pad"] if token in ids), 0),
        inputs=tuple(record.inputs),
        pooling=record.pooling,
        normalize=record.normalize,
        prefix=record.prefix,
    )
    return state, shape


def _find(graph: Any, *kinds: str) -> list[Any]:
    """Return the operators of some kinds in order, quantised or not."""
    return [node for node in graph.node if node.op_type in {name for kind in kinds for name in (kind, f"Q{kind}")}]


class _Tensors:
    """The tensors of a graph by name, as floats."""

    def __init__(self, tensors: dict[str, NDArray[Any]]) -> None:
        self._tensors = tensors

    def has(self, name: str) -> bool:
        """Return whether the graph holds a tensor."""
        return name in self._tensors

    def read(self, name: str) -> NDArray[np.float32]:
        """Return a tensor. One of eight bits is (q − zero point) · scale."""
        if name in self._tensors and not name.endswith("_quantized"):
            return np.asarray(self._tensors[name], np.float32)
        base = name.removesuffix("_quantized")
        quantized, scale, zero = (self._tensors[f"{base}_{part}"] for part in ("quantized", "scale", "zero_point"))
        return np.asarray((quantized.astype(np.float32) - zero.astype(np.float32)) * scale, np.float32)


def _attribute(node: Any, name: str) -> Any:
    from onnx import helper

    return next(helper.get_attribute_value(each) for each in node.attribute if each.name == name)
