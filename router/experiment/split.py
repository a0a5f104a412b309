"""The options and the key of a request come in, its arm in an A/B test goes out."""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable
from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple

from router.decision import Assignment, SplitBy
from router.errors import InputError
from router.options import DIALS, RouteOptions
from router.strategies.consistent_hash import hash_to_unit

if TYPE_CHECKING:
    from router.experiment.kinds import AbTest

_UNIT_BYTES = 8


class Entry(NamedTuple):
    """The options of a request in its arm, and the arm."""

    options: RouteOptions
    assignment: Assignment


class Split:
    """Assigns requests to the arms of an A/B test. Thread-safe, and the same in every process.

    Args:
        test: The test.
        defaults: The router's defaults. A request whose options differ from them in what the arms set takes no part.
        check: Raises an `InputError` if options name something unknown.
        draw: Returns a new text for each request without a key or a conversation.

    Raises:
        InputError: If the options of an arm name something unknown.
    """

    def __init__(
        self,
        test: AbTest,
        defaults: RouteOptions,
        *,
        check: Callable[[RouteOptions], None],
        draw: Callable[[], str] = secrets.token_hex,
    ) -> None:
        self._name, self._defaults, self._draw = test.name, defaults, draw
        self._arms = {arm: RouteOptions.of(options) for arm, options in test.arms.items()}
        for arm, options in self._arms.items():
            try:
                check(options.with_defaults(defaults))
            except InputError as error:
                raise InputError(f"arms.{arm}: {error}") from error
        self._shares = {arm: test.shares.get(arm, 1.0) for arm in test.arms}
        named = {name for options in self._arms.values() for name in options.given()}
        # A dial of a request replaces every dial of an arm.
        self._named = named | set(DIALS) if named & set(DIALS) else named

    def enter(self, options: RouteOptions, *, key: str, conversation: str) -> Entry | None:
        """Return the options of the request's arm. None if the request takes no part.

        Args:
            options: The options of the request, the router's defaults included.
            key: The user or session that the caller named. Empty: none.
            conversation: Name of the conversation. Empty: none.
        """
        if any(getattr(options, name) != getattr(self._defaults, name) for name in self._named):
            return None
        # With one model left there is nothing to choose, so both arms would be the same.
        if options.allowed is not None and len(options.allowed) == 1:
            return None
        by: SplitBy = "key" if key else "conversation" if conversation else "request"
        unit = key or conversation or self._draw()
        arm = self.find_arm(unit)
        digest = blake2b(unit.encode("utf-8", "replace"), digest_size=_UNIT_BYTES, salt=_salt(self._name))
        return Entry(
            self._arms[arm].with_defaults(options),
            Assignment(experiment=self._name, arm=arm, by=by, unit=digest.hexdigest()),
        )

    def find_arm(self, unit: str) -> str:
        """Return the arm of a key, by weighted rendezvous hashing as in `weighted-key`.

        If the share of an arm grows, it takes keys from the others and loses none.
        """
        return max(self._shares, key=lambda arm: -self._shares[arm] / math.log(hash_to_unit(f"{self._name}/{arm}", unit)))


def _salt(name: str) -> bytes:
    return blake2b(name.encode("utf-8", "replace"), digest_size=blake2b.SALT_SIZE).digest()
