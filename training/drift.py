"""Whether today's prompts look like those a model folder was trained on, and which of them to label."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import fisher_exact

from router.artifacts import REFERENCE, Artifact
from router.classifier import CONTINUES, TaskClassifier, split_continues
from router.encoder import OnnxEncoder
from router.errors import ArtifactError
from training.classifier import spread_continues
from training.datasets import DatasetError, escape_formula, hash_file
from training.finetune import was_seen
from training.logs import LoggedPrompt, count_distinct, read_log

if TYPE_CHECKING:
    from numpy.typing import NDArray

Progress = Callable[[Sequence[str]], Iterable[str]]

PERMUTATIONS = 1000
ALPHA = 0.05
# What a drift must come to, besides being significant, before labelling is worth it.
UNSURE_RISE, TASK_GROWTH, NOVEL_SHARE = 0.05, 2.0, 0.05
MOST_COMPARED, MOST_TO_LABEL = 2000, 200
_REFERENCE_PROMPTS = 256
_LEAST_PROMPTS = 20
_NOVEL_QUANTILE = 0.99


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """What a classifier sees in n prompts, each by itself.

    Attributes:
        tasks: The tasks.
        threshold: Confidence below which the classifier counts as unsure.
        embeddings: Shape (n, dim), rows of length one.
        probabilities: Calibrated, of the tasks, shape (n, tasks), rows summing to one.
        continues: Probability that a prompt only goes on with the turn before it, shape (n,).
    """

    tasks: tuple[str, ...]
    threshold: float
    embeddings: NDArray[np.float32]
    probabilities: NDArray[np.float64]
    continues: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.probabilities)

    def take(self, rows: NDArray[np.int64]) -> Traffic:
        """Return some of the prompts."""
        return replace(
            self,
            embeddings=self.embeddings[rows],
            probabilities=self.probabilities[rows],
            continues=self.continues[rows],
        )

    def with_task(self) -> NDArray[np.int64]:
        """Return the rows that have a task of their own: those that hardly go on with the turn before."""
        return np.flatnonzero(self.continues <= 1 / 2)

    def confidence(self) -> NDArray[np.float64]:
        """Return the probability of the likeliest task, shape (n,)."""
        return np.asarray(self.probabilities.max(axis=1))

    def unsure(self) -> NDArray[np.bool_]:
        """Return where the classifier is unsure, before any keyword rule is asked, shape (n,)."""
        return self.confidence() < self.threshold

    def count_tasks(self) -> NDArray[np.int64]:
        """Return for how many prompts each task is the likeliest, shape (tasks,)."""
        return np.bincount(self.probabilities.argmax(axis=1), minlength=len(self.tasks))


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """What the prompts looked like that others are compared with.

    Attributes:
        tasks: The tasks.
        counts: For how many prompts each is the likeliest, shape (tasks,).
        n_unsure: On how many the classifier was unsure,
        n_judged: of how many.
        embeddings: Of a random sample, shape (k, dim), float32, rows of length one.
    """

    tasks: tuple[str, ...]
    counts: NDArray[np.int64]
    n_unsure: int
    n_judged: int
    embeddings: NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """A share of the prompts, then and now.

    Attributes:
        name: Of what.
        then: In the reference, in [0, 1].
        now: Today.
        p_value: Of a difference so large without drift; for tasks adjusted for their number.
    """

    name: str
    then: float
    now: float
    p_value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """How today's prompts differ from the reference.

    Attributes:
        n: Prompts of today.
        n_reference: Prompts behind the reference's shares of tasks, and
        n_embeddings: behind its embeddings.
        seed: Of the permutations, and
        permutations: how many there were.
        mmd: Squared maximum mean discrepancy of the embeddings, unbiased: around 0 without drift, and may be negative.
        p_value: Of one so large without drift.
        unsure: Share on which the classifier is unsure.
        tasks: Share of each task, those first that changed most surely.
        chi_square: Pearson's statistic over all tasks, and
        tasks_p_value: that of one so large without drift.
        novel: Share farther from the nearest prompt of the reference than 99 % of the reference is.
        novel_distance: That distance: 1 − cosine.
    """

    n: int
    n_reference: int
    n_embeddings: int
    seed: int
    permutations: int
    mmd: float
    p_value: float
    unsure: Shift
    tasks: Sequence[Shift]
    chi_square: float
    tasks_p_value: float
    novel: float
    novel_distance: float

    @property
    def is_significant(self) -> bool:
        """Whether the embeddings differ more than chance explains, at 5 %."""
        return self.p_value < ALPHA

    @property
    def unsure_rose(self) -> bool:
        """Whether the classifier is unsure of 5 points more of the prompts, surely."""
        return self.unsure.now - self.unsure.then > UNSURE_RISE and self.unsure.p_value < ALPHA

    @property
    def grown_tasks(self) -> list[str]:
        """The tasks whose share has at least doubled, surely."""
        return [t.name for t in self.tasks if t.now > t.then and t.now >= TASK_GROWTH * t.then and t.p_value < ALPHA]

    @property
    def is_novel(self) -> bool:
        """Whether more than 5 % of the prompts are novel."""
        return self.novel > NOVEL_SHARE

    @property
    def relabel(self) -> bool:
        """Whether to label prompts of today and train again: the drift is significant, and does one of the three."""
        return self.is_significant and (self.unsure_rose or bool(self.grown_tasks) or self.is_novel)


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspect:
    """A prompt of which a label would teach something.

    Attributes:
        entry: The prompt.
        task: The task it looks like.
        confidence: Its probability.
        distance: 1 − cosine to the nearest prompt of the reference.
        novel: Whether that is farther than 99 % of the reference is; else the classifier is only unsure.
    """

    entry: LoggedPrompt
    task: str
    confidence: float
    distance: float
    novel: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftCheck:
    """A log, compared with a reference.

    Attributes:
        logged: Prompts in the log.
        distinct: Different ones that say anything; each counts once, as in training.
        sampled: Those drawn to be compared.
        follow_ups: Those of them set aside because they only go on with the turn before, as no prompt of the reference does.
        drift: The comparison of the others.
        suspects: Those to label: the novel ones, the farthest first, then those the classifier is least sure of.
        notes: What a reader should know.
    """

    logged: int
    distinct: int
    sampled: int
    follow_ups: int
    drift: Drift
    suspects: Sequence[Suspect]
    notes: Sequence[str]


def check_drift(
    artifact: Artifact,
    log: Sequence[LoggedPrompt],
    *,
    reference: Path | None = None,
    seed: int = 0,
    progress: Progress = iter,
) -> DriftCheck:
    """Compare a log with what a model folder was trained on.

    Args:
        artifact: The loaded folder.
        log: Today's prompts; of conversations the last turns are looked at, each by itself.
        reference: A log or the CSV file of training prompts to compare with instead of what the folder keeps of them.
        seed: Of the sampling and the permutations.
        progress: Wraps texts while they are encoded.

    Raises:
        DatasetError: If log or reference have too few different prompts, or the folder keeps no reference.
        ArtifactError: If the folder has no classifier, or its reference is damaged.
    """
    classifier = artifact.classifier
    if classifier is None:
        raise ArtifactError(f"drift needs a classifier; {' '.join(artifact.problems)}")
    notes: list[str] = []
    if reference is None:
        known = load_reference(artifact)
    else:
        known, notes = read_reference(reference, artifact, classifier, seed=seed, progress=progress)
    distinct = _find_distinct(log)
    drawn = draw(len(distinct), MOST_COMPARED, seed=seed)
    sample = [distinct[i] for i in drawn.tolist()]
    today = observe([entry.text for entry in sample], classifier, progress=progress)
    rows = today.with_task()
    _check_enough(len(rows), "the log")
    today, sample = today.take(rows), [sample[i] for i in rows.tolist()]
    drift = measure_drift(today, known, seed=seed)
    return DriftCheck(
        logged=len(log),
        distinct=len(distinct),
        sampled=len(drawn),
        follow_ups=len(drawn) - len(rows),
        drift=drift,
        suspects=find_suspects(sample, today, known),
        notes=notes,
    )


def observe(texts: Sequence[str], classifier: TaskClassifier, *, progress: Progress = iter) -> Traffic:
    """Return what a classifier sees in texts, each by itself, as when it is served.

    Args:
        texts: n texts.
        classifier: The classifier.
        progress: Wraps the texts.
    """
    features = [classifier.featurize(text) for text in progress(texts)]
    labels = [classifier.probabilities(one) for one in features]
    probabilities = np.array(labels, np.float64).reshape(-1, len(classifier.labels))
    return Traffic(
        tasks=classifier.tasks,
        threshold=classifier.threshold,
        embeddings=np.array([one.vector for one in features], np.float32).reshape(-1, classifier.encoder.dim),
        probabilities=spread_continues(classifier.labels, probabilities),
        continues=split_continues(classifier.labels, probabilities)[1],
    )


def make_reference(traffic: Traffic, *, seed: int) -> Reference:
    """Keep what a comparison needs: shares of tasks, share unsure, and the embeddings of 256 prompts drawn at random.

    Args:
        traffic: Prompts that neither classifier nor encoder have learnt from, or their probabilities held out.
        seed: Of the drawing.
    """
    traffic = traffic.take(traffic.with_task())
    return Reference(
        tasks=traffic.tasks,
        counts=traffic.count_tasks(),
        n_unsure=int(traffic.unsure().sum()),
        n_judged=len(traffic),
        embeddings=traffic.embeddings[draw(len(traffic), _REFERENCE_PROMPTS, seed=seed)],
    )


def draw(n: int, most: int, *, seed: int) -> NDArray[np.int64]:
    """Return at most so many of n rows, drawn without replacement, ascending."""
    if n <= most:
        return np.arange(n)
    return np.sort(np.random.default_rng(seed).choice(n, most, replace=False))


def to_arrays(reference: Reference) -> dict[str, NDArray[Any]]:
    """Return a reference as the arrays of `reference.safetensors`; embeddings in half precision, 256 × 384 in 197 kB."""
    return {
        "counts": reference.counts.astype(np.int64),
        "embeddings": reference.embeddings.astype(np.float16),
        "unsure": np.array([reference.n_unsure, reference.n_judged], np.int64),
    }


def from_arrays(arrays: Mapping[str, NDArray[Any]], tasks: Sequence[str]) -> Reference:
    """Return the reference that `to_arrays` made arrays of.

    Args:
        arrays: By name.
        tasks: The tasks, in the classifier's order.

    Raises:
        ArtifactError: If they are not such arrays.
    """
    expected = {"counts": ("int64", 1), "embeddings": ("float16", 2), "unsure": ("int64", 1)}
    found = {name: (str(array.dtype), array.ndim) for name, array in arrays.items()}
    if found != expected or len(arrays["counts"]) != len(tasks) or len(arrays["unsure"]) != 2:  # noqa: PLR2004
        raise ArtifactError(f"{REFERENCE} must hold {expected} of {len(tasks)} tasks, holds {found}; train the folder again")
    n_unsure, n_judged = arrays["unsure"].tolist()
    embeddings = arrays["embeddings"].astype(np.float32)
    lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
    return Reference(
        tasks=tuple(tasks),
        counts=arrays["counts"],
        n_unsure=n_unsure,
        n_judged=n_judged,
        embeddings=embeddings / np.maximum(lengths, 1e-12),
    )


def load_reference(artifact: Artifact) -> Reference:
    """Return what a model folder keeps of its training prompts.

    Raises:
        DatasetError: If it keeps nothing.
        ArtifactError: If the file is missing, damaged or altered.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    entry = next((entry for entry in artifact.manifest.files if entry.path == REFERENCE), None)
    if entry is None:
        raise DatasetError(f"{artifact.folder} keeps no {REFERENCE}; name the training prompts with --reference")
    try:
        content = (artifact.folder / REFERENCE).read_bytes()
        if hashlib.sha256(content).hexdigest() != entry.sha256:
            raise ArtifactError(f"{REFERENCE} must hash to the manifest's {entry.sha256}; train the folder again")
        arrays = load(content)
    except (OSError, SafetensorError, ValueError, KeyError) as error:
        raise ArtifactError(f"{REFERENCE} cannot be read: {error}; train the folder again") from error
    return from_arrays(arrays, [label for label in artifact.manifest.labels if label != CONTINUES])


