"""A benchmark with prompts in, the value of routing out: against baselines, by size, without signal, and in seconds.

python benchmarks/routing.py gain zeroeval_train.csv.gz     # five seeds, fitted on 80 % of the prompts, scored on the rest
python benchmarks/routing.py curve zeroeval_train.csv.gz    # the same with 50, 200, 1,000 and all of the 80 %
python benchmarks/routing.py risk zeroeval_train.csv.gz     # max_loss=0.02 on 100 random halves of held-out prompts
python benchmarks/routing.py nothing zeroeval_train.csv.gz  # verdicts with shuffled scores, and with one dominating model
python benchmarks/routing.py time                           # 50,000 synthetic prompts, the most that are fitted, 16 models
"""

import resource
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from scipy import sparse

from router.classify.features import BUCKETS, SURFACE
from router.model_folder.load import find_model_folder, load_model_folder
from router.types import Preference
from training.classifier.features import FeatureBlocks, default_cache, featurize
from training.data.benchmark import BenchmarkSet, read_benchmark
from training.data.results import Results
from training.quality.dial import choose, find_knee, measure_risk
from training.quality.expectations import TableBuilder, make_table_builder
from training.quality.outcomes import Outcomes, pivot, split_groups
from training.quality.prompt_heads import fit_prompt_heads
from training.quality.prompt_table import FeatureClassifier, PromptTable, make_prompt_table
from training.quality.sample import MAX_PROMPTS
from training.verdict.baselines import sweep_baselines
from training.verdict.bootstrap import interval_of, resample
from training.verdict.cross_fit import fit_and_expect
from training.verdict.curves import curve_figures
from training.verdict.evaluate import evaluate_choices
from training.verdict.evaluation import RoutingEvaluation
from training.verdict.pair import pick_pair
from training.verdict.score_table import complete_prompts, tabulate
from training.verdict.sweep import Sweep, sweep_prices, sweep_router

SEEDS = range(5)
MAX_LOSS, CONFIDENCE, RESPLITS, SHUFFLES, SHUFFLED_PROMPTS = 0.02, 0.95, 100, 100, 800

# The verdict's limits were chosen after looking at shuffles 0 to 59. So those seeds cannot test it.
FIRST_SHUFFLE = 100


def load(path: Path) -> tuple[BenchmarkSet, Outcomes, PromptTable]:
    """Read a benchmark and classify its prompts with the shipped model folder."""
    folder = find_model_folder()
    classifier = load_model_folder(folder).classifier
    if classifier is None:
        sys.exit("the shipped model folder has no classifier; install the package again")
    benchmark = read_benchmark(path, tasks=classifier.tasks)
    outcomes = pivot(benchmark.results, benchmark.facts)
    head = FeatureClassifier(labels=classifier.labels, heads=classifier.heads, temperature=classifier.temperature)
    encode = partial(featurize, encoder=classifier.encoder, cache=default_cache())  # type: ignore[arg-type]
    return benchmark, outcomes, make_prompt_table(outcomes.prompts, classifier.tasks, head, encode)


def assess(
    outcomes: Outcomes,
    prompts: PromptTable,
    build_table: TableBuilder,
    train: np.ndarray,
    test: np.ndarray,
    *,
    seed: int,
    beside: bool = True,
) -> tuple[RoutingEvaluation, list[Sweep], Outcomes]:
    """Fit on the `train` prompts. Return the evaluation, the swept routers and the outcomes of the `test` prompts."""
    expected = fit_and_expect(build_table, outcomes, prompts, train, test, seed=seed, jobs=-1)
    tested = outcomes.take(test)
    router = sweep_router(expected, find_knee(expected))
    baselines = sweep_baselines(outcomes.take(train), tested, seed=seed) if beside else []
    strong, weak = pick_pair(tested)
    gain = expected.quality[:, strong] - expected.quality[:, weak]
    return evaluate_choices(router, gain, baselines, tested, name="", seed=seed), [router, *baselines], tested


