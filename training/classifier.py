"""Fit the task classifier: a logistic regression on embeddings, one on words, their weights, temperature, threshold."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from joblib import Memory, Parallel, delayed
from scipy import sparse
from scipy.optimize import minimize, minimize_scalar
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold

from router.classifier import CONTINUES, softmax, split_continues
from router.encoder import OnnxEncoder
from router.features import BUCKETS, SURFACE, hashed_ngrams, surface_features
from router.heads import Heads
from router.keywords import KeywordRules
from training.outliers import PROMPTS_PER_OUTLIER, random_labels

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Inverse strengths of regularisation to choose from, for each part. An encoder tuned on the same prompts separates them by
# itself, and wants the strongest; an untuned one and words are best inside, for everything from 200 to 13,000 prompts.
Part = Literal["embedding", "words"]
PARTS: tuple[Part, ...] = ("embedding", "words")
CS: Mapping[Part, tuple[float, ...]] = {"embedding": (0.03, 0.1, 0.3, 1.0, 3.0, 10.0), "words": (1.0, 3.0, 10.0, 30.0)}
FOLDS = 5
# Standard deviation that surface features are scaled to, beside n-grams of length one.
_SURFACE_SCALE = 0.05
# A bucket that occurs once in the training prompts tells nothing that generalises, and makes the fit slow.
_MIN_OCCURRENCES = 2
_UNSEEN_LOGIT = -30.0
# Prompts times labels that are cross-validated: what takes minutes.
_MOST_SEARCHED = 1_500_000
_SCALES = (0.025, 20.0)
_POOR_ACCURACY = 1 / 3
# What the threshold takes the share of texts to be that ask for nothing.
_STRAY_SHARE = 0.01
_TOLERANCE, _MAX_ITERATIONS = 1e-4, 5000


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureBlocks:
    """The features of n texts.

    Attributes:
        embedding: Shape (n, dim), float32, rows of length one.
        lexical: Shape (n, BUCKETS), sparse float32, rows of length one.
        surface: Shape (n, len(SURFACE)), float32, unscaled.
    """

    embedding: NDArray[np.float32]
    lexical: sparse.csr_matrix
    surface: NDArray[np.float32]

    def take(self, rows: NDArray[np.int64]) -> FeatureBlocks:
        """Return the features of some of the texts."""
        return FeatureBlocks(embedding=self.embedding[rows], lexical=self.lexical[rows], surface=self.surface[rows])

    def beside(self, other: FeatureBlocks) -> FeatureBlocks:
        """Return the features of both, those of the other texts last."""
        return FeatureBlocks(
            embedding=np.concatenate([self.embedding, other.embedding]),
            lexical=sparse.vstack([self.lexical, other.lexical], format="csr"),
            surface=np.concatenate([self.surface, other.surface]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedClassifier:
    """A fitted classifier, and how it did on prompts it was not fitted on.

    Attributes:
        labels: The tasks, in the order of the heads' columns; `CONTINUES` may be among them.
        tasks: The labels without it.
        heads: The weights of both parts, mixed.
        cs: The inverse strength of regularisation that cross-validation chose for each part.
        mixture: How much each part's logits count; sums to one.
        temperature: What the mixed logits are divided by.
        threshold: Confidence below which a prediction counts as unsure.
        judged: The rows that were held out in turn, ascending: those that have a task and that the encoder was not tuned
            on; of very many, some.
        parts: The held-out logits of each part by itself, shape (len(judged), tasks).
        probabilities: Their calibrated out-of-fold probabilities, as the router gives them, shape (len(judged), tasks).
        follow_ups: Held-out probability of `CONTINUES` of the follow-ups, and of the rows that have a task; empty where the
            former are none.
        folds: The fold in which each training prompt was held out, shape (n,); −1 where it never was.
    """

    labels: tuple[str, ...]
    tasks: tuple[str, ...]
    heads: Heads
    cs: Mapping[Part, float]
    mixture: Mapping[Part, float]
    temperature: float
    threshold: float
    judged: NDArray[np.int64]
    parts: Mapping[Part, NDArray[np.float64]]
    probabilities: NDArray[np.float64]
    follow_ups: tuple[NDArray[np.float64], NDArray[np.float64]]
    folds: NDArray[np.int64]


def default_cache() -> Path:
    """Return the folder of the embedding cache, private to the user."""
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "contextual-llm-router"
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    return root


def featurize(
    texts: Sequence[str],
    encoder: OnnxEncoder,
    *,
    jobs: int = -1,
    cache: Path | None = None,
    progress: Callable[[Sequence[str]], Iterable[str]] = iter,
) -> FeatureBlocks:
    """Compute the features of texts with the runtime's own functions, each text by itself as when it is served.

    Args:
        texts: n texts; one that comes twice is encoded once.
        encoder: The encoder that will serve.
        jobs: Threads that encode; -1: as many as there are processors.
        cache: Folder in which embeddings are kept, by encoder and text; None: nowhere.
        progress: Wraps the texts, to show how far the encoding is.
    """
    embed = Memory(cache, verbose=0).cache(_embed, ignore=["encoder"])
    identity, distinct = encoder.sha256, list(dict.fromkeys(texts))
    work = (delayed(embed)(text, identity, encoder) for text in progress(distinct))
    rows = dict(zip(distinct, Parallel(n_jobs=jobs, prefer="threads")(work), strict=True))
    return FeatureBlocks(
        embedding=np.stack([rows[text] for text in texts]) if rows else np.empty((0, encoder.dim), np.float32),
        lexical=lexical_matrix(texts),
        surface=np.stack([surface_features(text) for text in texts])
        if len(texts)
        else np.empty((0, len(SURFACE)), np.float32),
    )


def _embed(text: str, identity: str, encoder: OnnxEncoder) -> NDArray[np.float32]:
    """Encode one text; joblib keys its cache by `text` and `identity`."""
    del identity
    vector: NDArray[np.float32] = encoder.encode([text])[0]
    return vector


def lexical_matrix(texts: Sequence[str]) -> sparse.csr_matrix:
    """Return the hashed n-grams of n texts, shape (n, BUCKETS), rows of length one."""
    grams = [hashed_ngrams(text) for text in texts]
    pointers = np.cumsum([0, *(len(buckets) for buckets, _ in grams)])
    columns = np.concatenate([buckets for buckets, _ in grams] or [np.empty(0, np.int64)])
    values = np.concatenate([values for _, values in grams] or [np.empty(0, np.float32)])
    return sparse.csr_matrix((values, columns, pointers), shape=(len(texts), BUCKETS), dtype=np.float32)


def fit_classifier(
    features: FeatureBlocks,
    tasks: Sequence[str],
    groups: Sequence[str],
    *,
    seen: NDArray[np.bool_] | None = None,
    outliers: FeatureBlocks | None = None,
    seed: int = 0,
    jobs: int = -1,
) -> FittedClassifier:
    """Fit a part on embeddings and a part on words; choose C, weights and temperature by held-out log-loss over groups.

    The parts are fitted apart and then weighed (stacking; Wolpert, 1992, Neural Networks 5:241-259), because fitted together
    the one that separates the training prompts best, a tuned encoder's embedding, leaves the other nothing to learn.

    Args:
        features: Of n prompts.
        tasks: Their tasks; each of the labels at least `FOLDS` times.
        groups: What must stay on one side of a split.
        seen: Which prompts the encoder was tuned on, shape (n,): they teach, but are never held out, unless nothing else is
            left to hold out.
        outliers: Of texts that are no request (`training.outliers`): the parts, the temperature and the threshold are
            fitted to be unsure of them.
        seed: Of the split, and of the outliers' labels.
        jobs: Processes to use; -1: all processors.
    """
    labels = tuple(sorted(set(tasks)))
    targets = np.array([labels.index(task) for task in tasks])
    searched, judged, folds = _draw_folds(targets, groups, seen, seed=seed)
    n, asked = len(judged), folds
    if outliers is not None:
        features = features.beside(outliers)
        drawn = random_labels(features.embedding.shape[0] - len(targets), len(labels), seed=seed)
        targets = np.concatenate([targets, np.array(drawn, np.int64)])
        asked = np.concatenate([folds, fold_outliers(len(drawn), n)])
        searched = np.concatenate([searched, np.ones(len(drawn), np.bool_)])
    rows = np.flatnonzero(asked >= 0)  # the n prompts, then some outliers
    cs, logits = _search(features, targets, searched, asked, len(labels), jobs=jobs)
    mixture, temperature = fit_mixture(logits, targets[rows])
    mixed = softmax(np.sum([mixture[part] * logits[part] for part in PARTS], axis=0) / temperature)
    columns = np.array([i for i, label in enumerate(labels) if label != CONTINUES])
    own = np.isin(targets[judged], columns)
    told, strays = np.split(spread_continues(labels, mixed), [n])
    going_on = split_continues(labels, mixed[:n])[1]
    right = columns[told.argmax(axis=1)] == targets[judged]
    heads = {part: fit_path(features, targets, (cs[part],), len(labels), part)[0] for part in PARTS}
    return FittedClassifier(
        labels=labels,
        tasks=tuple(labels[i] for i in columns),
        heads=mix_heads(heads, mixture),
        cs=cs,
        mixture=mixture,
        temperature=temperature,
        threshold=choose_threshold(told[own].max(axis=1), right[own], strays.max(axis=1)),
        judged=judged[own],
        parts={part: logits[part][:n][own][:, columns] for part in PARTS},
        probabilities=told[own],
        follow_ups=(going_on[~own], going_on[own]),
        folds=np.where(np.isin(targets[: len(folds)], columns), folds, -1),
    )


def _draw_folds(
    targets: NDArray[np.int64], groups: Sequence[str], seen: NDArray[np.bool_] | None, *, seed: int
) -> tuple[NDArray[np.bool_], NDArray[np.int64], NDArray[np.int64]]:
    """Return which rows to search on, which of them to judge on, and every row's fold: −1 where it is never held out."""
    searched = draw_searched(targets, groups, seed=seed)
    within = np.flatnonzero(searched)
    judged = within[
        choose_judged(targets[within], [groups[i] for i in within.tolist()], None if seen is None else seen[within])
    ]
    folds = np.full(len(targets), -1)
    folds[judged] = split_folds(targets[judged], [groups[i] for i in judged], seed=seed)
    return searched, judged, folds


