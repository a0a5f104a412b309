import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.classify.features import BUCKETS, SURFACE, hashed_ngrams, surface_features

# crc32 modulo 2**15 of: w fix, w my, w code, p fix my, p my code, h and t of each word.
GOLDEN = [94, 1153, 6754, 7423, 12020, 23642, 23979, 27668, 29253, 31374, 31453]
ODD = st.one_of(st.text(max_size=300), st.sampled_from(["", "\ud800", "\0", "İ" * 9, "ﬁ ²", "٣" * 50, "a" * 9000]))


@pytest.mark.parametrize("seed", ["0", "1"])
def test_every_process_puts_a_text_into_the_same_buckets(seed: str) -> None:
    code = "from router.classify.features import hashed_ngrams; print(hashed_ngrams('Fix my code')[0].tolist())"
    environment = os.environ | {"PYTHONHASHSEED": seed}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(GOLDEN)


def test_eleven_ngrams_have_the_value_one_over_the_root_of_eleven() -> None:
    buckets, values = hashed_ngrams("Fix my code")
    assert buckets.tolist() == GOLDEN
    assert values == pytest.approx([0.3015113] * 11)


def test_case_does_not_matter_to_ngrams_and_repetition_counts_by_its_root() -> None:
    assert np.array_equal(hashed_ngrams("FIX MY CODE")[0], GOLDEN)
    # "a a": w a twice, p a a once, h a twice, t a twice: roots of 2, 1, 2, 2 over the root of 7
    assert sorted(hashed_ngrams("a a")[1].tolist()) == pytest.approx([1 / 7**0.5] + [(2 / 7) ** 0.5] * 3)


def test_only_the_first_and_last_sixty_words_count() -> None:
    edges = "start " * 60, " finish" * 60
    assert np.array_equal(hashed_ngrams("topic ".join(edges))[0], hashed_ngrams("".join(edges))[0])
    assert not np.array_equal(hashed_ngrams("topic".join(edges))[0], hashed_ngrams("topic " + "".join(edges))[0])


def test_each_letter_of_a_spaceless_script_is_a_word() -> None:
    assert np.array_equal(hashed_ngrams("翻译")[0], hashed_ngrams("翻 译")[0])


@given(ODD)
def test_any_text_gives_a_sparse_vector_of_length_one_or_an_empty_one(text: str) -> None:
    buckets, values = hashed_ngrams(text)
    assert (buckets.dtype, values.dtype, buckets.shape) == (np.int64, np.float32, values.shape)
    assert np.array_equal(np.unique(buckets), buckets)
    assert not buckets.size or (buckets[0] >= 0 and buckets[-1] < BUCKETS)
    assert not buckets.size or float(np.linalg.norm(values)) == pytest.approx(1, abs=1e-5)


@given(ODD)
def test_any_text_gives_a_finite_number_per_surface_feature(text: str) -> None:
    features = surface_features(text)
    assert (features.shape, features.dtype) == ((len(SURFACE),), np.float32)
    assert np.isfinite(features).all()


@pytest.mark.parametrize(
    ("text", "feature", "value"),
    [
        ("AbCd", "upper_share", 0.5),
        ("a1b2", "digit_share", 0.5),
        ("日本ab", "spaceless_script_share", 0.5),
        ("Why? ", "ends_question", 1.0),
        ("为什么？", "ends_question", 1.0),
        ("Why? Because.", "ends_question", 0.0),
        ("Translate:\nhola", "first_line_ends_colon", 1.0),
        ("```py```", "code_fence", 1.0),
        ("A) yes\nB) no\n", "options", np.log(3)),
        ("- a\n- b\n", "bullets", np.log(3)),
        ("\n \n  - a\n\n1. b", "bullets", np.log(3)),
        ("what is 3 + 4", "equations", np.log(2)),
        ("see https://example.org", "links", np.log(2)),
        ("", "log_chars", 0.0),
    ],
)
def test_a_surface_feature_has_the_value_that_its_name_describes(text: str, feature: str, value: float) -> None:
    assert surface_features(text)[SURFACE.index(feature)] == pytest.approx(value)
