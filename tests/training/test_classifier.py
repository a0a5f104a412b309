import dataclasses
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from router.classifier import CONTINUES, softmax
from router.encoder import OnnxEncoder
from router.features import SURFACE
from router.heads import Features
from router.keywords import KeywordRules
from training import classifier
from training.classifier import (
    CS,
    FOLDS,
    PARTS,
    FeatureBlocks,
    Part,
    choose_judged,
    choose_threshold,
    default_cache,
    draw_searched,
    featurize,
    fit_classifier,
    fit_mixture,
    fit_path,
    fit_temperature,
    fold_outliers,
    head_logits,
    measure_precision,
    mix_heads,
    split_folds,
    spread_continues,
)
from training.outliers import texts_without_request

RULES = KeywordRules(precision=0.5, phrases={"math": ["solve"], "coding": ["regex"]})


class Spy(LogisticRegression):
    """A logistic regression that keeps what it says of its own design."""

    said: list[np.ndarray] = []  # noqa: RUF012 - emptied by the fixture

    def fit(self, design: object, targets: np.ndarray) -> "Spy":
        super().fit(design, targets)
        self.said.append(self.predict_proba(design))
        return self


@pytest.fixture
def spy(monkeypatch: pytest.MonkeyPatch) -> type[Spy]:
    monkeypatch.setattr(Spy, "said", [])
    monkeypatch.setattr(classifier, "LogisticRegression", Spy)
    return Spy


@pytest.fixture(scope="module")
def texts(small) -> list[str]:
    return [row["prompt"] for row in small.prompts]


@pytest.fixture(scope="module")
def targets(small) -> np.ndarray:
    return np.array([["coding", "math", "translation"].index(row["task"]) for row in small.prompts])


@pytest.fixture(scope="module")
def encoder(encoder_folder: Path) -> OnnxEncoder:
    return OnnxEncoder.load(encoder_folder)


@pytest.fixture(scope="module")
def features(texts: list[str], encoder: OnnxEncoder) -> FeatureBlocks:
    return featurize(texts, encoder)


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("n_labels", [2, 3])
def test_heads_say_what_scikit_learn_says(
    spy: type[Spy], features: FeatureBlocks, targets: np.ndarray, n_labels: int, part: Part
) -> None:
    rows = np.flatnonzero(targets < n_labels)
    path = fit_path(features.take(rows), targets[rows], CS[part], n_labels, part)
    assert len(path) == len(spy.said) == len(CS[part])
    for heads, said in zip(path, spy.said, strict=True):
        assert softmax(head_logits(heads, features.take(rows))) == pytest.approx(said, abs=1e-5)


def test_training_and_serving_compute_the_same_logits(
    features: FeatureBlocks, texts: list[str], targets: np.ndarray, encoder: OnnxEncoder
) -> None:
    parts = {part: fit_path(features, targets, (3.0,), 3, part)[0] for part in PARTS}
    heads = mix_heads(parts, {"embedding": 0.6, "words": 0.4})
    served = [heads.apply(Features.of(text, vector)) for text, vector in zip(texts, encoder.encode(texts), strict=True)]
    assert head_logits(heads, features) == pytest.approx(np.array(served, np.float64), abs=1e-4)


@pytest.mark.parametrize("seen", [(0, 2), (0, 1, 3)])
def test_a_label_that_was_not_seen_gets_no_chance(features: FeatureBlocks, seen: tuple[int, ...]) -> None:
    targets = np.array(seen)[np.arange(len(features.embedding)) % len(seen)]
    probabilities = softmax(head_logits(fit_path(features, targets, (1.0,), 4, "words")[0], features))
    unseen = [label for label in range(4) if label not in seen]
    assert probabilities[:, unseen].max() < 1e-6
    assert probabilities[:, list(seen)].min() > 1e-6


def test_the_temperature_of_logits_that_are_three_times_too_large_is_three_times_as_large() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(4000, 5)) * 2
    targets = np.array([rng.choice(5, p=p) for p in softmax(logits)])
    assert fit_temperature(logits, targets) == pytest.approx(1, abs=0.1)
    assert fit_temperature(3 * logits, targets) == pytest.approx(3 * fit_temperature(logits, targets), rel=1e-3)


def test_the_mixture_finds_the_weights_and_the_temperature_that_drew_the_tasks() -> None:
    rng = np.random.default_rng(0)
    embedding, words = rng.normal(size=(2, 20_000, 4))
    targets = np.array([rng.choice(4, p=p) for p in softmax(1.5 * embedding + 0.5 * words)])
    mixture, temperature = fit_mixture({"embedding": embedding, "words": words}, targets)
    assert mixture == pytest.approx({"embedding": 0.75, "words": 0.25}, abs=0.02)
    assert temperature == pytest.approx(0.5, abs=0.02)


