"""Write a language model with random weights in a few hundred kB, as a transformers folder and as a GGUF file.

It answers with nonsense. So it shows whether a server and a client understand each other, but nothing about quality.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

CONTEXT_TOKENS = 2048
WIDTH, INNER_WIDTH, LAYERS, HEADS = 64, 128, 2, 4
VOCABULARY = 400
NORM_EPSILON = 1e-5
SPECIAL_TOKENS = ("<s>", "</s>")
# How byte-level tokenizers write a line feed and a space.
LINE_AND_SPACE = ("Ċ", "Ġ")
# Long enough for the merges of the vocabulary.
TEXT = "The weather in Paris is sunny today, and the temperature is twenty degrees. A tool reports it as an object of JSON."
CHAT_TEMPLATE = (
    "{% if tools %}tools: {{ tools | tojson }}\n{% endif %}"
    "{% for message in messages %}{{ message.role }}: {{ message.content or '' }}"
    "{% if message.tool_calls %}{{ message.tool_calls | tojson }}{% endif %}\n{% endfor %}assistant: "
)
# Names of the tensors of a layer in transformers and in GGUF, and their shapes.
LAYER_TENSORS = {
    "input_layernorm": ("attn_norm", (WIDTH,)),
    "self_attn.q_proj": ("attn_q", (WIDTH, WIDTH)),
    "self_attn.k_proj": ("attn_k", (WIDTH, WIDTH)),
    "self_attn.v_proj": ("attn_v", (WIDTH, WIDTH)),
    "self_attn.o_proj": ("attn_output", (WIDTH, WIDTH)),
    "post_attention_layernorm": ("ffn_norm", (WIDTH,)),
    "mlp.gate_proj": ("ffn_gate", (INNER_WIDTH, WIDTH)),
    "mlp.up_proj": ("ffn_up", (INNER_WIDTH, WIDTH)),
    "mlp.down_proj": ("ffn_down", (WIDTH, INNER_WIDTH)),
}
Tensors = Mapping[str, tuple[str, NDArray[np.float32]]]


def train_tokenizer() -> Tokenizer:
    """Return a tokenizer for printable ASCII. It leaves out every other character."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=list(SPECIAL_TOKENS),
        # Without the other bytes, whatever the model writes is valid UTF-8. Servers hold back a stream that is not.
        initial_alphabet=[*map(chr, range(ord("!"), ord("~") + 1)), *LINE_AND_SPACE],
        show_progress=False,
    )
    tokenizer.train_from_iterator([TEXT] * 2, trainer)
    return tokenizer


def make_tensors(n_tokens: int, seed: int) -> Tensors:
    """Return random weights by their name in transformers, each with its name in GGUF."""
    rng = np.random.default_rng(seed)
    shapes = {
        "model.embed_tokens": ("token_embd", (n_tokens, WIDTH)),
        "model.norm": ("output_norm", (WIDTH,)),
        "lm_head": ("output", (n_tokens, WIDTH)),
    }
    for layer in range(LAYERS):
        for name, (gguf_name, shape) in LAYER_TENSORS.items():
            shapes[f"model.layers.{layer}.{name}"] = (f"blk.{layer}.{gguf_name}", shape)
    return {
        f"{name}.weight": (f"{gguf_name}.weight", rng.normal(1.0 if "norm" in name else 0.0, 0.1, shape).astype(np.float32))
        for name, (gguf_name, shape) in shapes.items()
    }


def write_folder(folder: Path, *, seed: int = 0) -> None:
    """Write the model as transformers loads it."""
    tokenizer = train_tokenizer()
    bos, eos = SPECIAL_TOKENS
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": tokenizer.get_vocab_size(),
        "hidden_size": WIDTH,
        "intermediate_size": INNER_WIDTH,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": HEADS,
        "max_position_embeddings": CONTEXT_TOKENS,
        "rms_norm_eps": NORM_EPSILON,
        "tie_word_embeddings": False,
        "bos_token_id": tokenizer.token_to_id(bos),
        "eos_token_id": tokenizer.token_to_id(eos),
        "dtype": "float32",
    }
    tokenizer_config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": bos,
        "eos_token": eos,
        "model_max_length": CONTEXT_TOKENS,
        "chat_template": CHAT_TEMPLATE,
    }
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer_config))
    tokenizer.save(str(folder / "tokenizer.json"))
    weights = {name: tensor for name, (_, tensor) in make_tensors(tokenizer.get_vocab_size(), seed).items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def write_gguf(path: Path, *, seed: int = 0) -> None:
    """Write the model as llama.cpp loads it. Needs the package `gguf`."""
    import gguf

    tokenizer = train_tokenizer()
    numbers = tokenizer.get_vocab()
    tokens = sorted(numbers, key=numbers.__getitem__)
    kinds = [gguf.TokenType.CONTROL if token in SPECIAL_TOKENS else gguf.TokenType.NORMAL for token in tokens]
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(CONTEXT_TOKENS)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(INNER_WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_head_count(HEADS)
    writer.add_layer_norm_rms_eps(NORM_EPSILON)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges([" ".join(merge) for merge in merges])
    writer.add_bos_token_id(numbers[SPECIAL_TOKENS[0]])
    writer.add_eos_token_id(numbers[SPECIAL_TOKENS[1]])
    writer.add_chat_template(CHAT_TEMPLATE)
    for name, tensor in make_tensors(len(tokens), seed).values():
        writer.add_tensor(name, tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