def read_reference(
    path: Path, artifact: Artifact, classifier: TaskClassifier, *, seed: int, progress: Progress = iter
) -> tuple[Reference, list[str]]:
    """Make a reference of a file of prompts; return it with what a reader should know.

    What the encoder was tuned on is left out where enough remains, and of the file that the classifier learnt from, the
    share held out counts that training measured: of what they know, both are surer than of new prompts.

    Args:
        path: The training prompts, or any log.
        artifact: The folder.
        classifier: Its classifier.
        seed: Of the sampling.
        progress: Wraps the texts while they are encoded.

    Raises:
        DatasetError: If the file breaks its rules or has too few different prompts.
    """
    texts = [entry.text for entry in _find_distinct(read_log(path))]
    tuning = classifier.encoder.record.tuning if isinstance(classifier.encoder, OnnxEncoder) else None
    unseen = np.flatnonzero(~was_seen(texts, tuning))
    notes = []
    if _LEAST_PROMPTS <= len(unseen) < len(texts):
        notes.append(f"{len(texts) - len(unseen)} of {path.name} left out, for the encoder was tuned on them")
        texts = [texts[i] for i in unseen.tolist()]
    texts = [texts[i] for i in draw(len(texts), MOST_COMPARED, seed=seed).tolist()]
    reference = make_reference(observe(texts, classifier, progress=progress), seed=seed)
    _check_enough(len(reference.embeddings), path.name)
    if hash_file(path) in {data.sha256 for data in artifact.manifest.training_data}:
        metrics = artifact.manifest.metrics
        n_judged = int(metrics["n"])
        reference = replace(reference, n_unsure=round(metrics["share unsure"] * n_judged), n_judged=n_judged)
        notes.append(f"the classifier learnt from {path.name}: its share unsure is the one held out in training")
    return reference, notes


