"""The bytes of an encoder's files come in, an open graph, a tokenizer and the arrays of the draft go out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from router.classify.encoder_record import DRAFT_FILE
from router.errors import EncoderError

if TYPE_CHECKING:
    from numpy.typing import NDArray


def open_graph(model: bytes):  # type: ignore[no-untyped-def]  # onnxruntime ships no types
    """Return the ONNX Runtime session of a graph, on one thread.

    Raises:
        EncoderError: If ONNX Runtime is missing or refuses the graph.
    """
    try:
        import onnxruntime as ort  # takes 0.15 s, so it waits until an encoder is used
    except ImportError as error:
        raise EncoderError(f"ONNX Runtime cannot be imported: {error}; install the package again") from error
    options = ort.SessionOptions()
    # With two threads and other work on the cores, a text took 701 ms instead of 5.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime raises many types, none of them documented
        raise EncoderError(f"ONNX Runtime {ort.__version__} refuses the encoder's graph: {error}") from error


def open_tokenizer(tokenizer: bytes):  # type: ignore[no-untyped-def]  # tokenizers ships no types
    """Return the tokenizer of `tokenizer.json`, without truncation and padding.

    Raises:
        EncoderError: If the bytes are no tokenizer.
    """
    from tokenizers import Tokenizer

    try:
        opened = Tokenizer.from_buffer(tokenizer)
    except Exception as error:  # tokenizers raises a bare Exception
        raise EncoderError(f"the encoder's tokenizer.json cannot be read: {error}") from error
    # The file of all-MiniLM-L6-v2 truncates at 128 tokens and pads. Lengths are set by `encoder.json` alone.
    opened.no_truncation()
    opened.no_padding()
    return opened


def read_draft(draft: bytes) -> dict[str, NDArray[Any]]:
    """Return the arrays of `draft.safetensors` by name.

    Raises:
        EncoderError: If the bytes are no arrays.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        return dict(load(draft))
    except (SafetensorError, ValueError, KeyError) as error:
        raise EncoderError(f"the encoder's {DRAFT_FILE} cannot be read: {error}") from error
