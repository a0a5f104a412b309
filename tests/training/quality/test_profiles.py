import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.data.facts import ModelFacts
from training.data.results import Result, Results
from training.quality.outcomes import pivot
from training.quality.profiles import learn_models


def result(model: str, task: str, score: float, n: float | None = 1000, benchmark: str = "x", **usage: float) -> Result:
    return Result(model=model, task=task, score=score, n=n, benchmark=benchmark, **usage)


def answer(model: str, prompt: str, score: float, task: str = "", **usage: float) -> Result:
    return Result(model=model, prompt=prompt, task=task, score=score, n=1, **usage)


def learn(results: list[Result], tasks: tuple[str, ...] = ("qa", "math"), **options: object) -> dict[str, dict[str, float]]:
    return {p.name: {t: e.mean for t, e in p.quality.items()} for p in learn_models(results, {}, tasks, **options).profiles}


def test_more_prompts_bring_the_estimate_closer_to_the_measured_mean() -> None:
    background = [result("b", "qa", 0.6), result("b", "math", 0.3), result("c", "qa", 0.5), result("c", "math", 0.4)]
    gaps = [
        abs(learn([result("a", "qa", 0.5, n), result("a", "math", 0.9, n), *background])["a"]["math"] - 0.9)
        for n in (3, 10, 30, 100, 1000, 10_000)
    ]
    assert gaps == sorted(gaps, reverse=True)
    assert gaps[0] > 0.1
    assert gaps[-1] < 0.01


def test_a_model_measured_only_on_the_harder_benchmark_does_not_look_weak() -> None:
    # All models are 0.5 worse on the hard benchmark. On its own one, each of a and c is 0.1 above b.
    both = {"b": 0.8, "d": 0.7, "e": 0.6}
    easy, hard = {"a": 0.9, **both}, {"c": 0.4, **{m: s - 0.5 for m, s in both.items()}}
    quality = learn(
        [result(m, "qa", s, benchmark="easy") for m, s in easy.items()]
        + [result(m, "qa", s, benchmark="hard") for m, s in hard.items()],
        tasks=("qa",),
    )
    assert quality["c"]["qa"] > quality["b"]["qa"] + 0.05
    assert quality["c"]["qa"] == pytest.approx(quality["a"]["qa"], abs=0.02)


def test_a_task_without_a_score_gets_what_the_model_scores_elsewhere_and_what_others_score_there() -> None:
    # Model i is at 0.4 + 0.05 i on qa, and every model is 0.1 worse on coding and 0.2 worse on math. The last one was not
    # measured on math: 0.4 + 0.05 · 7 - 0.2 = 0.55.
    tasks = {"qa": 0.0, "coding": -0.1, "math": -0.2}
    rows = [result(f"m{i}", t, 0.4 + 0.05 * i + d, 1e6) for i in range(8) for t, d in tasks.items() if (i, t) != (7, "math")]
    profiles = learn_models(rows, {}, tuple(tasks)).profiles
    guess = profiles[7].quality["math"]
    assert guess.n == 0
    assert guess.mean == pytest.approx(0.55, abs=0.02)
    assert guess.stderr > profiles[6].quality["math"].stderr


def test_a_variant_tells_more_of_a_model_than_another_model_does() -> None:
    rows = [result(f"m{i}", t, 0.4 + 0.05 * i, 1000) for i in range(8) for t in ("qa", "math", "coding")]
    effort = {"reasoning_effort": "high"}
    rows += [result("known@high", t, 0.9, 1000) for t in ("qa", "math", "coding")]
    facts = {"known@high": ModelFacts(request=effort)}
    related, alone = (
        next(
            p
            for p in learn_models([*rows, result(name, "qa", 0.8, 3)], facts, ("qa", "math", "coding")).profiles
            if p.name == name
        )
        for name in ("known", "unknown")
    )
    assert related.quality["math"].mean > alone.quality["math"].mean
    assert related.quality["math"].stderr < alone.quality["math"].stderr


def test_price_tells_of_a_model_that_was_never_measured_on_a_task() -> None:
    # Quality rises with price, so of two models with the same single score the dearer one is expected to be better.
    facts = {f"m{i}": ModelFacts(input_usd_per_mtok=2.0**i, output_usd_per_mtok=2.0**i) for i in range(8)}
    rows = [result(f"m{i}", t, 0.4 + 0.05 * i, 1000) for i in range(8) for t in ("qa", "math")]
    facts |= {"cheap": ModelFacts(input_usd_per_mtok=1.0, output_usd_per_mtok=1.0)}
    facts |= {"dear": ModelFacts(input_usd_per_mtok=128.0, output_usd_per_mtok=128.0)}
    rows += [result(name, "qa", 0.6, 5) for name in ("cheap", "dear")]
    quality = {p.name: p.quality["math"].mean for p in learn_models(rows, facts, ("qa", "math")).profiles}
    assert quality["cheap"] + 0.1 < quality["dear"]


