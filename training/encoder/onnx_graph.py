"""A transformer of PyTorch in, an ONNX graph out, with 8-bit weights if wanted."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from router.classify.encoder_record import EncoderRecord

_OPSET = 17


def write_graph(model: Any, record: EncoderRecord, target: Path, *, scratch: Path) -> None:
    """Export a model, fuse its operators, and quantise its weights if the record asks for `int8`.

    Args:
        model: A sentence-transformers model.
        record: The record of the encoder, with its precision and its inputs.
        target: The file to write.
        scratch: Folder for intermediate files.
    """
    from onnx import TensorProto
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.transformers import optimizer

    exported, fused = scratch / "exported.onnx", scratch / "fused.onnx"
    with _no_warnings():
        _export(model[0].auto_model, record.inputs, exported)
    config = model[0].auto_model.config
    graph = optimizer.optimize_model(
        str(exported),
        model_type="bert",
        num_heads=config.num_attention_heads,
        hidden_size=config.hidden_size,
        opt_level=0,
    )
    graph.save_model_to_file(str(target if record.precision == "fp32" else fused))
    if record.precision == "int8":
        with _no_warnings():
            quantize_dynamic(
                str(fused),
                str(target),
                per_channel=True,
                reduce_range=True,  # 7 bits: with 8, x86 processors without VNNI saturate and give other vectors
                weight_type=QuantType.QInt8,
                extra_options={"DefaultTensorType": TensorProto.FLOAT},  # shape inference knows no fused operators
            )


def count_layers(model: bytes) -> int:
    """Return the number of layers of a BERT that `write_graph` wrote. 0 if the graph is of another kind.

    Args:
        model: The bytes of the graph.
    """
    import onnx

    return len(_find_ends(onnx.load_from_string(model).graph))


def cut_graph(model: bytes, layers: int) -> bytes:
    """Return the graph of a BERT that ends after some of its layers.

    Args:
        model: The bytes of a graph that `write_graph` wrote.
        layers: Number of layers to keep, in [1, `count_layers(model)`].
    """
    import onnx

    proto = onnx.load_from_string(model)
    graph = proto.graph
    end = _find_ends(graph)[layers - 1]
    used, nodes = {end.output[0]}, []
    for node in reversed(graph.node):  # an operator comes after those that it needs
        if used.intersection(node.output):
            used.update(node.input)
            nodes.append(node)
    tensors = [each for each in graph.initializer if each.name in used]
    end.output[0] = graph.output[0].name
    del graph.node[:], graph.initializer[:], graph.value_info[:]
    graph.node.extend(reversed(nodes))
    graph.initializer.extend(tensors)
    return bytes(proto.SerializeToString())


def _find_ends(graph: Any) -> list[Any]:
    """Return the last operator of each layer, which is the second of its two sums."""
    return [node for node in graph.node if node.op_type == "SkipLayerNormalization"][1::2]


@contextmanager
def _no_warnings() -> Iterator[None]:
    """Hide the warnings and logs of the exporter and the quantiser.

    They are guesses at possible problems. The comparison with the original finds the real ones.
    """
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _export(transformer: Any, inputs: Sequence[str], target: Path) -> None:
    """Write the graph of a transformer from its named inputs to its last hidden state."""
    import torch

    class TokenVectors(torch.nn.Module):
        """A transformer with positional tensors in and the last hidden state out. ONNX cannot name a dict or an object."""

        def __init__(self) -> None:
            super().__init__()
            self.transformer = transformer

        def forward(self, *tensors: Any) -> Any:
            return self.transformer(**dict(zip(inputs, tensors, strict=True))).last_hidden_state

    example = tuple(torch.ones(1, 8, dtype=torch.int64) for _ in inputs)
    with torch.no_grad():
        torch.onnx.export(
            TokenVectors().eval(),
            example,
            str(target),
            input_names=list(inputs),
            output_names=["hidden"],
            dynamic_axes={name: {0: "batch", 1: "tokens"} for name in [*inputs, "hidden"]},
            opset_version=_OPSET,
            dynamo=False,  # the fusions know the graph of the TorchScript exporter
        )
