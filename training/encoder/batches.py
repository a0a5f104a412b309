"""Texts in, batches of token ids for fine-tuning out."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from router.classify.text import cut
from training.encoder.source_model import special_tokens

# This many batches are sorted by length together, then cut. There is little padding, and the order stays random.
_SORTED_BATCHES = 32


def tokenize(tokenizer: Any, texts: Sequence[str], max_tokens: int, prefix: str = "") -> list[list[int]]:
    """Return the token ids of each text, as the runtime cuts it: head and tail, with special tokens around them.

    Args:
        tokenizer: The tokenizer of a sentence-transformers model.
        texts: The texts.
        max_tokens: Longest result, with the special tokens.
        prefix: Text to put before each text.
    """
    before, after = special_tokens(tokenizer)
    room = max_tokens - len(before) - len(after)
    tokenized = []
    for text in texts:
        ids = tokenizer(prefix + cut(text), add_special_tokens=False, truncation=False, verbose=False)["input_ids"]
        if len(ids) > room:
            ids = ids[: room - room // 2] + ids[len(ids) - room // 2 :]
        tokenized.append([*before, *ids, *after])
    return tokenized


def draw_batches(rows: Sequence[int], ids: Sequence[Sequence[int]], size: int, *, seed: int, epoch: int) -> list[list[int]]:
    """Return the batches of one epoch, in random order. Each row is in exactly one of them.

    The rows of a batch have similar lengths. The same arguments give the same batches, so a run can continue anywhere.

    Args:
        rows: Numbers of the rows to use.
        ids: Token ids of each row.
        size: Largest number of rows in a batch.
        seed: Seed of the run.
        epoch: Number of the epoch.
    """
    rng = random.Random(f"{seed} {epoch}")  # noqa: S311 - an order, not a secret
    order = list(rows)
    rng.shuffle(order)
    batches = []
    for start in range(0, len(order), size * _SORTED_BATCHES):
        block = sorted(order[start : start + size * _SORTED_BATCHES], key=lambda row: len(ids[row]))
        batches += [block[i : i + size] for i in range(0, len(block), size)]
    rng.shuffle(batches)
    return batches


def pad(ids: Sequence[Sequence[int]], inputs: Sequence[str], device: Any) -> dict[str, Any]:
    """Return padded token ids and their mask as tensors of shape (texts, longest), by the name of the input.

    Args:
        ids: Token ids of each text.
        inputs: Names of the inputs that the model takes.
        device: The torch device of the model.
    """
    import torch

    longest = max(map(len, ids))
    padded, mask = (torch.zeros(len(ids), longest, dtype=torch.long, device=device) for _ in range(2))
    for place, each in enumerate(ids):
        padded[place, : len(each)] = torch.tensor(each)
        mask[place, : len(each)] = 1
    features = {"input_ids": padded, "attention_mask": mask}
    if "token_type_ids" in inputs:
        features["token_type_ids"] = torch.zeros_like(padded)
    return features


def pool(model: Any, ids: Sequence[Sequence[int]], device: Any) -> Any:
    """Return sentence vectors as a model pools them, not scaled to length one: a tensor of shape (texts, dim).

    Args:
        model: A sentence-transformers model of Transformer and Pooling.
        ids: Token ids of each text.
        device: The torch device of the model.
    """
    features = pad(ids, model.tokenizer.model_input_names, device)
    for module in list(model)[:2]:  # the third one would scale to length one, and a head is better without
        features = module(features)
    return features["sentence_embedding"]