def _find_distinct(log: Sequence[LoggedPrompt]) -> list[LoggedPrompt]:
    """Return the entries with different texts; those without any text, such as an image alone, say nothing here."""
    return [entry for entry, _ in count_distinct(log, lambda entry: entry.text) if entry.text.strip()]


def _check_enough(n: int, name: str) -> None:
    if n < _LEAST_PROMPTS:
        raise DatasetError(
            f"{name} must have at least {_LEAST_PROMPTS} different prompts with a task of their own, has {n}; collect more"
        )


def measure_drift(today: Traffic, reference: Reference, *, seed: int = 0, permutations: int = PERMUTATIONS) -> Drift:
    """Compare prompts with a reference, both of them with a task of their own.

    Args:
        today: The prompts.
        reference: What to compare them with.
        seed: Of the permutations.
        permutations: How many; the smallest p-value is 1 / (permutations + 1).
    """
    rng = np.random.default_rng(seed)
    mmd, p_value = compare_embeddings(reference.embeddings, today.embeddings, rng=rng, permutations=permutations)
    counts = today.count_tasks()
    chi_square, tasks_p_value = compare_counts(reference.counts, counts, rng=rng, permutations=permutations)
    novel_distance = find_novel_distance(reference.embeddings)
    distances = nearest_distances(today.embeddings, reference.embeddings)
    n_unsure = int(today.unsure().sum())
    return Drift(
        n=len(today),
        n_reference=int(reference.counts.sum()),
        n_embeddings=len(reference.embeddings),
        seed=seed,
        permutations=permutations,
        mmd=mmd,
        p_value=p_value,
        unsure=_compare_share("unsure", (reference.n_unsure, reference.n_judged), (n_unsure, len(today))),
        tasks=_compare_tasks(reference, counts),
        chi_square=chi_square,
        tasks_p_value=tasks_p_value,
        novel=float((distances > novel_distance).mean()),
        novel_distance=novel_distance,
    )


