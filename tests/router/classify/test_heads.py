import numpy as np
import pytest

from router.classify.features import BUCKETS, SURFACE, surface_features
from router.classify.heads import Features, Heads, PromptHeads


def test_outputs_sum_embedding_words_surface_and_bias() -> None:
    heads = Heads(
        embedding=np.array([[1, 0], [0, 2]], np.float32),
        lexical=np.ones((BUCKETS, 2), np.float32),
        surface=np.zeros((len(SURFACE), 2), np.float32),
        bias=np.array([10, 20], np.float32),
    )
    # "a" has three n-grams (w, h, t), each 1/√3: √3 in all
    assert heads.apply(Features.of("a", np.array([3, 4], np.float32))) == pytest.approx([13 + 3**0.5, 28 + 3**0.5])
    heads.surface[:, 1] = 1
    assert heads.apply(Features.of("", np.zeros(2, np.float32))) == pytest.approx([10, 20 + surface_features("").sum()])


def constant(*outputs: float) -> Heads:
    """Return heads that give the same outputs for every text."""
    n = len(outputs)
    return Heads(
        embedding=np.zeros((2, n), np.float32),
        lexical=np.zeros((BUCKETS, n), np.float32),
        surface=np.zeros((len(SURFACE), n), np.float32),
        bias=np.array(outputs, np.float32),
    )


def test_heads_follow_the_order_of_the_models_and_an_unknown_model_gets_the_mean() -> None:
    heads = PromptHeads(
        models=("a", "b", "c"),
        quality=constant(1, 2, 6),
        cost=constant(0, 3, 3),
        quality_tasks=frozenset({"math"}),
        cost_tasks=frozenset(),
    )
    arranged = heads.arrange(["c", "unknown", "a"])
    features = Features.of("any", np.zeros(2, np.float32))
    assert arranged.models == ("c", "unknown", "a")
    assert arranged.quality.apply(features).tolist() == [6, 3, 1]
    assert arranged.cost.apply(features).tolist() == [3, 2, 0]
    assert (arranged.quality_tasks, arranged.cost_tasks) == (heads.quality_tasks, heads.cost_tasks)
