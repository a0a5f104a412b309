"""What feedback and answers have taught, known to every process."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from router.score.feedback import Evidence
from router.state.settings import KEEP_S

if TYPE_CHECKING:
    from router.score.feedback import Learner
    from router.state.link import RedisLink


class SharedLearning:
    """Exchanges what a learner has learned.

    Args:
        learner: The learner.
        link: Leads to Redis.
        on_news: Called when other processes have learned something.
    """

    def __init__(self, learner: Learner, link: RedisLink, on_news: Callable[[], None]) -> None:
        self._learner, self._link, self._on_news = learner, link, on_news
        self._version = ""

    def exchange(self, *, has_forgotten: bool) -> None:
        """Tell what is new and hear what others have learned.

        Args:
            has_forgotten: Whether the server has lost its memory. The first process gives it back what all have learned.
        """
        if has_forgotten:
            everything = {
                (model, task): e for model, by_task in self._learner.export().items() for task, e in by_task.items()
            }
            self._learner.tell()
            self._tell(everything, only_to_empty=True)
        told = self._learner.tell()
        answer = self._tell(told)
        if answer is None:
            self._learner.take_back(told)
            return
        version, flat = answer[0].decode(), answer[1]
        if version == self._version:
            return
        self._version = version
        self._learner.hear(dict(map(_read, flat[::2], flat[1::2])))
        self._on_news()

    def flush(self) -> None:
        """Do nothing: what is learned can wait for the next exchange."""

    def _tell(self, told: dict[tuple[str, str], Evidence], *, only_to_empty: bool = False) -> Any:
        facts = {"\n".join(name): (e.n, e.score, e.answers, e.output_tokens) for name, e in told.items()}
        keys = [self._link.key("learned"), self._link.key("learned", "version")]
        known = [self._learner.memory, self._version, KEEP_S, msgspec.msgpack.encode(facts), int(only_to_empty)]
        return self._link.run("learn", keys, known, trial=True)


def _read(name: bytes, data: bytes) -> tuple[tuple[str, str], Evidence]:
    model, _, task = name.decode().partition("\n")
    n, score, answers, output_tokens = map(float, msgspec.msgpack.decode(data))
    return (model, task), Evidence(n=n, score=score, answers=answers, output_tokens=output_tokens)