def compare_embeddings(
    then: NDArray[np.float32], now: NDArray[np.float32], *, rng: np.random.Generator, permutations: int
) -> tuple[float, float]:
    """Return the squared maximum mean discrepancy of two samples, and its p-value by permuting which sample a row is of.

    The unbiased estimate (Gretton et al., 2012, JMLR 13:723-773, lemma 6) under the kernel exp(−d² / 2σ²), where σ is the
    median distance of all pairs (section 8). Random permutations give (1 + those as large) / (1 + all) (Phipson and Smyth,
    2010, section 3): a level that holds for any size of sample.

    Args:
        then: Shape (m, dim), rows of length one.
        now: Shape (n, dim), likewise.
        rng: Draws the permutations.
        permutations: How many.
    """
    rows = np.concatenate([then, now]).astype(np.float64)
    m, n = len(then), len(now)
    squares = np.maximum(2 - 2 * rows @ rows.T, 0.0)
    middle = float(np.median(squares[np.triu_indices(len(rows), 1)]))
    kernel = np.exp(-squares / (2 * middle or 1.0))
    np.fill_diagonal(kernel, 0.0)
    first = np.zeros((permutations + 1, len(rows)))  # which rows are of the first sample; as they really are at first
    first[:, :m] = 1.0
    first[1:] = rng.permuted(first[1:], axis=1)
    within = np.einsum("pi,pi->p", first @ kernel, first)
    touching, total = first @ kernel.sum(axis=1), float(kernel.sum())
    across, rest = touching - within, total - 2 * touching + within
    mmd = within / (m * (m - 1)) + rest / (n * (n - 1)) - 2 * across / (m * n)
    return float(mmd[0]), _p_value(mmd)


