"""Labelled prompts in; time, parity and traffic of fits over a Ray cluster out, beside those of this machine.

    python benchmarks/cluster.py [--n 4096] [--cs 1] [--workers 1 2 4] [--nodes 4] [--texts 200] [--seed 0]

Each row fits both parts of the classifier on all prompts, once for each of the first `--cs` strengths. The prompts are those
of `data/prompts.csv`, and their vectors those of the shipped model folder. `--nodes` adds a run on several nodes, which have
one processor each and share no memory, and a run that encodes `--texts` prompts there.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import ray
from ray.cluster_utils import Cluster
from sklearn.linear_model import LogisticRegression

from router.classify.classifier import softmax
from router.classify.encoder import OnnxEncoder
from router.model_folder.load import find_model_folder
from training.classifier.engine import Engine, FitJob, LocalEngine
from training.classifier.features import encode_in_threads, featurize
from training.classifier.known_vectors import read_vectors
from training.classifier.linear import CS, PARTS, Design, Fit, Part, make_design, weigh_rare
from training.cluster import engine as cluster_engine
from training.cluster.engine import RayEngine
from training.data.prompts import read_prompts

ROOT = Path(__file__).parent.parent
MEMORY = 200 * 2**20


class Traffic:
    """Counts the bytes of the vectors that the driver puts and gets, and the rounds, in place of Ray's functions."""

    def __init__(self) -> None:
        self.out = self.back = self.rounds = 0

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count while this is open."""
        put, get = ray.put, ray.get

        def counting_put(value: Any) -> Any:
            self.out += value.nbytes if isinstance(value, np.ndarray) else 0
            return put(value)

        def counting_get(parts: list[Any]) -> list[Any]:
            found = get(parts)
            self.rounds += 1
            self.back += sum(part.nbytes for part in found)
            return found

        cluster_engine.ray.put, cluster_engine.ray.get = counting_put, counting_get
        try:
            yield
        finally:
            cluster_engine.ray.put, cluster_engine.ray.get = put, get


def fit_all(
    engine: Engine, designs: Mapping[Part, Design], targets: np.ndarray, n_labels: int, cs: int
) -> tuple[dict[Part, list[Fit]], dict[Part, float], dict[Part, Traffic]]:
    """Return the fits of each part, the seconds, and the traffic."""
    fit = engine.load(designs, targets, n_labels)
    rows = np.arange(len(targets))
    # The first call waits for the processes.
    list(fit([FitJob(part="embedding", rows=rows[:200], cs=(0.01,))]))
    fits, seconds, traffic = {}, {}, {}
    for part in PARTS:
        traffic[part], start = Traffic(), time.perf_counter()
        with traffic[part].counted():
            (fits[part],) = fit([FitJob(part=part, rows=rows, cs=CS[part][:cs])])
        seconds[part] = time.perf_counter() - start
    return fits, seconds, traffic


def find_optimum(design: Design, targets: np.ndarray, cs: int) -> list[np.ndarray]:
    """Return the probabilities of scikit-learn for each C, in double precision and up to a gradient of 1e-8."""
    exact = design.matrix.astype(np.float64)
    model = LogisticRegression(solver="newton-cg", tol=1e-8, max_iter=1000, warm_start=True)
    weights = weigh_rare(targets)
    return [
        model.set_params(C=c).fit(exact, targets, sample_weight=weights).predict_proba(exact) for c in CS[design.part][:cs]
    ]


def differ(fits: list[Fit], design: Design, others: list[np.ndarray]) -> float:
    """Return the largest difference of a probability from others."""
    return max(
        float(np.abs(softmax(fit.logits(design.matrix)) - other).max()) for fit, other in zip(fits, others, strict=True)
    )


def main() -> None:
    """Fit everywhere and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=4096)
    parser.add_argument("--cs", type=int, default=1)
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 2, 4])
    parser.add_argument("--nodes", type=int, default=4)
    parser.add_argument("--texts", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

    rows = read_prompts(ROOT / "data" / "prompts.csv").rows
    rows = [rows[i] for i in np.random.default_rng(given.seed).permutation(len(rows))[: given.n]]
    model = find_model_folder()
    encoder = OnnxEncoder.load(model / "encoder")
    features = featurize([row.prompt for row in rows], encoder, known=read_vectors(model))
    labels, targets = np.unique([row.task for row in rows], return_inverse=True)
    designs = {part: make_design(features, part) for part in PARTS}
    print(f"n = {len(rows)}, seed {given.seed}, {os.cpu_count()} processors")
    for part, design in designs.items():
        print(f"{part}: {design.matrix.shape[1]} columns × {len(labels)} labels, C {CS[part][: given.cs]}")
    optima = {part: find_optimum(design, targets, given.cs) for part, design in designs.items()}

    def show(name: str, engine: Engine) -> dict[Part, list[Fit]]:
        fits, seconds, traffic = fit_all(engine, designs, targets, len(labels), given.cs)
        for part in PARTS:
            print(
                f"{name:22} {part:9} {seconds[part]:7.1f} s  {traffic[part].rounds:5} steps  "
                f"out {traffic[part].out / max(traffic[part].rounds, 1) / 1e6:6.2f} MB/step to each node  "
                f"back {traffic[part].back / max(traffic[part].rounds, 1) / 1e6:6.2f} MB/step  "
                f"differs from the optimum by {differ(fits[part], designs[part], optima[part]):.1e}",
                flush=True,
            )
        return fits

    local = show("this machine", LocalEngine(jobs=1))
    first = None
    for workers in given.workers:
        ray.init("local", num_cpus=workers, object_store_memory=MEMORY, include_dashboard=False, log_to_driver=False)
        fits = show(f"{workers} workers", RayEngine(workers))
        ray.shutdown()
        first = first or fits
        same = all(
            np.array_equal(one.weights, other.weights)
            for part in PARTS
            for one, other in zip(fits[part], first[part], strict=True)
        )
        print(f"{'':22} the same bits as the first: {same}", flush=True)
    for part in PARTS:
        here, there = (
            [softmax(fit.logits(designs[part].matrix)).argmax(axis=1) for fit in fits[part]]
            for fits in (local, first or local)
        )
        share = np.mean([np.mean(a == b) for a, b in zip(here, there, strict=True)])
        print(f"{part}: {share:.2%} of the predictions are those of this machine")

    if given.nodes:
        nodes = {"num_cpus": 1, "object_store_memory": MEMORY, "include_dashboard": False}
        cluster = Cluster(initialize_head=True, head_node_args=nodes)
        for _ in range(given.nodes - 1):
            cluster.add_node(num_cpus=1, object_store_memory=MEMORY)
        ray.init(cluster.address, log_to_driver=False)
        engine = RayEngine(given.nodes)
        fits = show(f"{given.nodes} nodes", engine)
        print(f"{'':22} the same bits: {all(np.array_equal(fits[p][-1].weights, first[p][-1].weights) for p in PARTS)}")
        texts = [row.prompt for row in rows[: given.texts]]
        for name, encode in (("this machine", encode_in_threads), (f"{given.nodes} nodes", engine.encode)):
            start = time.perf_counter()
            vectors = np.stack(list(encode(texts, encoder)))
            seconds = time.perf_counter() - start
            characters = np.mean([len(text.encode()) for text in texts])
            print(
                f"{name:22} encodes {len(texts)} texts in {seconds:.1f} s; bytes per text: {characters:.0f} out, "
                f"{vectors[0].nbytes} back"
            )
        ray.shutdown()
        cluster.shutdown()


if __name__ == "__main__":
    main()
