"""The headers of a request in, the client that sent it out, within its limits."""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from router.config.schema import KeyConfig
from router.errors import BudgetExceededError, ConfigError, RouterError
from router.execution.limits import RateLimit, RateLimiter, SpendCap, SpendTracker

if TYPE_CHECKING:
    from router.state.limits import SharedRateLimiter, SharedSpendTracker
    from router.state.shared import SharedState

# A shorter key can be guessed.
_SHORTEST_KEY = 16


class NotAllowedError(RouterError):
    """A request has no key of a client, or a wrong one."""


class NotOperatorError(RouterError):
    """A client asks for the requests of all clients and is no operator."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """Somebody who may send requests.

    Attributes:
        name: Name of the client. Empty if no key is needed.
        models: Models that the client may use. Empty: all.
        operator: Whether the client may see the requests of all clients.
        spend: Its budget. None: no limit.
    """

    name: str = ""
    models: tuple[str, ...] = ()
    operator: bool = True
    spend: SpendTracker | SharedSpendTracker | None = field(default=None, repr=False)


class Clients:
    """The clients of a configuration.

    Args:
        keys: The clients by name. Empty: nobody needs a key.
        state: What several gateways share. None: each counts for itself.

    Raises:
        ConfigError: If the variable of a client holds no key, a short one, or that of another client.
    """

    def __init__(self, keys: Mapping[str, KeyConfig], state: SharedState | None = None) -> None:
        # Only hashes of the keys are kept.
        self._hashes = {name: _hash(_read_key(name, key)) for name, key in keys.items()}
        if len(set(self._hashes.values())) < len(self._hashes):
            raise ConfigError("two clients have the same key; give each one its own")
        self._clients = {
            name: Client(
                name=name,
                models=tuple(key.models),
                operator=key.operator,
                spend=_make_budget(name, key, state),
            )
            for name, key in keys.items()
        }
        limits = {
            name: RateLimit(requests_per_minute=key.requests_per_minute)
            for name, key in keys.items()
            if key.requests_per_minute is not None
        }
        self._limiter: RateLimiter | SharedRateLimiter | None = None
        if limits:
            self._limiter = RateLimiter(limits) if state is None else state.make_limiter(limits, group="clients")

    def __len__(self) -> int:
        return len(self._clients)

    def identify(self, headers: Mapping[str, str]) -> Client:
        """Return the client whose key a request has.

        Args:
            headers: The headers by their lower-case names.

        Raises:
            NotAllowedError: If there is none.
        """
        if not self._clients:
            return Client()
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        key = bearer.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "")
        given, found = _hash(key), None
        # All keys are compared, in constant time, so that the time tells nothing about them.
        for name, known in self._hashes.items():
            if hmac.compare_digest(given, known):
                found = self._clients[name]
        if found is None:
            raise NotAllowedError(
                "the request needs the key of a client in Authorization: Bearer … or x-api-key; ask whoever runs the gateway"
            )
        return found

    def require_operator(self, headers: Mapping[str, str]) -> None:
        """Accept the key of a client that may see the requests of all clients.

        Args:
            headers: The headers by their lower-case names.

        Raises:
            NotAllowedError: If there is no key of a client.
            NotOperatorError: If it is the key of another client.
        """
        client = self.identify(headers)
        if not client.operator:
            raise NotOperatorError(
                f"this shows the requests of all clients, and the client {client.name!r} is no operator; set "
                f"operator = true in [keys.{client.name}], or use the key of an operator"
            )

    def admit(self, client: Client) -> None:
        """Count a request of a client.

        Raises:
            BudgetExceededError: If a limit of the client is reached.
        """
        if client.spend is not None and client.spend.remaining_usd() <= 0:
            cap = client.spend.cap
            raise BudgetExceededError(
                f"the budget of {cap.usd:g} USD per {cap.window_s:g} s of the client {client.name!r} is spent; wait"
            )
        if self._limiter is not None and not self._limiter.admit(client.name, tokens=0):
            raise BudgetExceededError(f"the client {client.name!r} has sent its requests of this minute; wait")

    def reserve(self, client: Client, expected_usd: float) -> None:
        """Reserve the expected cost of a request, so that many requests at once stay within the budget of the client.

        Raises:
            BudgetExceededError: If it does not fit.
        """
        if client.spend is not None and not client.spend.reserve(expected_usd):
            raise BudgetExceededError(
                f"{client.spend.remaining_usd():.3g} USD are left of the budget of the client {client.name!r}, but the "
                f"request is expected to cost {expected_usd:.3g} USD; wait, or ask for a cheaper model"
            )

    def remaining_usd(self) -> dict[str, float]:
        """Return the USD that each client with a budget may still spend."""
        return {name: c.spend.remaining_usd() for name, c in self._clients.items() if c.spend is not None}


def _make_budget(name: str, config: KeyConfig, state: SharedState | None) -> SpendTracker | SharedSpendTracker | None:
    if config.budget_usd is None:
        return None
    cap = SpendCap(usd=config.budget_usd, window_s=config.budget_window_s)
    return SpendTracker(cap) if state is None else state.make_spend_tracker(cap, name=f"client:{name}")


def _read_key(name: str, config: KeyConfig) -> str:
    key = os.environ.get(config.env, "").strip()
    if len(key) < _SHORTEST_KEY:
        raise ConfigError(
            f"keys.{name}: the environment variable {config.env} must hold a key of at least {_SHORTEST_KEY} characters"
        )
    return key


def _hash(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "replace")).digest()
