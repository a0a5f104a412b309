"""A name or path in, a sentence-transformers model and facts about it out."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from router.errors import EncoderError


def load_source_model(name_or_path: str, *, purpose: str, **options: Any) -> Any:
    """Load a sentence-transformers model on the CPU.

    Args:
        name_or_path: A name on the Hugging Face hub or a local folder.
        purpose: The task that needs the model, for the error message.
        options: Further arguments of `SentenceTransformer`.

    Raises:
        EncoderError: If sentence-transformers is missing or cannot load the model.
    """
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        raise EncoderError(
            f"{purpose} needs sentence-transformers; pip install 'contextual-llm-router[sentence-transformers]'"
        ) from error
    try:
        return SentenceTransformer(name_or_path, device="cpu", **options)
    except (OSError, ValueError) as error:
        raise EncoderError(f"sentence-transformers cannot load {name_or_path!r}: {error}") from error


def keep_layers(model: Any, layers: int | None, name: str, *, spread: bool = False) -> None:
    """Drop all but some layers of a model, in place.

    Args:
        model: A sentence-transformers model of BERT's form.
        layers: Number of layers to keep. None: all.
        name: Name of the model, for the error message.
        spread: Whether to keep layers at equal distances, with the first and the last. If not, the first ones are kept.

    Raises:
        EncoderError: If the model does not have BERT's form, or does not have that many layers.
    """
    found = encoder_layers(model)
    if layers is None:
        return
    if not 1 <= layers <= len(found):
        raise EncoderError(f"layers must be between 1 and the {len(found)} of {name}, got {layers}")
    last = len(found) - 1
    kept = [round(i * last / max(1, layers - 1)) for i in range(layers)] if spread else range(layers)
    for number in sorted(set(range(len(found))) - set(kept), reverse=True):
        del found[number]
    # The number is saved with the model. Without it, a reload would fill the missing layers with random weights.
    model[0].auto_model.config.num_hidden_layers = layers


def encoder_layers(model: Any) -> Any:
    """Return the list of transformer layers, which can be changed in place.

    Raises:
        EncoderError: If the model does not have BERT's form.
    """
    encoder = getattr(model[0].auto_model, "encoder", None)
    if encoder is None or not hasattr(encoder, "layer"):
        raise EncoderError(
            f"the model must have BERT's form to be tuned, got {type(model[0].auto_model).__name__}; choose another model"
        )
    return encoder.layer


def limit_tokens(model: Any, wanted: int) -> int:
    """Return the wanted length of an input in tokens, or the longest one that a model takes if that is less."""
    return min(wanted, int(model.max_seq_length or wanted))


def find_prefix(model: Any) -> str:
    """Return the text that a model wants before a prompt. Empty if it wants none.

    Some models have one prefix for queries and one for documents. Prompts of a router are queries.
    """
    return str(model.prompts.get(model.default_prompt_name or "", "") or model.prompts.get("query", ""))


def set_prefix(model: Any, prefix: str) -> None:
    """Set the text that a model wants before a prompt, in place. It is saved with the model."""
    model.prompts = {"query": prefix}
    model.default_prompt_name = "query"


def special_tokens(tokenizer: Any) -> tuple[list[int], list[int]]:
    """Return the ids of the special tokens that the tokenizer puts before a text, and those that it puts after it."""
    inner = tokenizer("word", add_special_tokens=False)["input_ids"]
    whole = tokenizer("word", add_special_tokens=True)["input_ids"]
    start = next(i for i in range(len(whole)) if whole[i : i + len(inner)] == inner)
    return list(whole[:start]), list(whole[start + len(inner) :])


def hash_weights(model: Any) -> str:
    """Return the SHA-256 of the file of the weights. If there is no file on disk, return that of the tensors."""
    # No public attribute of the model names the folder that it was loaded from.
    file = Path(str(model[0].auto_model.config._name_or_path)) / "model.safetensors"
    if file.is_file():
        return hashlib.sha256(file.read_bytes()).hexdigest()
    digest = hashlib.sha256()
    for key, tensor in sorted(model.state_dict().items()):
        digest.update(key.encode() + tensor.detach().cpu().numpy().tobytes())
    return digest.hexdigest()