def compare_counts(
    then: NDArray[np.int64], now: NDArray[np.int64], *, rng: np.random.Generator, permutations: int
) -> tuple[float, float]:
    """Return Pearson's chi-square of two rows of counts, and its p-value by permuting which row a prompt is of.

    Permutations hold for counts too small for the chi-square distribution (Agresti, 2013, Categorical Data Analysis,
    section 16.5).
    """
    total = then + now
    occurs = total > 0
    total, then = total[occurs], then[occurs]
    drawn = rng.multivariate_hypergeometric(total, int(then.sum()), size=permutations)
    tables = np.concatenate([then[None], drawn])
    share = then.sum() / total.sum()
    # The two cells of a task differ from what is expected by the same amount.
    statistics = ((tables - share * total) ** 2 / (total * share * (1 - share))).sum(axis=1)
    return float(statistics[0]), _p_value(statistics)


def adjust(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted for their number by false discovery rate (Benjamini and Hochberg, 1995, JRSS B 57:289).

    >>> adjust([0.01, 0.04, 0.5])
    [0.03, 0.06, 0.5]
    """
    values = np.array(p_values)
    order = np.argsort(-values)
    ranks = len(values) - np.arange(len(values))
    adjusted = np.empty(len(values))
    adjusted[order] = np.minimum.accumulate(np.minimum(values[order] * len(values) / ranks, 1.0))
    return [float(value) for value in adjusted]


def nearest_distances(rows: NDArray[np.float32], reference: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return 1 − cosine of each row to the nearest of the reference; all of length one."""
    return np.asarray(1 - (rows @ reference.T).max(axis=1), np.float64)


def find_novel_distance(reference: NDArray[np.float32]) -> float:
    """Return the distance to the nearest other that 99 % of the reference do not exceed."""
    cosines = reference @ reference.T
    np.fill_diagonal(cosines, -np.inf)
    return float(np.quantile(1 - cosines.max(axis=1), _NOVEL_QUANTILE, method="higher"))


def find_suspects(sample: Sequence[LoggedPrompt], today: Traffic, reference: Reference) -> list[Suspect]:
    """Return the prompts to label, at most 200: the novel ones, the farthest first, then the others by confidence.

    Args:
        sample: n prompts.
        today: What the classifier sees in them.
        reference: What they are compared with.
    """
    distances = nearest_distances(today.embeddings, reference.embeddings)
    novel, confidence = distances > find_novel_distance(reference.embeddings), today.confidence()
    order = np.lexsort((confidence, np.where(novel, -distances, 0.0)))
    rows = order[(novel | today.unsure())[order]][:MOST_TO_LABEL]
    guesses = today.probabilities.argmax(axis=1)
    return [
        Suspect(
            entry=sample[i],
            task=today.tasks[int(guesses[i])],
            confidence=float(confidence[i]),
            distance=float(distances[i]),
            novel=bool(novel[i]),
        )
        for i in rows.tolist()
    ]


def write_suspects(path: Path, suspects: Iterable[Suspect]) -> None:
    """Write the prompts to label as CSV in the layout of labelled prompts, their tasks guessed; safe for a spreadsheet."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["prompt", "task"])
        writer.writerows([escape_formula(suspect.entry.text), escape_formula(suspect.task)] for suspect in suspects)


def _p_value(statistics: NDArray[np.float64]) -> float:
    """Return the share of permuted statistics as large as the first, the observed one counted among them."""
    return float((statistics >= statistics[0] - 1e-12).mean())


def _compare_share(name: str, then: tuple[int, int], now: tuple[int, int]) -> Shift:
    """Compare two proportions, each hits of n, by Fisher's exact test, which holds for few hits, too."""
    table = [[hits, n - hits] for hits, n in (then, now)]
    return Shift(name=name, then=then[0] / then[1], now=now[0] / now[1], p_value=float(fisher_exact(table)[1]))


def _compare_tasks(reference: Reference, counts: NDArray[np.int64]) -> list[Shift]:
    m, n = int(reference.counts.sum()), int(counts.sum())
    shifts = [
        _compare_share(task, (then, m), (now, n))
        for task, then, now in zip(reference.tasks, reference.counts.tolist(), counts.tolist(), strict=True)
    ]
    adjusted = adjust([shift.p_value for shift in shifts])
    shifts = [replace(shift, p_value=p_value) for shift, p_value in zip(shifts, adjusted, strict=True)]
    return sorted(shifts, key=lambda shift: (shift.p_value, -shift.now))
