import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from router.classify.classifier import softmax
from router.classify.encoder import OnnxEncoder
from router.classify.heads import Features
from training.classifier import linear
from training.classifier.features import FeatureBlocks
from training.classifier.known_vectors import round_vectors
from training.classifier.linear import CS, PARTS, Part, fit_path, head_logits, mix_heads


class Spy(LogisticRegression):
    """A logistic regression that keeps its predictions for its own design matrix."""

    predicted: list[np.ndarray] = []  # noqa: RUF012 - emptied by the fixture

    def fit(self, design: object, targets: np.ndarray, sample_weight: np.ndarray | None = None) -> "Spy":
        super().fit(design, targets, sample_weight)
        self.predicted.append(self.predict_proba(design))
        return self


@pytest.fixture
def spy(monkeypatch: pytest.MonkeyPatch) -> type[Spy]:
    monkeypatch.setattr(Spy, "predicted", [])
    monkeypatch.setattr(linear, "LogisticRegression", Spy)
    return Spy


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("n_labels", [2, 3])
def test_heads_predict_the_same_as_scikit_learn(
    spy: type[Spy], features: FeatureBlocks, targets: np.ndarray, n_labels: int, part: Part
) -> None:
    rows = np.flatnonzero(targets < n_labels)
    path = fit_path(features.take(rows), targets[rows], CS[part], n_labels, part)
    assert len(path) == len(spy.predicted) == len(CS[part])
    for heads, predicted in zip(path, spy.predicted, strict=True):
        assert softmax(head_logits(heads, features.take(rows))) == pytest.approx(predicted, abs=1e-5)


def test_training_and_serving_compute_the_same_logits(
    features: FeatureBlocks, texts: list[str], targets: np.ndarray, encoder: OnnxEncoder
) -> None:
    parts = {part: fit_path(features, targets, (3.0,), 3, part)[0] for part in PARTS}
    heads = mix_heads(parts, {"embedding": 0.6, "words": 0.4})
    vectors = round_vectors(encoder.encode(texts))
    served = [heads.apply(Features.of(text, vector)) for text, vector in zip(texts, vectors, strict=True)]
    assert head_logits(heads, features) == pytest.approx(np.array(served, np.float64), abs=1e-4)


@pytest.mark.parametrize("seen", [(0, 2), (0, 1, 3)])
def test_a_label_without_training_rows_has_probability_zero(features: FeatureBlocks, seen: tuple[int, ...]) -> None:
    targets = np.array(seen)[np.arange(len(features.embedding)) % len(seen)]
    probabilities = softmax(head_logits(fit_path(features, targets, (1.0,), 4, "words")[0], features))
    unseen = [label for label in range(4) if label not in seen]
    assert probabilities[:, unseen].max() < 1e-6
    assert probabilities[:, list(seen)].min() > 1e-6


def test_a_rare_label_weighs_as_much_as_the_median_but_each_prompt_at_most_five_times() -> None:
    targets = np.repeat([0, 1, 2, 3], [100, 80, 40, 4])
    weights = linear.weigh_rare(targets)
    assert [weights[targets == label][0] for label in range(4)] == [1.0, 1.0, 1.5, 5.0]
