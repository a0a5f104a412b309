"""Any sentence-transformers model, turned into the runtime's ONNX form and checked against the original."""

from __future__ import annotations

import hashlib
import logging
import random
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import numpy as np
from safetensors.numpy import save

from router.encoder import (
    DRAFT_FILE,
    MODEL_FILE,
    RECORD_FILE,
    TOKENIZER_FILE,
    Distillation,
    EncoderRecord,
    OnnxEncoder,
    Tuning,
)
from router.errors import EncoderError
from training.datasets import read_prompts

if TYPE_CHECKING:
    from numpy.typing import NDArray

Precision = Literal["int8", "fp32"]

# Mean cosine to the original below which the runtime's form is another model. MiniLM: fp32 1.0000, int8 per channel 0.991,
# per tensor 0.956.
_PARITY = {"fp32": 0.999, "int8": 0.98}
_OPSET = 17
_MIN_CHARS = 20
PARITY_PROMPTS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversion:
    """What came out of a conversion.

    Attributes:
        record: The content of `encoder.json`.
        mean_cosine: Mean cosine of the runtime's vectors to the original's, over `n` prompts, and
        min_cosine: the least.
        n: How many prompts were compared.
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
    tuning: Tuning | None = None,
) -> Conversion:
    """Write `model.onnx`, `tokenizer.json` and `encoder.json` to a new folder.

    Args:
        name_or_path: A hub name or a local folder.
        out: The folder to write; must not exist yet.
        prompts: Texts on which the original and the result are compared; 200 are plenty.
        name: What to call it in the record; `name_or_path` where None.
        precision: `int8` is a quarter of the size and about 1.5 times as fast.
        max_tokens: Longest input; lowered to what the model was made for.
        tuning: What it was tuned on; None: nothing.

    Raises:
        EncoderError: If the model is of a kind the runtime cannot represent, or the result differs from the original.
    """
    if out.exists():
        raise EncoderError(f"{out} exists already; name a new folder or remove it")
    original = _load(name_or_path)
    record = _describe(original, name=name or name_or_path, precision=precision, max_tokens=max_tokens)
    record = msgspec.structs.replace(record, tuning=tuning)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as scratch:
        folder = Path(scratch) / "encoder"
        folder.mkdir()
        _write_graph(original, record, folder / MODEL_FILE, scratch=Path(scratch))
        (folder / TOKENIZER_FILE).write_text(original.tokenizer.backend_tokenizer.to_str(), encoding="utf-8")
        (folder / RECORD_FILE).write_bytes(msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n")
        cosines = _compare(original, OnnxEncoder.load(folder), prompts)
        if cosines.mean() < _PARITY[precision]:
            raise EncoderError(
                f"{name_or_path} comes out different: mean cosine to the original must be at least {_PARITY[precision]}, "
                f"was {cosines.mean():.4f}; try precision fp32, or another model"
            )
        folder.rename(out)
    return Conversion(
        record=record,
        mean_cosine=float(cosines.mean()),
        min_cosine=float(cosines.min()),
        n=len(cosines),
        size_bytes=(out / MODEL_FILE).stat().st_size,
    )


def write_draft(source: Path, out: Path, arrays: Mapping[str, NDArray[Any]], draft: Distillation) -> None:
    """Write a new encoder folder: another one's, with a draft beside it.

    Raises:
        EncoderError: If what was written does not load.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as scratch:
        folder = Path(scratch) / "encoder"
        folder.mkdir()
        for name in (MODEL_FILE, TOKENIZER_FILE):
            shutil.copyfile(source / name, folder / name)
        record = msgspec.structs.replace(OnnxEncoder.load(source).record, draft=draft)
        (folder / RECORD_FILE).write_bytes(msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n")
        (folder / DRAFT_FILE).write_bytes(save(dict(arrays)))
        OnnxEncoder.load(folder)
        folder.rename(out)


def parity_prompts(path: Path | None, n: int) -> list[str]:
    """Return n texts to compare on: of a CSV of prompts, else paragraphs of Python's own help, prose and code."""
    if path is not None:
        texts = [row.prompt for row in read_prompts(path, tasks=None).rows]
    else:
        from pydoc_data.topics import topics

        texts = [part for topic in sorted(topics) for part in topics[topic].split("\n\n") if len(part) > _MIN_CHARS]
    return random.Random(0).sample(texts, min(n, len(texts)))  # noqa: S311 - a sample, not a secret


def _load(name_or_path: str) -> Any:
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        raise EncoderError(
            "converting an encoder needs sentence-transformers; pip install 'contextual-llm-router[sentence-transformers]'"
        ) from error
    try:
        return SentenceTransformer(name_or_path, device="cpu", model_kwargs={"attn_implementation": "eager"}).eval()
    except (OSError, ValueError) as error:
        raise EncoderError(f"sentence-transformers cannot load {name_or_path!r}: {error}") from error


def _describe(model: Any, *, name: str, precision: Precision, max_tokens: int) -> EncoderRecord:
    """Read off what the runtime has to know, or refuse what it cannot do."""
    kinds = [type(module).__name__ for module in model]
    if kinds not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
        raise EncoderError(f"the runtime represents Transformer + Pooling (+ Normalize), {name} is {' + '.join(kinds)}")
    pooling = str(model[1].pooling_mode)
    if pooling not in ("mean", "cls"):
        raise EncoderError(f"the runtime pools by mean or cls, {name} by {pooling}; choose another model")
    if not getattr(model.tokenizer, "is_fast", False):
        raise EncoderError(f"{name} has no fast tokenizer (tokenizer.json); choose another model")
    before, after = special_tokens(model.tokenizer)
    prompt = model.prompts.get(model.default_prompt_name or "", "") or model.prompts.get("query", "")
    return EncoderRecord(
        name=name,
        weights_sha256=_hash_weights(model),
        dim=int(model.get_embedding_dimension()),
        pooling="mean" if pooling == "mean" else "cls",
        normalize=len(kinds) == 3,  # noqa: PLR2004 - the longer of the two forms above
        prefix=prompt,
        max_tokens=min(max_tokens, int(model.max_seq_length or max_tokens)),
        special_before=before,
        special_after=after,
        precision=precision,
        inputs=[
            name for name in ("input_ids", "attention_mask", "token_type_ids") if name in model.tokenizer.model_input_names
        ],
    )


def special_tokens(tokenizer: Any) -> tuple[list[int], list[int]]:
    """Split what the tokenizer puts around a text into before and behind."""
    inner = tokenizer("word", add_special_tokens=False)["input_ids"]
    whole = tokenizer("word", add_special_tokens=True)["input_ids"]
    start = next(i for i in range(len(whole)) if whole[i : i + len(inner)] == inner)
    return list(whole[:start]), list(whole[start + len(inner) :])


def _hash_weights(model: Any) -> str:
    """Hash the file the weights came from where there is one on disk, else the tensors themselves."""
    file = Path(str(model[0].auto_model.config._name_or_path)) / "model.safetensors"
    if file.is_file():
        return hashlib.sha256(file.read_bytes()).hexdigest()
    digest = hashlib.sha256()
    for key, tensor in sorted(model.state_dict().items()):
        digest.update(key.encode() + tensor.detach().cpu().numpy().tobytes())
    return digest.hexdigest()


def _write_graph(model: Any, record: EncoderRecord, target: Path, *, scratch: Path) -> None:
    """Export, fuse, quantise."""
    from onnx import TensorProto
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.transformers import optimizer

    exported, fused = scratch / "exported.onnx", scratch / "fused.onnx"
    with _hushed():
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
        with _hushed():
            quantize_dynamic(
                str(fused),
                str(target),
                per_channel=True,
                reduce_range=True,  # 7 bits: with 8, x86 without VNNI saturates and gives other vectors
                weight_type=QuantType.QInt8,
                extra_options={"DefaultTensorType": TensorProto.FLOAT},  # shape inference knows no fused operators
            )


@contextmanager
def _hushed() -> Iterator[None]:
    """Keep the exporter's and the quantiser's guesses at what might be wrong from the user: parity tells what is."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _export(transformer: Any, inputs: Sequence[str], target: Path) -> None:
    import torch

    class TokenVectors(torch.nn.Module):
        """Positional tensors in, the last hidden state out: what ONNX has names for."""

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


def _compare(original: Any, encoder: OnnxEncoder, prompts: Sequence[str]) -> NDArray[np.float64]:
    """Return the cosine of each prompt's two vectors, both from the same token ids."""
    import torch

    cosines = []
    for text in prompts:
        ids = torch.tensor([encoder.tokenize(text)])
        features = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        if "token_type_ids" in encoder.record.inputs:
            features["token_type_ids"] = torch.zeros_like(ids)
        with torch.no_grad():
            vector = original(features)["sentence_embedding"][0].numpy()
        cosines.append(float(vector @ encoder.encode([text])[0] / np.linalg.norm(vector)))
    return np.array(cosines)
