"""The metrics of one worker in, those of all workers behind the same port out."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from router.gateway.metrics import Metrics

# A worker that is busy for longer is left out this time.
_ANSWER_S = 2.0


class Siblings:
    """Asks the other workers for their metrics. Which worker a client reaches is chance, so any of them answers for all.

    Args:
        folder: Holds a socket of each worker. Only the user that runs them can open it.
        metrics: The metrics of this worker.
    """

    def __init__(self, folder: Path, metrics: Metrics) -> None:
        self._folder, self._metrics, self._name = folder, metrics, str(os.getpid())

    async def open(self) -> None:
        """Begin to answer the others."""
        self._server = await asyncio.start_unix_server(self._answer, self._folder / self._name)

    def close(self) -> None:
        """Answer no more."""
        self._server.close()
        (self._folder / self._name).unlink(missing_ok=True)

    async def write_metrics(self) -> bytes:
        """Return the metrics of all workers. The label `worker` is the number of the process."""
        others = [path for path in self._folder.iterdir() if path.name != self._name]
        texts = dict(zip([path.name for path in others], await asyncio.gather(*map(_ask, others)), strict=True))
        return _join({self._name: self._metrics.write(), **texts})

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        del reader
        writer.write(self._metrics.write())
        writer.close()


class _Families(Collector):
    """Metrics that others have collected."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        """Yield them."""
        yield from self._families


async def _ask(path: Path) -> bytes:
    """Return the metrics of a worker. Empty if it has ended, or is too busy."""
    try:
        async with asyncio.timeout(_ANSWER_S):
            reader, writer = await asyncio.open_unix_connection(path)
            try:
                return await reader.read()
            finally:
                writer.close()
    except OSError:
        return b""


def _join(texts: Mapping[str, bytes]) -> bytes:
    """Return one text of several, each with a label that says whose it is."""
    families: dict[str, Metric] = {}
    for worker, text in texts.items():
        for family in text_string_to_metric_families(text.decode()):
            whole = families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
            whole.samples += [sample._replace(labels=sample.labels | {"worker": worker}) for sample in family.samples]
    registry = CollectorRegistry()
    registry.register(_Families(families.values()))
    return generate_latest(registry)
