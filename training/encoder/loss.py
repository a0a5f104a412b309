"""Sentence vectors and the tasks of their texts in, the loss of a tuning step out."""

from __future__ import annotations

from typing import Any, Literal

Objective = Literal["cross-entropy", "contrastive", "both"]

_LABEL_SMOOTHING = 0.1
_CONTRAST_TEMPERATURE = 0.1

# Weight of the contrastive loss beside the cross-entropy, for the objective `both`.
_CONTRAST_WEIGHT = 0.5


def tuning_loss(objective: Objective, head: Any, vectors: Any, targets: Any) -> Any:
    """Return the loss of one batch, a scalar tensor.

    Args:
        objective: The loss to tune with.
        head: Linear layer from vectors to logits.
        vectors: Sentence vectors, shape (n, dim).
        targets: Number of each text's task, shape (n,).
    """
    from torch.nn import functional

    # With the contrastive loss alone, the head learns too but must not change the encoder. It only measures the accuracy.
    inputs = vectors.detach() if objective == "contrastive" else vectors
    loss = functional.cross_entropy(head(inputs), targets, label_smoothing=_LABEL_SMOOTHING)
    if objective == "cross-entropy":
        return loss
    return loss + (1.0 if objective == "contrastive" else _CONTRAST_WEIGHT) * contrastive_loss(vectors, targets)


def distance_loss(vectors: Any, wanted: Any) -> Any:
    """Return the mean of one minus the cosine between vectors and those of a teacher, a scalar tensor.

    Args:
        vectors: Sentence vectors, shape (n, dim).
        wanted: The teacher's vectors of the same texts, shape (n, dim).
    """
    from torch.nn import functional

    return 1.0 - functional.cosine_similarity(vectors, wanted, dim=1).mean()


def contrastive_loss(vectors: Any, targets: Any) -> Any:
    """Return the supervised contrastive loss (Khosla et al., 2020, arXiv 2004.11362, equation 2), a scalar tensor.

    It pulls vectors of one task together and pushes those of different tasks apart. A text whose task is alone in the batch
    is only a negative example for others.

    Args:
        vectors: Sentence vectors, shape (n, dim).
        targets: Number of each text's task, shape (n,).
    """
    import torch

    scaled = torch.nn.functional.normalize(vectors, dim=1)
    similarity = scaled @ scaled.T / _CONTRAST_TEMPERATURE
    self_pairs = torch.eye(len(targets), dtype=torch.bool, device=vectors.device)
    similarity = similarity.masked_fill(self_pairs, -1e9)
    log_p = similarity - torch.logsumexp(similarity, dim=1, keepdim=True)
    positive = (targets[:, None] == targets[None, :]) & ~self_pairs
    anchors = positive.any(dim=1)
    if not anchors.any():
        return vectors.sum() * 0.0  # a zero that can be differentiated
    return -((log_p * positive).sum(dim=1)[anchors] / positive.sum(dim=1)[anchors]).mean()