def test_a_model_without_a_result_gets_inferred_qualities_with_wide_errors() -> None:
    facts = {f"m{i}": ModelFacts(input_usd_per_mtok=2.0**i, output_usd_per_mtok=2.0**i) for i in range(8)}
    facts |= {"new": ModelFacts(provider="x", input_usd_per_mtok=32.0, output_usd_per_mtok=32.0)}
    rows = [result(f"m{i}", t, 0.4 + 0.05 * i + 0.04 * (-1) ** i, 1000) for i in range(8) for t in ("qa", "math")]
    *known, new = learn_models(rows, facts, ("qa", "math")).profiles
    assert [p.name for p in known] == [f"m{i}" for i in range(8)]
    assert (new.name, new.provider, new.input_usd_per_mtok) == ("new", "x", 32.0)
    for task in ("qa", "math"):
        # Models of its price score about 0.65.
        assert new.quality[task].mean == pytest.approx(0.65, abs=0.06)
        assert new.quality[task].stderr > 2 * known[5].quality[task].stderr
        assert new.quality[task].n == 0


def test_models_that_answered_different_prompts_are_compared_on_the_same_ones() -> None:
    # The new model answered the easy half of the prompts, each of the others all of them.
    rows = [answer(m, f"p{i}", float(i < n), task="qa") for m, n in (("a", 60), ("b", 55), ("c", 50)) for i in range(100)]
    rows += [answer("new", f"p{i}", float(i < 45), task="qa") for i in range(50)]
    plain, compared = (
        {p.name: p.quality["qa"] for p in learn_models(rows, {}, ("qa",), outcomes=outcomes).profiles}
        for outcomes in (None, pivot(Results.of(rows)))
    )
    assert plain["new"].mean > plain["a"].mean + 0.1
    assert compared["new"].mean < compared["a"].mean + 0.03
    assert compared["new"].n == 50


def test_a_row_without_a_task_counts_by_the_classifiers_probabilities() -> None:
    asked: list[tuple[str, ...]] = []

    def probabilities(prompts: tuple[str, ...]) -> np.ndarray:
        asked.append(tuple(prompts))
        return np.array([[1.0, 0.0] if prompt.startswith("q") else [0.25, 0.75] for prompt in prompts])

    rows = [answer(m, f"{kind}{i}", s) for i in range(40) for m, kind, s in [("a", "q", 1), ("a", "m", 0), ("b", "m", 1)]]
    profiles = {p.name: p for p in learn_models(rows, {}, ("qa", "math"), task_probabilities=probabilities).profiles}
    assert asked == [tuple(dict.fromkeys(row.prompt for row in rows))]
    assert {t: e.n for t, e in profiles["a"].quality.items()} == {"qa": 50, "math": 30}  # 40 + 40/4 and 40 · 3/4
    assert {t: e.n for t, e in profiles["b"].quality.items()} == {"qa": 10, "math": 30}
    assert profiles["a"].quality["qa"].mean > 0.6
    assert profiles["a"].quality["math"].mean < 0.4
    assert profiles["b"].quality["math"].mean > 0.6


def test_rows_without_a_task_need_a_classifier() -> None:
    with pytest.raises(ValueError, match="1 prompts name no task and there is no classifier to predict it"):
        learn_models([answer("a", "hello", 1), answer("b", "hello", 0)], {}, ("qa", "math"))


def test_a_weight_below_one_prompt_is_no_evidence() -> None:
    quality = (
        learn_models(
            [answer("a", "hello", 1)], {}, ("qa", "math"), task_probabilities=lambda prompts: np.full((len(prompts), 2), 0.5)
        )
        .profiles[0]
        .quality
    )
    assert [estimate.n for estimate in quality.values()] == [0, 0]


def test_costs_seconds_and_tokens_are_means_over_prompts() -> None:
    profile = learn_models(
        [
            result("a", "qa", 0.5, 30, cost_usd=0.1, latency_s=1.0, output_tokens=100.0),
            result("a", "qa", 0.5, 10, cost_usd=0.5, output_tokens=500.0),
            result("a", "math", 0.5, 40, latency_s=3.0),
        ],
        {"a": ModelFacts(provider="P", input_usd_per_mtok=2.0, context_window=100, capabilities=frozenset({"tools"}))},
        ("qa", "math"),
    ).profiles[0]
    assert profile.cost_usd == pytest.approx(0.2)  # (30 · 0.1 + 10 · 0.5) / 40
    assert profile.latency_s == pytest.approx((30 * 1 + 40 * 3) / 70)
    assert profile.output_tokens == {"qa": pytest.approx(200.0)}
    assert (profile.provider, profile.input_usd_per_mtok, profile.output_usd_per_mtok) == ("P", 2.0, None)
    assert (profile.context_window, profile.capabilities) == (100, frozenset({"tools"}))


