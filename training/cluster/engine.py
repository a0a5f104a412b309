"""A Ray cluster in, an engine out that encodes and fits on its processors."""

from __future__ import annotations

import itertools
import logging
import os
import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import ray
from ray.util import ActorPool

from router.errors import InputError
from router.types import Encoder
from training.classifier.engine import FitJob, Fitter
from training.classifier.linear import Design, Fit, Part
from training.cluster.encoding import EncodingActor
from training.cluster.optimum import fit_sums
from training.cluster.shard import BLOCK_ROWS, Problem, Shard

if TYPE_CHECKING:
    from numpy.typing import NDArray

_CONNECT_S = 5.0

# Texts that an actor encodes at once: half a second's work. They are lost if it dies, and another one encodes them again.
_BLOCK_TEXTS = 32

# One processor each, on as many machines as there are. Ray starts an actor that died again and repeats what it was doing.
# A block that kills four actors would kill every other one too.
_ACTOR: Mapping[str, Any] = {"num_cpus": 1, "max_restarts": -1, "max_task_retries": 3, "scheduling_strategy": "SPREAD"}


@contextmanager
def open_ray(address: str | None = None, *, workers: int | None = None) -> Iterator[RayEngine]:
    """Connect to a Ray cluster, and disconnect in the end. If this process is connected already, it stays so.

    Args:
        address: Address of a running cluster. Each machine of it needs this version of this package. None: a cluster on this
            machine is started, and stopped in the end.
        workers: Number of processes. None: one for each processor of the cluster.

    Raises:
        InputError: If nothing answers at the address.
    """
    if address is not None:
        _check_address(address)
    connected = ray.is_initialized()
    if not connected:
        # Ray would send statistics about its use to its makers.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        dashboard = None if address else False
        ray.init(address or "local", include_dashboard=dashboard, log_to_driver=False, logging_level=logging.ERROR)
    try:
        yield RayEngine(workers or int(ray.cluster_resources()["CPU"]))  # type: ignore[no-untyped-call]  # Ray types only a part
    finally:
        if not connected:
            ray.shutdown()


def _check_address(address: str) -> None:
    """Raise an error if nothing answers at an address. Ray itself would try for two minutes and then end the process."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=_CONNECT_S).close()
    except (OSError, ValueError) as error:
        raise InputError(
            f"address must be HOST:PORT of a running Ray cluster, got {address!r} ({error}); `ray start --head` starts one"
        ) from error


class RayEngine:
    """Encodes and fits on the processors of the Ray cluster that this process is connected to. See `Engine`.

    The vectors are those of this machine if the processors are of its kind. The fits are the same for any number of workers.

    Args:
        workers: Number of processes that work at the same time.
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers

    def encode(self, texts: Sequence[str], encoder: Encoder, /) -> Iterator[NDArray[np.float32]]:
        """Yield the vector of each text, in the order of the texts."""
        blocks = [texts[start : start + _BLOCK_TEXTS] for start in range(0, len(texts), _BLOCK_TEXTS)]
        # The encoder travels as the bytes of its files, because the machines need not share a disk.
        files = ray.put(encoder)
        actor = ray.remote(EncodingActor).options(**_ACTOR)
        pool = ActorPool([actor.remote(files) for _ in range(min(self._workers, len(blocks)))])
        for vectors in pool.map(lambda actor, block: actor.encode.remote(block), blocks):
            yield from vectors

    def load(self, designs: Mapping[Part, Design], targets: NDArray[np.int64], n_labels: int, /) -> Fitter:
        """Divide the rows among actors, which keep them, and return what fits on them."""
        blocks = -(-len(targets) // BLOCK_ROWS)
        shards = min(self._workers, blocks)
        cuts = [*(blocks * shard // shards * BLOCK_ROWS for shard in range(shards)), len(targets)]
        actor = ray.remote(Shard).options(**_ACTOR)
        spans = list(itertools.pairwise(cuts))
        rows = [ray.put({part: design.matrix[slice(*span)] for part, design in designs.items()}) for span in spans]
        actors = [actor.remote(kept, targets[slice(*span)], span[0]) for kept, span in zip(rows, spans, strict=True)]
        columns = {part: design.matrix.shape[1] for part, design in designs.items()}
        return _ClusterFits(actors, rows, columns, targets, n_labels)


class _ClusterFits:
    """Fits jobs one after the other. In each step of a fit, all shards work."""

    def __init__(
        self,
        actors: Sequence[Any],
        rows: Sequence[Any],
        columns: Mapping[Part, int],
        targets: NDArray[np.int64],
        n_labels: int,
    ) -> None:
        self._actors, self._columns, self._targets, self._n_labels = actors, columns, targets, n_labels
        # Ray deletes what has no reference, and an actor that is started again gets its rows again.
        self._rows = rows
        self._numbers = itertools.count()
        self._sent: dict[str, tuple[Any, Any]] = {}

    def __call__(self, jobs: Sequence[FitJob]) -> Iterable[list[Fit]]:
        for job in jobs:
            number, columns = next(self._numbers), self._columns[job.part]
            yield fit_sums(self._sum, number, job, self._targets, self._n_labels, columns=columns)

    def _sum(
        self, problem: Problem, point: NDArray[np.float64], direction: NDArray[np.float64] | None = None
    ) -> NDArray[np.int64]:
        """Return the sum over the shards, see `Sums`."""
        sent = [self._send("problem", problem), self._send("point", point)]
        if direction is None:
            parts = [actor.evaluate.remote(*sent) for actor in self._actors]
        else:
            sent.append(ray.put(direction))
            parts = [actor.multiply.remote(*sent) for actor in self._actors]
        total: NDArray[np.int64] = np.sum(ray.get(parts), axis=0)
        return total

    def _send(self, name: str, value: Any) -> Any:
        """Return the reference of a value. The value of the same name before stays if it is the same."""
        before = self._sent.get(name)
        if before is None or not _same(before[0], value):
            # The optimiser may change its point in place.
            before = self._sent[name] = (value.copy() if isinstance(value, np.ndarray) else value, ray.put(value))
        return before[1]


def _same(one: Any, other: Any) -> bool:
    return np.array_equal(one, other) if isinstance(one, np.ndarray) else one is other
