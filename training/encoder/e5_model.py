"""The two files of multilingual-e5-small and texts in, a sentence-transformers folder with a smaller vocabulary out."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from router.classify.encoder_record import MODEL_FILE, TOKENIZER_FILE
from training.data.prompts import read_prompts
from training.data.table import hash_file
from training.encoder.bert_folder import BertShape, save_bert
from training.encoder.e5_file import TOKENIZER_SHA256, WEIGHTS_FILE, WEIGHTS_SHA256, E5Weights, check_sha256, read_e5
from training.encoder.encoder_model import is_encoder_folder, write_encoder_model
from training.encoder.folder import check_new, new_folder
from training.encoder.vocabulary import choose_pieces, shrink_tokenizer

PREFIX = "query: "
# Names of the parts of a layer in the file and in a BERT of transformers, without weights and biases.
_PARTS = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "aln": "attention.output.LayerNorm",
    "oln": "output.LayerNorm",
}
_SPECIAL = {"bos": "<s>", "cls": "<s>", "eos": "</s>", "sep": "</s>", "pad": "<pad>", "unk": "<unk>"}
_PAD = 1
# A piece of one text only is a rare name or a typing error. Its letters are kept.
_FEWEST_USES = 2


def write_e5_model(weights: Path, tokenizer: Path, out: Path, *, texts: Iterable[str]) -> int:
    """Write the model as a folder of sentence-transformers, with mean pooling, unit vectors and the prefix of its training.

    Args:
        weights: The file `e5-small-q4.bin`.
        tokenizer: The file `tokenizer.json`.
        out: The folder to write. It must not exist.
        texts: Texts. The pieces that at least two of them use are kept.

    Returns:
        Number of pieces that are kept.

    Raises:
        EncoderError: If a file is another one than expected, `out` exists, or sentence-transformers is missing.
    """
    check_new(out)
    check_sha256(weights, WEIGHTS_SHA256)
    check_sha256(tokenizer, TOKENIZER_SHA256)
    content = json.loads(tokenizer.read_bytes())
    kept = choose_pieces(content["model"]["vocab"], _find_used(tokenizer, texts))
    with new_folder(out) as folder:
        _save(read_e5(weights), shrink_tokenizer(content, kept), kept, folder)
    return len(kept)


@contextmanager
def unpacked(name_or_path: str, *, beside: Path, prompts: Path | None) -> Iterator[str]:
    """Yield the name or path of a sentence-transformers model. Of the file of e5, or an encoder folder, one is made.

    The same prompts give the same folder, so that an interrupted tuning finds it again. It is removed at the end.

    Args:
        name_or_path: A name on the Hugging Face hub, a local folder, an encoder folder, or `e5-small-q4.bin` with
            `tokenizer.json` beside it.
        beside: The encoder folder to write.
        prompts: CSV file of prompts whose pieces are kept. None: only the most likely pieces are kept.

    Raises:
        EncoderError: If a file is another one than expected.
    """
    weights = Path(name_or_path)
    if is_encoder_folder(weights):
        folder = beside.with_name(f".{beside.name}-base-{hash_file(weights / MODEL_FILE)[:8]}")
        if not folder.exists():
            write_encoder_model(weights, folder)
        yield str(folder)
        shutil.rmtree(folder)
        return
    if weights.name != WEIGHTS_FILE:
        yield name_or_path
        return
    # Other prompts keep other pieces, so their hash is part of the name.
    folder = beside.with_name(f".{beside.name}-e5-{'' if prompts is None else hash_file(prompts)[:8]}")
    if not folder.exists():
        texts = [] if prompts is None else [row.prompt for row in read_prompts(prompts, tasks=None).rows]
        write_e5_model(weights, weights.with_name(TOKENIZER_FILE), folder, texts=texts)
    yield str(folder)
    # Only now, so that an interruption does not lose it.
    shutil.rmtree(folder)


def _find_used(tokenizer: Path, texts: Iterable[str]) -> set[int]:
    from tokenizers import Tokenizer

    reader = Tokenizer.from_file(str(tokenizer))
    prefix, *others = reader.encode_batch([PREFIX, *texts])
    uses = Counter(piece for encoding in others for piece in set(encoding.ids))
    return {*prefix.ids, *(piece for piece, n in uses.items() if n >= _FEWEST_USES)}


def _save(weights: E5Weights, tokenizer: str, kept: list[int], folder: Path) -> None:
    shape = BertShape(
        pieces=len(kept),
        hidden=weights.hidden,
        layers=weights.layers,
        heads=weights.heads,
        feed_forward=weights.feed_forward,
        positions=weights.positions,
        epsilon=weights.epsilon,
        pad=_PAD,
        inputs=("input_ids", "attention_mask"),
        prefix=PREFIX,
    )
    save_bert(_make_state(weights, kept), tokenizer, folder, shape=shape, special=_SPECIAL)


def _make_state(weights: E5Weights, kept: list[int]) -> dict[str, NDArray[np.float32]]:
    """Return the weights by their names in a BERT of transformers."""
    rows = {"emb.word": "word_embeddings", "emb.pos": "position_embeddings", "emb.type": "token_type_embeddings"}
    state: dict[str, NDArray[np.float32]] = {
        f"embeddings.{name}.weight": weights.tensors[key].reshape(-1, weights.hidden) for key, name in rows.items()
    }
    words = "embeddings.word_embeddings.weight"
    state[words] = state[words][kept]
    for short, long in (("w", "weight"), ("b", "bias")):
        state[f"embeddings.LayerNorm.{long}"] = weights.tensors[f"emb.ln.{short}"]
        for layer in range(weights.layers):
            for key, name in _PARTS.items():
                array = weights.tensors[f"l{layer}.{key}.{short}"]
                inner = weights.feed_forward if key == "fo" else weights.hidden
                is_matrix = short == "w" and not key.endswith("ln")
                state[f"encoder.layer.{layer}.{name}.{long}"] = array.reshape(-1, inner) if is_matrix else array
    return state
