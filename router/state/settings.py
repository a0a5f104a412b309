"""Where the shared state is, as one value."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from router.errors import InputError

if TYPE_CHECKING:
    from router.state.shared import SharedState

# A process that tells nothing for so long counts as dead, and its requests in flight as ended.
LEASE_S = 10
# Keys that nobody uses are forgotten after a day.
KEEP_S = 86_400
# Commands that are sent together. More would not be answered in time.
MOST_AT_ONCE = 500
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PREFIX = re.compile(r"[A-Za-z0-9_.:-]{1,64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisState:
    """A Redis or Valkey server that keeps what several routers know together.

    Attributes:
        url_env: Name of the environment variable with the URL, such as `redis://:password@host:6379/0`.
        prefix: Beginning of all keys. Routers with the same prefix share their state.
        timeout_s: Seconds to wait for an answer, > 0. Without one, the router goes on with what it knows itself.
        sync_s: Seconds between two exchanges, > 0 and at most 10. Events that matter are told at once.

    Raises:
        InputError: If a value is out of range.

    >>> RedisState(url_env="REDIS_URL", prefix="team-a").sync_s
    0.25
    """

    url_env: str = "REDIS_URL"
    prefix: str = "llm-router"
    timeout_s: float = 0.05
    sync_s: float = 0.25

    def __post_init__(self) -> None:
        # A URL may hold a password, so the error does not repeat it.
        if not _VARIABLE.fullmatch(self.url_env):
            raise InputError("url_env of the state must be the name of an environment variable; put the URL into it")
        if not _PREFIX.fullmatch(self.prefix):
            raise InputError(f"prefix of the state must have 1 to 64 letters, digits or _.:-, got {self.prefix!r}")
        for name, most in (("timeout_s", 60.0), ("sync_s", 10.0)):
            value = getattr(self, name)
            if not (isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= most):
                raise InputError(f"{name} of the state must be above 0 and at most {most:g}, got {value!r}")

    def connect(self) -> SharedState:
        """Return the shared state. The server need not run yet.

        Raises:
            InputError: If the variable is empty, its URL is invalid, or the package `redis` is missing.
        """
        from router.state.shared import SharedState

        url = os.environ.get(self.url_env, "").strip()
        if not url:
            raise InputError(f"the environment variable {self.url_env} must hold the URL of a Redis server; set it")
        return SharedState(self, url)
