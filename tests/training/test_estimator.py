"""The estimator of scikit-learn: scikit-learn's own checks, and the tools that users put around an estimator."""

import pickle
from pathlib import Path

import joblib
import msgspec
import numpy as np
import pandas as pd
import pytest
from onnx import TensorProto, helper, numpy_helper, save
from sklearn.base import clone
from sklearn.exceptions import NotFittedError, SkipTestWarning
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import check_estimator
from sklearn.utils.validation import validate_data
from tokenizers import Tokenizer, models, pre_tokenizers

from router import Estimate, ModelProfile, Router
from router.classify.encoder_record import EncoderRecord
from training.estimator import TaskClassifier

DIM, WORDS = 8, 64
UNAVOIDABLE = {"check_fit2d_1feature": "it draws a label with three rows, and a label must have five texts"}


@pytest.fixture(scope="module")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An encoder folder of the real form, with a random vector for each of a few words, for speed."""
    folder = tmp_path_factory.mktemp("tiny") / "encoder"
    folder.mkdir()
    words = {"[UNK]": 0, **{f"word{n}": n for n in range(1, WORDS)}}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))  # noqa: S106 - not a password
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    table = np.random.default_rng(0).normal(size=(WORDS, DIM)).astype(np.float32)
    ids = helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["n", "tokens"])
    vectors = helper.make_tensor_value_info("vectors", TensorProto.FLOAT, ["n", "tokens", DIM])
    node = helper.make_node("Gather", ["table", "input_ids"], ["vectors"])
    graph = helper.make_graph([node], "tiny", [ids], [vectors], [numpy_helper.from_array(table, "table")])
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), folder / "model.onnx")
    record = EncoderRecord(
        name="tiny",
        weights_sha256="0" * 64,
        dim=DIM,
        pooling="mean",
        normalize=True,
        prefix="",
        max_tokens=32,
        special_before=[0],
        special_after=[],
        precision="fp32",
        inputs=["input_ids"],
    )
    (folder / "encoder.json").write_bytes(msgspec.json.encode(record))
    return folder


class NumberClassifier(TaskClassifier):
    """The estimator on numbers instead of texts: each number becomes a word. So all checks of scikit-learn can run."""

    def _read_texts(self, X, *, reset: bool) -> list[str]:  # noqa: N803 - the name is scikit-learn's
        numbers = validate_data(self, X, reset=reset, dtype="numeric")
        # A coarse word that rows share, and a fine one that tells rows apart.
        words = [
            [f"c{place}v{round(float(value))} f{place}v{value:.4g}" for place, value in enumerate(row)] for row in numbers
        ]
        return [" ".join(row) for row in words]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.string, tags.input_tags.two_d_array = False, True
        return tags


# The same lines run thousands of times, which takes three times as long if each of them is counted.
@pytest.mark.no_cover
def test_it_passes_scikit_learns_checks(tiny_encoder: Path) -> None:
    results = check_estimator(
        NumberClassifier(encoder=tiny_encoder), expected_failed_checks=UNAVOIDABLE, on_skip=None, on_fail=None
    )
    failed = {result["check_name"]: str(result["exception"]) for result in results if result["status"] == "failed"}
    assert failed == {}
    assert {result["check_name"] for result in results if result["status"] == "xfail"} == set(UNAVOIDABLE)
    assert sum(result["status"] == "passed" for result in results) > 45


def test_as_an_estimator_of_texts_it_has_no_checks_of_its_own(tiny_encoder: Path) -> None:
    # As for scikit-learn's own vectorizers, because the checks only make numbers.
    with pytest.warns(SkipTestWarning, match="requires input  of type"):
        check_estimator(TaskClassifier(encoder=tiny_encoder))


def make_texts(n: int, seed: int = 0) -> tuple[list[str], list[str]]:
    """Return n texts of two labels, each of which has words of its own."""
    rng = np.random.default_rng(seed)
    words = {"even": range(2, WORDS, 2), "odd": range(1, WORDS, 2)}
    labels = [("even", "odd")[i % 2] for i in range(n)]
    return [" ".join(f"word{w}" for w in rng.choice(words[label], 4)) for label in labels], labels


def test_it_works_in_the_tools_of_scikit_learn(tiny_encoder: Path, tmp_path: Path) -> None:
    texts, labels = make_texts(60)
    classifier = TaskClassifier(encoder=tiny_encoder)
    pipeline = make_pipeline(FunctionTransformer(lambda column: [text.upper().lower() for text in column]), classifier)
    pipeline.fit(texts, labels)
    others, expected = make_texts(40, seed=1)
    assert pipeline.score(others, expected) > 0.9
    assert pipeline.predict_proba(others).shape == (40, 2)
    assert cross_val_score(classifier, texts, labels, cv=3).mean() > 0.9
    search = GridSearchCV(classifier, {"random_state": [0, 1]}, cv=2).fit(pd.Series(texts), np.array(labels, object))
    assert search.best_estimator_.score(others, expected) > 0.9
    # A copy and one that was written to a file answer as the original.
    joblib.dump(search.best_estimator_, tmp_path / "classifier.joblib")
    for copy in (joblib.load(tmp_path / "classifier.joblib"), pickle.loads(pickle.dumps(search.best_estimator_))):  # noqa: S301
        assert np.array_equal(copy.predict_proba(others), search.predict_proba(others))
    assert clone(classifier).get_params() == {"encoder": tiny_encoder, "n_jobs": None, "random_state": 0}


def test_labels_that_are_numbers_stay_in_their_order(tiny_encoder: Path) -> None:
    texts, labels = make_texts(40)
    numbers = [{"odd": 9, "even": 10}[label] for label in labels]
    classifier = TaskClassifier(encoder=tiny_encoder).fit(texts, numbers)
    assert classifier.classes_.tolist() == [9, 10]
    assert classifier.score(texts, numbers) > 0.9


def test_a_router_predicts_what_the_estimator_predicts(tiny_encoder: Path) -> None:
    texts, labels = make_texts(60)
    classifier = TaskClassifier(encoder=tiny_encoder).fit(texts, labels)
    models = {"even": "twos", "odd": "ones"}
    profiles = [
        ModelProfile(
            name=model, quality={each: Estimate(mean=0.9 if each == task else 0.4, stderr=0.01, n=99) for each in models}
        )
        for task, model in models.items()
    ]
    router = Router(profiles, classifier.classifier_)
    others, expected = make_texts(20, seed=1)
    for text, label, probabilities in zip(others, expected, classifier.predict_proba(others), strict=True):
        decision = router.route(text)
        assert decision.model == models[label]
        assert list(decision.prediction.probabilities.values()) == pytest.approx(probabilities)


@pytest.mark.parametrize(
    ("texts", "labels", "message"),
    [
        ("a text", ["a"], r"X must be a list of texts, got str; write \[text\] for one"),
        ([1, 2], ["a", "b"], "X must be a list of texts, got one with a int; pass one column of texts"),
        ([], [], r"X must have at least one text, got 0 sample\(s\)"),
        (["word1", "word2"], ["a", "b"], "each label must have at least 5 texts, got {'a': 1, 'b': 1}; add texts"),
        (["word1", "word2"] * 5, ["a", "b"] * 5, "X must have at least 5 different texts, got 2; add others"),
        (["word1", "word2"], ["a", "a"], "y must have at least 2 classes, got 1 class; add another label"),
    ],
)
def test_errors_name_rule_value_and_remedy(tiny_encoder: Path, texts: object, labels: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TaskClassifier(encoder=tiny_encoder).fit(texts, labels)


def test_it_must_be_fitted_first(tiny_encoder: Path) -> None:
    with pytest.raises(NotFittedError):
        TaskClassifier(encoder=tiny_encoder).predict(["word1"])
