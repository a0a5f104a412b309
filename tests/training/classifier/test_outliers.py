from collections import Counter

from training.classifier.outliers import make_outliers, random_labels


def test_there_is_one_outlier_for_twenty_prompts_and_at_most_four_hundred() -> None:
    assert [len(make_outliers(n, seed=0)) for n in (0, 19, 20, 5000, 100_000)] == [0, 0, 1, 250, 400]


def test_outliers_depend_on_the_seed_and_hardly_repeat() -> None:
    texts = make_outliers(8000, seed=0)
    assert texts == make_outliers(8000, seed=0)
    assert texts != make_outliers(8000, seed=1)
    assert len(set(texts)) > 0.9 * len(texts)
    assert all(text.strip() for text in texts)
    assert sum("\n" in text for text in texts) > 20  # logs of several lines
    assert sum(not text.isascii() for text in texts) > 80


def test_random_labels_are_even_and_depend_on_the_seed() -> None:
    assert Counter(random_labels(28, 14, seed=0)) == dict.fromkeys(range(14), 2)
    assert random_labels(28, 14, seed=0) == random_labels(28, 14, seed=0) != random_labels(28, 14, seed="0 1")
    assert random_labels(0, 3, seed=0) == []