def measure_gain(path: Path) -> None:
    """Print AIQ, cost at 95 % of the best quality, and APGR of the router and the baselines, over five seeds."""
    benchmark, outcomes, prompts = load(path)
    build_table = make_table_builder(benchmark, outcomes, prompts)
    figures, apgr, names = [], [], []
    for seed in SEEDS:
        test = split_groups(outcomes, 5, seed=seed) == 0
        evaluation, dials, tested = assess(outcomes, prompts, build_table, ~test, test, seed=seed)
        whole = complete_prompts(tested)
        table = tabulate(tested.take(whole), seed)
        figures.append([resample(partial(curve_figures, table, dial.choices[:, whole]), table) for dial in dials])
        apgr.append(evaluation.pair.apgr.value if evaluation.pair else np.nan)
        names = [dial.name for dial in dials]
        print(f"seed {seed}: n {evaluation.n}, APGR {apgr[-1]:.3f}; {evaluation.verdict.sentence}", flush=True)
    mean = np.mean(figures, axis=0)  # over seeds, for every resample
    print(f"{path.name}: means over {len(SEEDS)} seeds, fitted on 80 %, bootstrap over the prompts of each test set")
    print(f"{'':12} {'AIQ':>7}  {'router minus this':>26}  {'USD/1,000 at 95 %':>18}  router / this")
    for name, drawn in zip(names, mean, strict=True):
        lead = interval_of(mean[0][:, 0] - drawn[:, 0])
        print(
            f"{name:12} {drawn[0, 0]:7.4f}  {lead.value:+.4f} [{lead.low:+.4f}, {lead.high:+.4f}]"
            f"  {1000 * drawn[0, 1]:18.3f}  {mean[0][0, 1] / drawn[0, 1]:.2f}"
        )
    print(f"APGR of the best and the cheapest model: {np.mean(apgr):.3f}")


def measure_curve(path: Path) -> None:
    """Print AIQ by the number of training prompts."""
    benchmark, outcomes, prompts = load(path)
    build_table = make_table_builder(benchmark, outcomes, prompts)
    print(f"{path.name}: AIQ on the other 20 %, means over {len(SEEDS)} seeds")
    print(f"{'prompts':>8} {'router':>8} {'task table':>11} {'kNN-40':>8} {'ridge':>8} {'zero':>8}")
    for size in (50, 200, 1000, len(outcomes.prompts)):
        by_seed = []
        for seed in SEEDS:
            test = split_groups(outcomes, 5, seed=seed) == 0
            drawn = np.random.default_rng(seed).permutation(np.flatnonzero(~test))[:size]
            train = np.isin(np.arange(len(test)), drawn)
            evaluation, _, _ = assess(outcomes, prompts, build_table, train, test, seed=seed)
            by_seed.append({router.name: router.aiq.value for router in evaluation.routers})
        names = ("router", "task table", "kNN-40", "ridge", "zero router")
        means = [np.mean([aiq[name] for aiq in by_seed]) for name in names]
        print(
            f"{int(train.sum()):8} {means[0]:8.4f} {means[1]:11.4f} {means[2]:8.4f} {means[3]:8.4f} {means[4]:8.4f}",
            flush=True,
        )


def measure_risk_control(path: Path) -> None:
    """Choose a tolerance on half of the held-out prompts, and print the loss on the other half."""
    benchmark, outcomes, prompts = load(path)
    fitted = fit_prompt_heads(outcomes, prompts, make_table_builder(benchmark, outcomes, prompts))
    held_out = fitted.held_out
    losses, savings, wholes = [], [], []
    for seed in range(RESPLITS):
        half = split_groups(outcomes, 2, seed=seed) == 0
        parts = [held_out.take(rows) for rows in (half, ~half)]
        curve = measure_risk(parts[0], outcomes.take(half))
        if curve is None:
            sys.exit(f"{path} has too few prompts to measure a loss; add prompts")
        reference, tolerance = outcomes.models.index(curve.reference), curve.choose(MAX_LOSS, CONFIDENCE)
        preference = Preference(reference=curve.reference, tolerance=tolerance)
        other = outcomes.take(~half)
        chosen = choose(parts[1], preference, reference=reference)
        rows = np.arange(len(chosen))
        losses.append(float(np.nanmean(other.score[:, reference] - other.score[rows, chosen])))
        everywhere = choose(held_out, preference, reference=reference)
        of_all = outcomes.score[:, reference] - outcomes.score[np.arange(len(everywhere)), everywhere]
        wholes.append(float(np.nanmean(of_all)))
        savings.append(1 - np.nansum(other.cost_usd[rows, chosen]) / np.nansum(other.cost_usd[:, reference]))
    over, truly = np.array(losses) > MAX_LOSS, np.array(wholes) > MAX_LOSS
    print(
        f"{path.name}: max_loss={MAX_LOSS}, confidence={CONFIDENCE}, {RESPLITS} halves: mean loss {np.mean(losses):.4f}, "
        f"95th percentile {np.quantile(losses, 0.95):.4f}; above {MAX_LOSS} in {over.sum()} halves, and on all prompts "
        f"(less noise) in {truly.sum()}; saved {np.mean(savings):.0%}"
    )