def _search(
    features: FeatureBlocks,
    targets: NDArray[np.int64],
    searched: NDArray[np.bool_],
    folds: NDArray[np.int64],
    n_labels: int,
    *,
    jobs: int,
) -> tuple[dict[Part, float], dict[Part, NDArray[np.float64]]]:
    """Return each part's best C, and with it the logits, shape (rows that have a fold, labels), of each row held out."""
    held_out = Parallel(n_jobs=jobs)(
        delayed(_predict_path)(
            features.take(np.flatnonzero(searched & (folds != fold))),
            targets[searched & (folds != fold)],
            features.take(np.flatnonzero(folds == fold)),
            n_labels,
            part,
        )
        for part in PARTS
        for fold in range(FOLDS)
    )
    cs, logits = {}, {}
    rows = np.flatnonzero(folds >= 0)
    for place, part in enumerate(PARTS):
        path = np.empty((len(CS[part]), len(rows), n_labels))
        for fold in range(FOLDS):
            path[:, folds[rows] == fold] = held_out[place * FOLDS + fold]
        cs[part], logits[part] = _choose_c(part, path, targets[rows])
    return cs, logits


def spread_continues(labels: Sequence[str], probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return probabilities of the tasks, shape (n, tasks), as the router gives them for a turn that has none before it."""
    own, continues = split_continues(labels, probabilities)
    return np.asarray(own + continues[:, None] / own.shape[1], np.float64)


def draw_searched(targets: NDArray[np.int64], groups: Sequence[str], *, seed: int) -> NDArray[np.bool_]:
    """Return which rows to choose C, weights, temperature and threshold on: all; of very many a part, drawn by group."""
    parts = -(-len(targets) * len(np.unique(targets)) // _MOST_SEARCHED)
    if parts == 1:
        return np.ones(len(targets), np.bool_)
    return np.asarray(split_folds(targets, groups, seed=seed, n=parts) == 0, np.bool_)


def fold_outliers(n: int, n_judged: int) -> NDArray[np.int64]:
    """Return each outlier's fold: to prompts held out they are as outliers to prompts; −1 of those that never are."""
    rows = np.arange(n)
    return np.asarray(np.where(rows < n_judged // PROMPTS_PER_OUTLIER, rows % FOLDS, -1), np.int64)


def choose_judged(targets: NDArray[np.int64], groups: Sequence[str], seen: NDArray[np.bool_] | None) -> NDArray[np.int64]:
    """Return the rows to hold out in turn: those not seen; all of them where those are too few to split."""
    unseen = np.arange(len(targets)) if seen is None else np.flatnonzero(~seen)
    fewest = min(np.bincount(targets[unseen]).max(initial=0), len({groups[i] for i in unseen.tolist()}))
    return unseen if fewest >= FOLDS else np.arange(len(targets))


def _choose_c(part: Part, path: NDArray[np.float64], targets: NDArray[np.int64]) -> tuple[float, NDArray[np.float64]]:
    """Return the C of the least log-loss at its best temperature, and its logits."""
    losses = [log_loss(softmax(logits / fit_temperature(logits, targets)), targets) for logits in path]
    best = int(np.argmin(losses))
    return CS[part][best], path[best]


def fit_mixture(logits: Mapping[Part, NDArray[np.float64]], targets: NDArray[np.int64]) -> tuple[dict[Part, float], float]:
    """Return the weights, summing to one, and the temperature that minimise the log-loss of the mixed logits.

    Args:
        logits: Of each part, shape (n, labels), held out.
        targets: Shape (n,).
    """
    stacked = np.stack([logits[part] for part in PARTS])
    right = stacked[:, np.arange(len(targets)), targets]

    def loss(scales: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        probabilities = softmax(np.tensordot(scales, stacked, axes=1))
        slope = (probabilities * stacked).sum(axis=2) - right
        return log_loss(probabilities, targets), slope.mean(axis=1)

    bounds = [_SCALES] * len(PARTS)  # convex in the scales: any start finds the one minimum
    scales = minimize(loss, np.full(len(PARTS), 1 / len(PARTS)), jac=True, bounds=bounds, method="L-BFGS-B").x
    total = float(scales.sum())
    return {part: float(scale / total) for part, scale in zip(PARTS, scales, strict=True)}, 1 / total


def mix_heads(heads: Mapping[Part, Heads], mixture: Mapping[Part, float]) -> Heads:
    """Return the one linear layer whose logits are the weighted sum of the parts' logits."""

    def mixed(block: str) -> NDArray[np.float32]:
        return np.asarray(sum(mixture[part] * getattr(heads[part], block) for part in PARTS), np.float32)

    return Heads(embedding=mixed("embedding"), lexical=mixed("lexical"), surface=mixed("surface"), bias=mixed("bias"))


def split_folds(targets: NDArray[np.int64], groups: Sequence[str], *, seed: int, n: int = FOLDS) -> NDArray[np.int64]:
    """Return each row's fold, in [0, n): groups stay whole, tasks are spread evenly as far as there are enough of them."""
    splitter = StratifiedGroupKFold(n, shuffle=True, random_state=seed)
    folds = np.empty(len(targets), np.int64)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
        for fold, (_, held_out) in enumerate(splitter.split(targets, targets, np.unique(groups, return_inverse=True)[1])):
            folds[held_out] = fold
    return folds


def fit_temperature(logits: NDArray[np.float64], targets: NDArray[np.int64]) -> float:
    """Return the T in [0.05, 20] that minimises the log-loss of softmax(logits / T) (Guo et al., 2017, section 4.2)."""

    def loss(log_t: float) -> float:
        return log_loss(softmax(logits / np.exp(log_t)), targets)

    return float(np.exp(minimize_scalar(loss, bounds=(np.log(0.05), np.log(20)), method="bounded").x))


def log_loss(probabilities: NDArray[np.float64], targets: NDArray[np.int64]) -> float:
    """Return the mean of −log p(target)."""
    return float(-np.log(np.maximum(probabilities[np.arange(len(targets)), targets], 1e-12)).mean())


def choose_threshold(confidence: NDArray[np.float64], right: NDArray[np.bool_], strays: NDArray[np.float64]) -> float:
    """Return the confidence below which a guess is more than twice as likely wrong as right.

    The highest threshold, in steps of 0.01, such that at most a third of the held-out guesses below it are right: a point
    of the risk-coverage curve (El-Yaniv and Wiener, 2010, JMLR 11:1605-1641). 0 where there is none.

    Args:
        confidence: Held-out, calibrated, shape (n,).
        right: Shape (n,).
        strays: Confidence in the guesses at texts that ask for nothing, shape (any,): all wrong, and together as many as
            `_STRAY_SHARE` of the n.
    """
    weights = np.concatenate([np.ones(len(right)), np.full(len(strays), _STRAY_SHARE * len(right) / max(len(strays), 1))])
    confidence, right = np.concatenate([confidence, strays]), np.concatenate([right, np.zeros(len(strays), np.bool_)])
    candidates = np.round(np.arange(0.01, 1.0, 0.01), 2)
    poor = [
        t
        for t in candidates
        if (below := confidence < t).any() and np.average(right[below], weights=weights[below]) <= _POOR_ACCURACY
    ]
    return float(max(poor, default=0.0))


def measure_precision(texts: Sequence[str], tasks: Sequence[str], rules: KeywordRules) -> float:
    """Return how often the rules are right where one fits, (right + 1) / (fits + 2) (Laplace's rule of succession)."""
    matches = [(rules.match(text), task) for text, task in zip(texts, tasks, strict=True)]
    right = sum(match is not None and match[0] == task for match, task in matches)
    return (right + 1) / (sum(match is not None for match, _ in matches) + 2)


def _predict_path(
    train: FeatureBlocks, targets: NDArray[np.int64], test: FeatureBlocks, n_labels: int, part: Part
) -> NDArray[np.float64]:
    """Return the logits of held-out rows for each C, shape (len(CS[part]), n, labels); a label left alone is certain."""
    seen = np.unique(targets)
    if len(seen) == 1:
        alone = np.where(np.arange(n_labels) == seen[0], 0.0, _UNSEEN_LOGIT)
        return np.broadcast_to(alone, (len(CS[part]), test.embedding.shape[0], n_labels))
    return np.array([head_logits(heads, test) for heads in fit_path(train, targets, CS[part], n_labels, part)])


def head_logits(heads: Heads, features: FeatureBlocks) -> NDArray[np.float64]:
    """Return logits, shape (n, labels)."""
    summed = features.embedding @ heads.embedding + features.lexical @ heads.lexical + features.surface @ heads.surface
    return np.asarray(summed + heads.bias, np.float64)


def fit_path(
    features: FeatureBlocks, targets: NDArray[np.int64], cs: Sequence[float], n_labels: int, part: Part
) -> list[Heads]:
    """Fit one logistic regression on one part for each C, ascending, each starting where the last one converged.

    The heads are zero on the other part's blocks.
    """
    design, unfold = (_embedding_design if part == "embedding" else _words_design)(features)
    model = LogisticRegression(tol=_TOLERANCE, max_iter=_MAX_ITERATIONS, warm_start=True)
    path = []
    for c in cs:
        model.set_params(C=c).fit(design, targets)
        path.append(unfold(*_weights(model, n_labels)))
    return path


def _weights(model: LogisticRegression, n_labels: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return scikit-learn's coefficients, shape (columns, labels), and intercepts; an unseen label gets no chance."""
    weights = np.zeros((model.coef_.shape[1], n_labels))
    bias = np.full(n_labels, _UNSEEN_LOGIT)
    if len(model.classes_) == 2:  # noqa: PLR2004 - scikit-learn keeps one row for two classes: the logit of the second
        weights[:, model.classes_[1]] = model.coef_[0]
        bias[model.classes_] = (0.0, model.intercept_[0])
    else:
        weights[:, model.classes_], bias[model.classes_] = model.coef_.T, model.intercept_
    return weights, bias


_Unfold = Callable[["NDArray[np.float64]", "NDArray[np.float64]"], Heads]


def _embedding_design(features: FeatureBlocks) -> tuple[NDArray[np.float32], _Unfold]:
    def unfold(weights: NDArray[np.float64], bias: NDArray[np.float64]) -> Heads:
        return Heads(
            embedding=weights.astype(np.float32),
            lexical=np.zeros((BUCKETS, len(bias)), np.float32),
            surface=np.zeros((len(SURFACE), len(bias)), np.float32),
            bias=bias.astype(np.float32),
        )

    return features.embedding, unfold


def _words_design(features: FeatureBlocks) -> tuple[sparse.csr_matrix, _Unfold]:
    """Frequent buckets and scaled surface features; the heads are for unscaled ones."""
    kept = np.flatnonzero(np.asarray((features.lexical > 0).sum(axis=0)).ravel() >= _MIN_OCCURRENCES)
    mean, std = features.surface.mean(axis=0), np.maximum(features.surface.std(axis=0), 1e-6)
    scaled = (features.surface - mean) / std * _SURFACE_SCALE

    def unfold(weights: NDArray[np.float64], bias: NDArray[np.float64]) -> Heads:
        surface = weights[len(kept) :] * (_SURFACE_SCALE / std)[:, None]
        lexical = np.zeros((BUCKETS, len(bias)), np.float32)
        lexical[kept] = weights[: len(kept)]
        return Heads(
            embedding=np.zeros((features.embedding.shape[1], len(bias)), np.float32),
            lexical=lexical,
            surface=surface.astype(np.float32),
            bias=(bias - mean @ surface).astype(np.float32),
        )

    return sparse.hstack([features.lexical[:, kept], sparse.csr_matrix(scaled)], format="csr").astype(np.float32), unfold