def test_a_part_that_misleads_weighs_nothing() -> None:
    rng, targets = np.random.default_rng(0), np.arange(1000) % 2
    right, wrong = (np.eye(2)[targets] * rng.normal(mean, 3, size=(1000, 1)) for mean in (2, -2))
    mixture, _ = fit_mixture({"embedding": right, "words": wrong}, targets)
    assert mixture == pytest.approx({"embedding": 1.0, "words": 0.0}, abs=0.1)


def test_what_the_encoder_was_tuned_on_is_never_held_out(features: FeatureBlocks, small) -> None:
    tasks = [row["task"] for row in small.prompts]
    seen = np.arange(len(tasks)) % 2 == 0
    fitted = fit_classifier(features, tasks, [str(i) for i in range(len(tasks))], seen=seen, jobs=1)
    assert fitted.judged.tolist() == np.flatnonzero(~seen).tolist()
    assert fitted.probabilities.shape == (len(fitted.judged), 3)
    assert ((fitted.folds == -1) == seen).all()


def test_outliers_teach_but_are_not_judged(features: FeatureBlocks, small, encoder: OnnxEncoder) -> None:
    tasks, groups = [row["task"] for row in small.prompts], [str(i) for i in range(len(small.prompts))]
    outliers = featurize(texts_without_request(800, seed=0), encoder)
    with_them, without = (fit_classifier(features, tasks, groups, outliers=given, jobs=1) for given in (outliers, None))
    assert with_them.judged.tolist() == without.judged.tolist() == list(range(len(tasks)))
    assert with_them.folds.tolist() == without.folds.tolist()
    assert with_them.probabilities.shape == without.probabilities.shape
    assert all(logits.shape == with_them.probabilities.shape for logits in with_them.parts.values())
    assert not np.allclose(with_them.heads.embedding, without.heads.embedding)