def measure_nothing(path: Path) -> None:
    """Print the number of verdicts to route on shuffled scores, and the verdict if one model dominates."""
    benchmark, outcomes, prompts = load(path)
    row_of = {prompt: row for row, prompt in enumerate(outcomes.prompts)}
    rows, began, wrong = benchmark.results, time.perf_counter(), 0
    model_of = {model: column for column, model in enumerate(outcomes.models)}
    columns = np.array([model_of[model] for model in rows.models])[rows.model]
    places = np.array([row_of[prompt] for prompt in rows.prompts])[rows.prompt]
    for seed in range(FIRST_SHUFFLE, FIRST_SHUFFLE + SHUFFLES):
        rng = np.random.default_rng(seed)
        score, cost = outcomes.score.copy(), outcomes.cost_usd.copy()
        for column in range(score.shape[1]):
            order = rng.permutation(len(score))
            score[:, column], cost[:, column] = score[order, column], cost[order, column]
        shuffled = replace(outcomes, score=score, cost_usd=cost)
        results = replace(rows, score=np.nan_to_num(score[places, columns]), cost_usd=cost[places, columns])
        drawn = rng.permutation(len(score))[:SHUFFLED_PROMPTS]
        train, test = (np.isin(np.arange(len(score)), part) for part in np.array_split(drawn, 2))
        table = make_table_builder(replace(benchmark, results=results), shuffled, prompts)
        evaluation, _, _ = assess(shuffled, prompts, table, train, test, seed=seed, beside=False)
        wrong += evaluation.verdict.route
    print(
        f"{path.name}: {wrong} of {SHUFFLES} shuffled tables routed ({SHUFFLED_PROMPTS // 2} prompts to fit, "
        f"{SHUFFLED_PROMPTS // 2} to test; {time.perf_counter() - began:.0f} s)"
    )
    best = outcomes.score.copy()
    best[:, 0] = np.maximum(best.max(axis=1), best[:, 0])
    cheap = outcomes.cost_usd.copy()
    cheap[:, 0] = np.nanmin(cheap)
    dominated = replace(outcomes, score=best, cost_usd=cheap)
    dial = sweep_prices("router", np.nan_to_num(best), np.nan_to_num(cheap))
    evaluation = evaluate_choices(dial, np.zeros(len(best)), [], dominated, name="", seed=0)
    print(evaluation.verdict.sentence)


def measure_time(n: int = MAX_PROMPTS, m: int = 16) -> None:
    """Print the seconds and the peak memory of fitting after encoding, for n prompts and m models."""
    rng = np.random.default_rng(0)
    embedding = rng.normal(size=(n, 384)).astype(np.float32)
    words = sparse.random(n, BUCKETS, density=100 / BUCKETS, format="csr", dtype=np.float32, random_state=0)
    features = FeatureBlocks(
        embedding=embedding / np.linalg.norm(embedding, axis=1, keepdims=True),
        lexical=words.multiply(1 / np.sqrt(words.multiply(words).sum(axis=1))).tocsr(),
        surface=rng.random((n, len(SURFACE))).astype(np.float32),
    )
    tasks = tuple(f"task {i}" for i in range(14))
    score = (rng.random((n, m)) < 1 / (1 + np.exp(-2 * embedding[:, :m]))).astype(float)
    cost = np.exp(rng.normal(size=(n, m)) - 7)
    model = np.tile(np.arange(m, dtype=np.int32), n)
    prompt = np.repeat(np.arange(n, dtype=np.int32), m)
    task = rng.integers(0, 14, n).astype(np.int32)
    unknown = np.full(n * m, np.nan)
    results = Results(
        models=tuple(f"model {i}" for i in range(m)),
        tasks=tasks,
        benchmarks=("",),
        prompts=tuple(f"prompt {i}" for i in range(n)),
        groups=("",) * n,
        model=model,
        task=task[prompt],
        benchmark=np.zeros(n * m, np.int32),
        prompt=prompt,
        score=score.ravel(),
        n=np.ones(n * m),
        cost_usd=cost.ravel(),
        input_tokens=unknown,
        output_tokens=unknown,
        latency_s=unknown,
    )
    prompts = PromptTable(
        features=features,
        probabilities=rng.dirichlet(np.full(14, 0.1), n),
        tasks=tasks,
        tokens=np.full((n, 1), 100),
    )
    benchmark = BenchmarkSet(results=results, facts={}, sha256="")
    began = time.perf_counter()
    outcomes = pivot(results)
    fitted = fit_prompt_heads(outcomes, prompts, make_table_builder(benchmark, outcomes, prompts))
    took = time.perf_counter() - began
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    kept = len(fitted.fits["quality"].kept)
    print(f"{n} prompts × {m} models: {took:.0f} s; peak memory {peak_mb:.0f} MB; kept on {kept} tasks")


if __name__ == "__main__":
    measure, *paths = sys.argv[1:] or ["time"]
    measures = {"gain": measure_gain, "curve": measure_curve, "risk": measure_risk_control, "nothing": measure_nothing}
    if measure == "time":
        measure_time()
    for path in paths:
        measures[measure](Path(path))
