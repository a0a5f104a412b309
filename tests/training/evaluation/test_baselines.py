import numpy as np
import pytest

from router.classify.keywords import KeywordRules
from tests.training.evaluation.rows import make_rows
from training.data.prompts import LabelledPrompt
from training.evaluation.baselines import cross_validated, predict_by_keywords, predict_by_tfidf, predict_majority

RULES = KeywordRules(precision=0.5, phrases={"math": ["solve"], "coding": ["regex"]})


def test_keyword_rules_fall_back_to_the_majority() -> None:
    train = make_rows("a/qa", "b/qa", "c/math")
    assert predict_majority(train, make_rows("x/math", "y/math")) == ["qa", "qa"]
    assert predict_by_keywords(RULES, train, make_rows("solve it/math", "hello/math", "a regex/qa")) == [
        "math",
        "qa",
        "coding",
    ]


def test_tfidf_separates_tasks_by_words() -> None:
    train = make_rows("solve it/math", "solve this/math", "a regex/coding", "the regex/coding")
    assert predict_by_tfidf(train, make_rows("solve/math", "regex/coding")) == ["math", "coding"]


@pytest.mark.parametrize(
    "train",
    [
        make_rows("今日は/qa", "さようなら/qa", "翻訳して/translation", "英語で/translation"),
        make_rows("one word/qa", "one more/qa"),
    ],
    ids=["no word occurs twice", "one task only"],
)
def test_tfidf_falls_back_to_the_majority_if_it_cannot_be_fitted(train: list[LabelledPrompt]) -> None:
    assert predict_by_tfidf(train, make_rows("x/qa")) == ["qa"]


def test_a_baseline_is_never_trained_on_the_fold_it_predicts() -> None:
    given = make_rows(*(f"{i}/qa" for i in range(9)))
    folds = np.array([0, 1, 2] * 3)
    seen: list[tuple[set[str], set[str]]] = []

    def predict(train: list[LabelledPrompt], test: list[LabelledPrompt]) -> list[str]:
        seen.append(({row.prompt for row in train}, {row.prompt for row in test}))
        return [f"task of {row.prompt}" for row in test]

    assert cross_validated(predict, given, folds) == [f"task of {i}" for i in range(9)]
    assert [held_out for _, held_out in seen] == [{"0", "3", "6"}, {"1", "4", "7"}, {"2", "5", "8"}]
    assert all(kept | held_out == set("012345678") and not kept & held_out for kept, held_out in seen)
