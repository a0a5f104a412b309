"""A small model in the form of multilingual-e5-small's two files, for tests."""

import hashlib
import struct
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

HIDDEN, LAYERS, HEADS, FEED_FORWARD, POSITIONS = 32, 2, 2, 64, 40
WORDS = ("▁red", "▁blue", "▁cat", "▁dog", "▁here", "▁кот", "▁猫", "▁qu", "ery", ":")
LETTERS = tuple("▁abcdefghijklmnopqrstuvwxyzкот猫")
PIECES = ("<s>", "<pad>", "</s>", "<unk>", *WORDS, *LETTERS, "▁rarely", "▁redcat")


def make_tokenizer() -> Tokenizer:
    vocabulary = [(piece, 0.0 if n < 4 else -float(n)) for n, piece in enumerate(PIECES)]
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=3))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)])
    tokenizer.add_special_tokens(["<s>", "<pad>", "</s>", "<unk>"])
    return tokenizer


def make_tensors() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    # The real file has a few more rows of word vectors than pieces.
    shapes = {"emb.word": (len(PIECES) + 3, HIDDEN), "emb.pos": (POSITIONS, HIDDEN), "emb.type": (2, HIDDEN)}
    shapes |= {"emb.ln.w": (HIDDEN,), "emb.ln.b": (HIDDEN,)}
    for layer in range(LAYERS):
        sizes = {"q": HIDDEN, "k": HIDDEN, "v": HIDDEN, "ao": HIDDEN, "fi": FEED_FORWARD, "fo": HIDDEN}
        for part, size in sizes.items():
            shapes[f"l{layer}.{part}.w"] = (size, FEED_FORWARD if part == "fo" else HIDDEN)
            shapes[f"l{layer}.{part}.b"] = (size,)
        shapes |= {f"l{layer}.{norm}.{kind}": (HIDDEN,) for norm in ("aln", "oln") for kind in "wb"}
    return {name: rng.normal(0, 0.3, shape).astype(np.float32) for name, shape in shapes.items()}


def quantise(values: np.ndarray) -> tuple[bytes, np.ndarray]:
    """Return blocks of 32 weights in 4 bits, and the weights that they stand for."""
    blocks = values.reshape(-1, 32)
    scales = (np.abs(blocks).max(axis=1) / 7).astype(np.float16)
    levels = np.clip(np.rint(blocks / scales.astype(np.float32)[:, None]), -8, 7) + 8
    packed = levels[:, :16].astype(np.uint8) | levels[:, 16:].astype(np.uint8) << 4
    content = b"".join(scale.tobytes() + row.tobytes() for scale, row in zip(scales, packed, strict=True))
    return content, ((levels - 8) * scales.astype(np.float32)[:, None]).astype(np.float32).ravel()


def write_files(folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, np.ndarray]:
    """Write `e5-small-q4.bin` and `tokenizer.json`, let their hashes pass, and return the weights that they hold."""
    numbers = (HIDDEN, LAYERS, HEADS, FEED_FORWARD, len(PIECES) + 3, POSITIONS, 2)
    head = b"E5S1" + struct.pack("<I7ifi", 1, *numbers, 1e-12, 32)
    blob = "".join(PIECES).encode()
    offsets = np.cumsum([0, *(len(piece.encode()) for piece in PIECES)]).astype("<u4")
    head += struct.pack("<5iQ", len(PIECES), 0, 2, 1, 3, len(blob))
    head += offsets.tobytes() + np.zeros(len(PIECES), "<f4").tobytes() + blob
    head += struct.pack("<iI", 0, 5) + b"chars"
    held, contents = {}, {}
    for name, values in make_tensors().items():
        if (name.endswith(".w") and values.ndim == 2) or name == "emb.word":
            contents[name], held[name] = quantise(values)
        else:
            contents[name], held[name] = values.tobytes(), values.ravel()
    entry = struct.calcsize("<BIQQ")
    at = len(head) + 4 + sum(2 + len(name) + entry for name in contents)
    directory = struct.pack("<i", len(contents))
    for name, content in contents.items():
        directory += (
            struct.pack("<H", len(name)) + name.encode() + struct.pack("<BIQQ", 0, held[name].size, at, len(content))
        )
        at += len(content)
    (folder / "e5-small-q4.bin").write_bytes(head + directory + b"".join(contents.values()))
    make_tokenizer().save(str(folder / "tokenizer.json"))
    for constant, file in (("WEIGHTS_SHA256", "e5-small-q4.bin"), ("TOKENIZER_SHA256", "tokenizer.json")):
        digest = hashlib.sha256((folder / file).read_bytes()).hexdigest()
        monkeypatch.setattr(f"training.encoder.e5_model.{constant}", digest)
    return held
