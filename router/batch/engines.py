"""A step of a batch and its blocks come in, the blocks that are done go out: on one machine, or on a Ray cluster."""

from __future__ import annotations

import logging
import multiprocessing
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing.connection import wait as wait_for
from typing import Any, Literal, Protocol

from router.batch.blocks import Block
from router.batch.job import Job
from router.batch.worker import Worker
from router.errors import InputError, RouterError

# The methods of a worker.
Step = Literal["decide", "score", "find_core", "spend"]
# Blocks that wait for each process, so that none is idle.
_WAITING = 2
# One processor each, on as many machines as there are. Ray starts an actor that died again, and does its block again.
# A block that kills four actors would kill every other one too.
_ACTOR: Mapping[str, Any] = {"num_cpus": 1, "max_restarts": -1, "max_task_retries": 3, "scheduling_strategy": "SPREAD"}
_RESUME = "run the same command again, and it goes on with the blocks that are left"


class Engine(Protocol):
    """Does blocks in parallel."""

    def run(self, step: Step, blocks: Sequence[Block]) -> Iterator[Block]:
        """Do a step for blocks, and return each one when it is done, in any order."""
        ...


class LocalEngine:
    """Processes of this machine, each with a router.

    Args:
        job: The batch.
        workers: Number of processes.
    """

    def __init__(self, job: Job, workers: int) -> None:
        self._workers = workers
        # Not forked, because ONNX Runtime and the tokenizers have threads.
        context = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_begin, initargs=(job,))

    def run(self, step: Step, blocks: Sequence[Block]) -> Iterator[Block]:
        """Do a step for blocks. Only few blocks are handed out at a time.

        Raises:
            RouterError: As the worker, or if a process died.
        """
        left = iter(blocks)
        running: dict[Future[None], Block] = {}
        try:
            while True:
                for block in islice(left, self._workers * _WAITING - len(running)):
                    running[self._pool.submit(_do, step, block)] = block
                if not running:
                    return
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    block = running.pop(future)
                    future.result()
                    yield block
        except BrokenProcessPool as error:
            raise RouterError(f"a process of the batch died, perhaps for lack of memory; {_RESUME}") from error

    def __enter__(self) -> LocalEngine:
        return self

    def __exit__(self, *error: object) -> None:
        self._pool.shutdown(cancel_futures=True)


class RayEngine:
    """Actors of a Ray cluster, each with a router. They do all steps, because a router takes seconds to load.

    All nodes must see the input, the model folder and the output folder under the same path.

    Args:
        job: The batch.
        workers: Number of actors.
        address: Address of a running cluster, or `auto`. None: that of this process, or else a new one on this machine.

    Raises:
        InputError: If Ray is not installed.
    """

    def __init__(self, job: Job, workers: int, address: str | None = None) -> None:
        try:
            import ray
        except ImportError as error:
            raise InputError("the engine ray needs Ray; pip install 'contextual-llm-router[ray]'") from error
        self._job, self._workers = job, workers
        self._starts = not ray.is_initialized()
        if self._starts:
            # Without an address, Ray would join any cluster that it finds on this machine.
            where = {"address": "local", "num_cpus": workers} if address is None else {"address": address}
            ray.init(**where, log_to_driver=False, logging_level=logging.WARNING)
        self._actors: list[Any] = []

    def run(self, step: Step, blocks: Sequence[Block]) -> Iterator[Block]:
        """Do a step for blocks.

        Raises:
            RouterError: As the worker.
        """
        import ray

        make = ray.remote(RayWorker).options(**_ACTOR)
        while len(self._actors) < min(self._workers, len(blocks)):
            self._actors.append(make.remote(self._job))
        waiting, left = iter(blocks), len(blocks)
        # An actor gets a block once it runs, because a cluster may have too few processors for all of them.
        under_way = {actor.get_ready.remote(): actor for actor in self._actors}
        try:
            while left:
                (done, *_), _ = ray.wait(list(under_way))
                actor, result = under_way.pop(done), ray.get(done)
                if (block := next(waiting, None)) is not None:
                    under_way[actor.do.remote(step, block)] = actor
                if result is None:
                    continue
                left -= 1
                finished, message = result
                if message:
                    raise RouterError(message)
                yield finished
        except ray.exceptions.RayError as error:
            raise RouterError(f"a worker failed with {type(error).__name__}; {_RESUME}") from error

    def __enter__(self) -> RayEngine:
        return self

    def __exit__(self, *error: object) -> None:
        import ray

        for actor in self._actors:
            ray.kill(actor)
        if self._starts:
            ray.shutdown()


class RayWorker:
    """An actor with a worker.

    Args:
        job: The batch.
    """

    def __init__(self, job: Job) -> None:
        self._worker = Worker(job)

    def get_ready(self) -> None:
        """Do nothing. It ends once the router is loaded."""

    def do(self, step: Step, block: Block) -> tuple[Block, str]:
        """Do a step for a block. Return the block, and what is wrong with it."""
        try:
            getattr(self._worker, step)(block)
        except RouterError as error:
            # Ray keeps only the text of an exception, with the whole stack around it.
            return block, str(error)
        return block, ""


# The worker of this process. It is made once per process, because it takes seconds.
_own: list[Worker] = []


def _begin(job: Job) -> None:
    """Make the worker of this process. End the process with its parent, which may be killed without a word."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_follow, args=(parent.sentinel,), daemon=True).start()
    _own[:] = [Worker(job)]


def _follow(sentinel: int) -> None:
    wait_for([sentinel])
    os._exit(1)


def _do(step: Step, block: Block) -> None:
    getattr(_own[0], step)(block)