def test_of_very_many_prompts_some_are_searched_by_group(
    monkeypatch: pytest.MonkeyPatch, features: FeatureBlocks, small
) -> None:
    tasks, groups = [row["task"] for row in small.prompts], [str(i // 2) for i in range(len(small.prompts))]
    targets = np.array([["coding", "math", "translation"].index(task) for task in tasks])
    assert draw_searched(targets, groups, seed=0).all()
    monkeypatch.setattr(classifier, "_MOST_SEARCHED", 3 * 23)  # half of the 45
    searched = draw_searched(targets, groups, seed=0)
    assert 20 <= searched.sum() <= 25
    assert np.bincount(targets[searched]).min() >= 5
    assert not {groups[i] for i in np.flatnonzero(searched)} & {groups[i] for i in np.flatnonzero(~searched)}
    fitted = fit_classifier(features, tasks, groups, jobs=1)
    assert fitted.judged.tolist() == np.flatnonzero(searched).tolist()
    assert fitted.probabilities.shape == (len(fitted.judged), 3)
    assert (fitted.folds[~searched] == -1).all()


@pytest.mark.parametrize(("n", "n_judged", "held_out"), [(40, 780, 39), (40, 45, 2), (2, 780, 2), (0, 780, 0), (9, 19, 0)])
def test_outliers_are_held_out_in_proportion(n: int, n_judged: int, held_out: int) -> None:
    folds = fold_outliers(n, n_judged)
    assert (len(folds), (folds >= 0).sum()) == (n, held_out)
    assert set(folds.tolist()) <= {-1, *range(FOLDS)}


def test_where_all_was_seen_all_is_held_out() -> None:
    targets, groups = np.arange(20) % 2, [str(i) for i in range(20)]
    assert choose_judged(targets, groups, np.ones(20, np.bool_)).tolist() == list(range(20))
    assert choose_judged(targets, groups, np.arange(20) > 3).tolist() == list(range(20))  # four are too few to split
    assert choose_judged(targets, groups, np.arange(20) > 11).tolist() == list(range(12))


def test_the_threshold_is_the_highest_below_which_at_most_a_third_is_right() -> None:
    # Right are the guesses at 0.6, 0.8 and 0.9. Below 0.71 one of three is right, at 0.81 two of four are.
    confidence = np.array([0.5, 0.6, 0.7, 0.8, 0.9])
    right = np.array([False, True, False, True, True])
    none = np.empty(0)
    assert choose_threshold(confidence, right, none) == 0.8
    assert choose_threshold(confidence[[1, 2, 3]], right[[1, 2, 3]], none) == 0.0
    # Three texts that ask for nothing count as a hundredth of the five: below 0.61 one and that is wrong, one is right.
    assert choose_threshold(confidence[1:], right[1:], np.array([0.55, 0.58, 0.59])) == 0.6


def test_precision_by_hand() -> None:
    # Three fit, two of them are right: (2 + 1) / (3 + 2).
    said = measure_precision(["solve x", "solve y", "a regex", "hello"], ["math", "qa", "coding", "math"], RULES)
    assert said == pytest.approx(0.6)
    assert measure_precision(["hello"], ["qa"], RULES) == 0.5


@pytest.mark.parametrize("seed", range(5))
def test_groups_never_straddle_folds_and_tasks_are_spread(seed: int) -> None:
    rng = np.random.default_rng(seed)
    groups, targets = rng.integers(0, 60, 300).astype(str).tolist(), rng.integers(0, 3, 300)
    folds = split_folds(targets, groups, seed=seed)
    assert len(set(zip(groups, folds.tolist(), strict=True))) == len(set(groups))
    assert np.bincount(folds, minlength=FOLDS).min() > 30
    assert (folds == split_folds(targets, groups, seed=seed)).all()


def test_a_cached_embedding_equals_a_fresh_one_and_is_not_computed_again(counting_encoder, tmp_path: Path) -> None:
    fresh = featurize(["one", "two", "one"], counting_encoder).embedding
    assert counting_encoder.asked == 2  # the second "one" is known already
    first = featurize(["one", "two", "one"], counting_encoder, cache=tmp_path).embedding
    assert counting_encoder.asked == 4
    second = featurize(["one", "two", "one"], counting_encoder, cache=tmp_path).embedding
    assert counting_encoder.asked == 4
    assert np.array_equal(fresh, first)
    assert np.array_equal(fresh, second)
    counting_encoder.sha256 = "1" * 64  # another encoder does not get them
    featurize(["one"], counting_encoder, cache=tmp_path)
    assert counting_encoder.asked == 5


def test_the_cache_is_private_to_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache() == tmp_path / "contextual-llm-router"
    assert default_cache().stat().st_mode & 0o777 == 0o700


def test_held_out_probabilities_do_not_look_at_the_held_out_tasks(features: FeatureBlocks, small) -> None:
    tasks = [row["task"] for row in small.prompts]
    groups = [str(i) for i in range(len(tasks))]
    fitted = fit_classifier(features, tasks, groups, jobs=1)
    assert fitted.labels == ("coding", "math", "translation")
    assert all(fitted.cs[part] in CS[part] for part in PARTS)
    assert fitted.probabilities.sum(axis=1) == pytest.approx(1)
    right = np.array([fitted.labels[i] for i in fitted.probabilities.argmax(axis=1)]) == tasks
    assert 0.5 < right.mean() <= 1
    # Prompts that all look the same cannot be told apart by anything but their own task.
    blind = dataclasses.replace(
        features.take(np.zeros(len(tasks), np.int64)), surface=np.zeros((len(tasks), len(SURFACE)), np.float32)
    )
    unfitted = fit_classifier(blind, tasks, groups, jobs=1)
    guessed = np.array([unfitted.labels[i] for i in unfitted.probabilities.argmax(axis=1)]) == tasks
    assert guessed.mean() <= 0.4


def test_a_task_that_stands_in_one_group_only_is_fitted_though_it_cannot_be_tested(features: FeatureBlocks) -> None:
    tasks = ["coding" if i < 12 else "math" for i in range(len(features.embedding))]
    fitted = fit_classifier(features, tasks, ["one" if task == "coding" else str(i) for i, task in enumerate(tasks)], jobs=1)
    assert fitted.probabilities[:12, 0].max() <= 0.5
    assert np.isfinite(fitted.heads.bias).all()


def test_turns_that_go_on_teach_a_label_but_are_no_task(features: FeatureBlocks, small) -> None:
    tasks = [row["task"] for row in small.prompts]
    tasks = [CONTINUES if task == "math" else task for task in tasks]
    fitted = fit_classifier(features, tasks, [str(i) for i in range(len(tasks))], jobs=1)
    assert fitted.labels == ("coding", CONTINUES, "translation")
    assert fitted.tasks == ("coding", "translation")
    own = [i for i, task in enumerate(tasks) if task != CONTINUES]
    assert fitted.judged.tolist() == own
    assert np.flatnonzero(fitted.folds >= 0).tolist() == own
    assert fitted.probabilities.shape == (len(own), 2)
    assert fitted.probabilities.sum(axis=1) == pytest.approx(1)
    assert {part.shape for part in fitted.parts.values()} == {(len(own), 2)}
    going_on, not_going_on = fitted.follow_ups
    assert (len(going_on), len(not_going_on)) == (15, 30)
    assert going_on.mean() > not_going_on.mean()


def test_what_goes_on_is_spread_evenly_over_the_tasks() -> None:
    spread = spread_continues(("a", CONTINUES, "b"), np.array([[0.5, 0.2, 0.3], [0.0, 1.0, 0.0]]))
    assert spread == pytest.approx(np.array([[0.6, 0.4], [0.5, 0.5]]))
