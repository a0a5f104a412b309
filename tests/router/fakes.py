"""Small stand-ins whose numbers can be worked out by hand."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from router import Estimate, ModelProfile, ModelScore, Preference, RoutingContext, TaskPrediction
from router.classify.classifier import FirstTier, TaskClassifier
from router.classify.features import BUCKETS, SURFACE
from router.classify.heads import Heads

LABELS = ("coding", "math", "writing")


class TaughtEncoder:
    """Gives a text the vector it was taught, and any other text zeros."""

    name = "taught"

    def __init__(self, vectors: Mapping[str, Sequence[float]], dim: int) -> None:
        self.vectors, self.dim = dict(vectors), dim

    def encode(self, texts: Sequence[str], /) -> NDArray[np.float32]:
        unknown = (0,) * self.dim
        return np.array([self.vectors.get(text, unknown) for text in texts], np.float32).reshape(-1, self.dim)


def classifier(
    taught: Mapping[str, Sequence[float]],
    *,
    labels: Sequence[str] = LABELS,
    threshold: float = 0.6,
    temperature: float = 1.0,
    first: FirstTier | None = None,
) -> TaskClassifier:
    """A classifier that gives each text the probabilities it was taught (at temperature 1), any other even ones."""
    n = len(labels)
    encoder = TaughtEncoder({text: np.log(probabilities).tolist() for text, probabilities in taught.items()}, n)
    silent = {"lexical": (BUCKETS, n), "surface": (len(SURFACE), n), "bias": (n,)}
    heads = Heads(embedding=np.eye(n, dtype=np.float32), **{name: np.zeros(s, np.float32) for name, s in silent.items()})
    return TaskClassifier(
        labels=tuple(labels), encoder=encoder, heads=heads, temperature=temperature, threshold=threshold, first=first
    )


def first_tier(
    taught: Mapping[str, Sequence[float]],
    *,
    labels: Sequence[str] = LABELS,
    threshold: float = 0.7,
    tasks: Collection[str] = LABELS,
) -> FirstTier:
    """A first tier that gives each text the probabilities it was taught, any other even ones."""
    n = len(labels)
    encoder = TaughtEncoder({text: np.log(probabilities).tolist() for text, probabilities in taught.items()}, n)
    weights, bias = np.eye(n, dtype=np.float32), np.zeros(n, np.float32)
    return FirstTier(encoder=encoder, weights=weights, bias=bias, threshold=threshold, tasks=frozenset(tasks))


def model(name: str, quality: Mapping[str, float] | float = 0.5, **fields: object) -> ModelProfile:
    by_task = quality if isinstance(quality, Mapping) else dict.fromkeys(LABELS, quality)
    estimates = {task: Estimate(mean=mean, stderr=0.0, n=1) for task, mean in by_task.items()}
    return ModelProfile(name=name, quality=estimates, **fields)  # type: ignore[arg-type]


def score(name: str, quality: float, cost_usd: float | None = None, **fields: object) -> ModelScore:
    given: dict[str, object] = {
        "bound": quality,
        "latency_s": None,
        "assumed": frozenset(),
        "utility": quality,
        "quality_by_task": {},
    }
    return ModelScore(model=name, quality=quality, stderr=0.0, cost_usd=cost_usd, **(given | fields))  # type: ignore[arg-type]


def context(*scores: ModelScore, quality_floor: float | None = None, preference: Preference | None = None) -> RoutingContext:
    return RoutingContext(
        prompt="any",
        key="user-1",
        prediction=TaskPrediction(task="math", confidence=1.0, probabilities={"math": 1.0}, source="classifier"),
        candidates=tuple(score.model for score in scores),
        scores={score.model: score for score in scores},
        preference=preference or Preference(quality_floor=quality_floor),
    )
