"""A model with a linear head in, the optimizer and the learning-rate schedule of its tuning out."""

from __future__ import annotations

from typing import Any

# Share of the steps in which the learning rate rises.
_WARM_UP = 0.1
_WEIGHT_DECAY = 0.01

# The head starts from random weights, so it learns this many times as fast as the encoder.
_HEAD_RATE = 10.0


def make_optimizer(model: Any, head: Any, learning_rate: float, steps: int) -> tuple[Any, Any]:
    """Return AdamW and its schedule: a linear warm-up, then a linear decrease to zero.

    Biases and norms have no weight decay.

    Args:
        model: The model to tune.
        head: The linear layer on its vectors.
        learning_rate: Highest learning rate of the model.
        steps: Number of steps of the run.
    """
    import torch

    parameters = list(model.parameters())
    optimizer = torch.optim.AdamW(
        [
            {"params": [p for p in parameters if p.ndim > 1], "weight_decay": _WEIGHT_DECAY},
            {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
            {"params": list(head.parameters()), "lr": learning_rate * _HEAD_RATE, "weight_decay": _WEIGHT_DECAY},
        ],
        lr=learning_rate,
    )
    warm_up = max(1, round(_WARM_UP * steps))

    def rate(step: int) -> float:
        return min((step + 1) / warm_up, max(0.0, (steps - step) / (steps - warm_up)), 1.0)

    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
