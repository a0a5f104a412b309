"""One connection to Redis that never makes its user wait for long, and that says once when it is gone."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.resources import files
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from router.errors import InputError

if TYPE_CHECKING:
    import redis

_log = logging.getLogger("contextual_llm_router")
# A server that comes and goes must not fill the log.
_QUIET_S = 60.0
_T = TypeVar("_T")


class RedisLink:
    """Runs scripts and commands. Thread-safe.

    After a failure every call returns None at once, until `recover` says that the server works again.

    Args:
        url: URL of the server. It may hold a password, so no message repeats it.
        prefix: Beginning of all keys.
        timeout_s: Seconds to wait for an answer.

    Attributes:
        failures: How often the server has not answered.
        problem: Why the server is not used now. None if it is used.
        epoch: The server's memory, by the name that the first process gave it. Another name: the server has forgotten.
        client: The client of redis-py.

    Raises:
        InputError: If the URL is invalid, or the package `redis` is missing.
    """

    def __init__(self, url: str, *, prefix: str, timeout_s: float) -> None:
        try:
            import redis
            from redis.backoff import NoBackoff
            from redis.retry import Retry
        except ImportError as error:
            raise InputError("shared state needs the package 'redis'; pip install 'contextual-llm-router[redis]'") from error
        try:
            self.client: redis.Redis = redis.Redis.from_url(
                url,
                socket_timeout=timeout_s,
                socket_connect_timeout=timeout_s,
                # A second try would double the time that a request waits.
                retry=Retry(NoBackoff(), 0),
            )
        except ValueError:
            raise InputError("the URL of the state must begin with redis://, rediss:// or unix://") from None
        # The braces put all keys into one slot of a cluster, so that one script may touch them.
        self._prefix = f"{{{prefix}}}"
        self._scripts: dict[str, Any] = {}
        self._errors = (redis.RedisError, OSError)
        self._logged_at = -_QUIET_S
        self.failures = 0
        self.problem: str | None = "not connected yet"
        self.epoch = ""

    def key(self, *names: str) -> str:
        """Return the key of something."""
        return ":".join((self._prefix, *names))

    def run(self, script: str, keys: Sequence[str], arguments: Sequence[object], *, trial: bool = False) -> Any:
        """Run the script in the file of that name. None if the server does not answer.

        Args:
            script: Name of the file, without `.lua`.
            keys: The keys that it touches.
            arguments: Its arguments.
            trial: Whether to try although the server did not answer the last time.
        """
        if script not in self._scripts:
            source = files("router.state").joinpath(f"{script}.lua").read_text(encoding="utf-8")
            self._scripts[script] = self.client.register_script(source)
        return self.ask(lambda: self._scripts[script](keys=list(keys), args=list(arguments)), trial=trial)

    def ask(self, question: Callable[[], _T], *, trial: bool = False) -> _T | None:
        """Return the answer to a question to the server. None if it does not answer.

        Args:
            question: Asks the server.
            trial: Whether to try although it did not answer the last time.
        """
        if self.problem is not None and not trial:
            return None
        try:
            return question()
        except self._errors as error:
            self.fail(error)
            return None

    def read(self, key: str, decoder: msgspec.msgpack.Decoder[_T]) -> _T | None:
        """Return the value of a key. None if there is none, the server does not answer, or another version wrote it."""
        value = self.ask(lambda: self.client.get(key))
        with suppress(msgspec.MsgspecError):
            return decoder.decode(value) if isinstance(value, bytes) else None
        return None

    def fail(self, error: Exception) -> None:
        """Do not use the server until it has recovered."""
        self.failures += 1
        # The class only: a message may hold the address or a key.
        was_up, self.problem = self.problem is None, type(error).__name__
        now = time.monotonic()
        if (was_up or self._logged_at == -_QUIET_S) and now - self._logged_at >= _QUIET_S:
            self._logged_at = now
            _log.warning("the shared state is gone (%s); this process goes on with its own", self.problem)

    def recover(self) -> None:
        """Use the server again."""
        if self.problem is not None and self._logged_at > -_QUIET_S:
            _log.info("the shared state is back")
        self.problem = None
