import math

import pytest

torch = pytest.importorskip("torch", reason="the extra `sentence-transformers` is not installed")

from training.encoder.loss import contrastive_loss, tuning_loss  # noqa: E402

# Two texts of task 0 with one vector, and one text of task 1 with an orthogonal vector.
VECTORS = torch.tensor([[2.0, 0.0], [1.0, 0.0], [0.0, 3.0]])
TARGETS = torch.tensor([0, 0, 1])


def test_the_contrastive_loss_by_hand() -> None:
    # Only the two texts of task 0 have a positive. Their similarities are 1 / 0.1 and 0: -log(e^10 / (e^10 + e^0)).
    assert contrastive_loss(VECTORS, TARGETS).item() == pytest.approx(math.log(1 + math.exp(-10)), rel=1e-2)


def test_a_batch_without_two_texts_of_one_task_has_no_contrastive_loss() -> None:
    vectors = VECTORS.clone().requires_grad_()
    loss = contrastive_loss(vectors, torch.tensor([0, 1, 2]))
    loss.backward()
    assert loss.item() == 0
    assert not vectors.grad.any()


def test_the_head_does_not_change_the_encoder_under_the_contrastive_objective() -> None:
    head, alone = torch.nn.Linear(2, 3), torch.tensor([0, 1, 2])
    gradients = {}
    for objective in ("cross-entropy", "contrastive", "both"):
        vectors = VECTORS.clone().requires_grad_()
        tuning_loss(objective, head, vectors, alone).backward()
        gradients[objective] = vectors.grad.abs().sum().item()
    assert gradients["contrastive"] == 0
    assert gradients["both"] == gradients["cross-entropy"] > 0
