import threading

import pytest

from router import Estimate, InputError, ModelProfile
from router.score.feedback import Evidence, Learner, update_estimate
from tests.router.fakes import model

MATH = {"math": 1.0}


def test_the_posterior_is_that_of_the_formula() -> None:
    # Precisions: 1 / 0.1² = 100 and 25 / 0.25 = 100: halfway, and √(1/200).
    posterior = update_estimate(Estimate(mean=0.4, stderr=0.1, n=7), n=25, mean=0.8)
    assert (posterior.mean, posterior.stderr, posterior.n) == pytest.approx((0.6, 0.0707, 32), abs=1e-4)


def test_a_prior_without_error_still_learns() -> None:
    # 1 / 0.02² = 2,500 against 2,500 scores / 0.25 = 10,000.
    assert update_estimate(Estimate(mean=0.0, stderr=0.0, n=1), n=2500, mean=1.0).mean == pytest.approx(0.8)


def test_bad_answers_lower_only_the_quality_of_their_model_and_task() -> None:
    learner = Learner([_wide("a"), _wide("b")])
    for _ in range(50):
        learner.add_score("a", MATH, 0.0)
    a, b = learner.profiles()
    assert a.quality["math"].mean < 0.1
    assert a.quality["coding"] == _wide("a").quality["coding"]
    assert b == _wide("b")


def test_a_prompt_counts_for_a_task_with_its_probability() -> None:
    learner = Learner([_wide("a")])
    learner.add_score("a", {"math": 0.75, "coding": 0.25, "writing": 0.0}, 1.0)
    assert learner.export() == {"a": {"math": Evidence(n=0.75, score=0.75), "coding": Evidence(n=0.25, score=0.25)}}


def test_memory_is_bounded_and_a_change_is_noticed() -> None:
    learner = Learner([_wide("a")], memory=100)
    for score in [1.0] * 1000 + [0.0] * 300:
        learner.add_score("a", MATH, score)
    known = learner.export()["a"]["math"]
    assert known.n == pytest.approx(100)
    assert known.score == pytest.approx(100 * 0.99**300)  # each report removes a hundredth of the evidence before it
    assert learner.profiles()[0].quality["math"].mean < 0.1


def test_a_full_memory_outweighs_the_most_certain_prior() -> None:
    sure = ModelProfile(name="a", quality={"math": Estimate(mean=0.9, stderr=0.0, n=1e6)})
    learner = Learner([sure], memory=100)
    for _ in range(50):
        learner.add_score("a", MATH, 0.0)
    # Half of the prior's precision 1 / 0.02² = 2,500 is left, against 50 / 0.25 = 200.
    assert learner.profiles()[0].quality["math"].mean == pytest.approx(0.9 * 1250 / 1450)
    for _ in range(50):
        learner.add_score("a", MATH, 0.0)
    found = learner.profiles()[0].quality["math"]
    assert (found.mean, found.stderr) == pytest.approx((0.0, 0.05))  # √(0.25 / 100)


def test_lengths_move_from_those_of_the_profile_to_the_observed() -> None:
    learner = Learner([model("a", output_tokens={"math": 100.0})])
    for _ in range(10):
        learner.add_length("a", MATH, 300)
    assert learner.profiles()[0].output_tokens["math"] == pytest.approx(
        200
    )  # ten answers against the ten that the profile counts for
    learner.add_length("a", {"writing": 1.0}, 50)
    assert learner.profiles()[0].output_tokens["writing"] == 50  # nothing was known


@pytest.mark.parametrize("tokens", [float("nan"), float("inf"), -1.0])
def test_an_invalid_length_is_ignored(tokens: float) -> None:
    learner = Learner([_wide("a")])
    learner.add_length("a", MATH, tokens)
    assert learner.export() == {}


@pytest.mark.parametrize("score", [-0.1, 1.1, float("nan"), True, "1", None])
def test_a_score_out_of_range_is_refused(score: object) -> None:
    with pytest.raises(InputError, match=r"score must be a number between 0 and 1"):
        Learner([_wide("a")]).add_score("a", MATH, score)  # type: ignore[arg-type]


def test_an_unknown_model_and_a_memory_of_zero_are_refused() -> None:
    with pytest.raises(InputError, match=r"must name one of \['a'\], got 'z'"):
        Learner([_wide("a")]).add_score("z", MATH, 1.0)
    with pytest.raises(InputError, match="memory must be a positive number"):
        Learner([_wide("a")], memory=0)


def test_the_reports_of_all_threads_count() -> None:
    learner = Learner([_wide("a")], memory=1e6)
    threads = [threading.Thread(target=lambda: [learner.add_score("a", MATH, 1.0) for _ in range(500)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert learner.export()["a"]["math"].n == 4000


def _wide(name: str) -> ModelProfile:
    return ModelProfile(name=name, quality={task: Estimate(mean=0.5, stderr=0.2, n=3) for task in ("math", "coding")})