def test_usage_of_a_row_without_a_task_counts_by_the_classifiers_probabilities() -> None:
    rows = [answer("a", "p", 1, output_tokens=100.0, cost_usd=0.5), answer("a", "q", 1, output_tokens=300.0, cost_usd=0.1)]
    table = {"p": [0.25, 0.75], "q": [0.75, 0.25]}
    profile = learn_models(
        rows, {}, ("qa", "math"), task_probabilities=lambda some: np.array([table[p] for p in some])
    ).profiles[0]
    assert profile.output_tokens == {"qa": pytest.approx(250.0), "math": pytest.approx(150.0)}
    assert profile.cost_usd == pytest.approx(0.3)


def test_columns_and_rows_give_the_same_profiles() -> None:
    rows = [result(m, t, s, 50, b) for m, s in [("b", 0.2), ("a", 0.9)] for t in ("qa", "math") for b in ("x", "y")]
    unused = [result("z", "coding", 0.5, benchmark="w"), answer("y", "p", 1)]
    columns = Results.of([*unused, *rows]).take(np.arange(2, 10))
    assert learn_models(columns, {}, ("qa", "math")).profiles == learn_models(rows, {}, ("qa", "math")).profiles


def test_a_task_that_is_not_in_tasks_is_refused() -> None:
    with pytest.raises(ValueError, match="must name only the tasks qa, got math too; remove those rows"):
        learn_models([result("a", "qa", 0.5), result("a", "math", 0.5)], {}, ("qa",))


def test_a_row_with_neither_task_nor_prompt_is_refused() -> None:
    with pytest.raises(ValueError, match="must have a task or a prompt"):
        learn_models([result("a", "", 0.5)], {}, ("qa",), task_probabilities=lambda some: np.ones((len(some), 1)))


@pytest.mark.parametrize("other", ["a", "b"], ids=["one model alone", "no task shared"])
def test_a_well_measured_score_stays_if_models_cannot_be_compared(other: str) -> None:
    quality = learn([result("a", "qa", 0.9, 10_000), result(other, "math", 0.3, 10_000)])
    assert quality["a"]["qa"] == pytest.approx(0.9, abs=0.03)
    assert quality[other]["math"] == pytest.approx(0.3, abs=0.03)


def test_a_task_without_any_score_is_an_average_one() -> None:
    quality = learn([result("a", "qa", 0.9), result("b", "qa", 0.5)], tasks=("qa", "advice"))
    assert quality["a"]["advice"] > quality["b"]["advice"]
    assert quality["a"]["advice"] == pytest.approx(0.85, abs=0.15)


def test_profiles_come_in_the_order_of_first_appearance() -> None:
    results = [result("z", "qa", 0.5), result("a", "qa", 0.5), result("z", "math", 0.5), result("m", "qa", 0.5)]
    assert list(learn(results)) == ["z", "a", "m"]


def test_one_good_result_on_an_otherwise_unmeasured_task_does_not_raise_the_others() -> None:
    rows = [result(m, t, s + d) for m, s in [("a", 0.5), ("b", 0.6), ("c", 0.7)] for t, d in [("qa", 0.1), ("math", -0.2)]]
    quality = learn([*rows, result("specialist", "coding", 0.99)], tasks=("qa", "math", "coding"))
    assert quality["specialist"]["coding"] > 0.9
    assert quality["specialist"]["qa"] < quality["c"]["qa"]
    assert quality["specialist"]["math"] < quality["c"]["math"]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.lists(
        st.builds(
            result,
            st.sampled_from("abcd"),
            st.sampled_from(["qa", "math", "coding"]),
            st.floats(0, 1),
            st.none() | st.floats(1, 1e6),
            st.sampled_from(["x", "y"]),
        ),
        min_size=1,
        max_size=12,
    )
)
def test_qualities_stay_in_range_and_the_order_of_rows_does_not_matter(results: list[Result]) -> None:
    tasks = ("qa", "math", "coding", "advice")
    profiles = learn_models(results, {}, tasks).profiles
    assert [profile.name for profile in profiles] == list(dict.fromkeys(row.model for row in results))
    backwards = learn(results[::-1], tasks=tasks)
    for profile in profiles:
        assert set(profile.quality) == set(tasks)
        for task, estimate in profile.quality.items():
            assert 0 <= estimate.mean <= 1
            assert 0 < estimate.stderr < 2
            assert backwards[profile.name][task] == pytest.approx(estimate.mean, abs=1e-4)
