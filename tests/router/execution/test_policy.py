"""Rules for the numbers of the call policy."""

import pytest

from router.errors import (
    InputError,
)
from router.execution.policy import CallPolicy


@pytest.mark.parametrize("field", ["deadline_s", "first_token_s", "max_attempts", "backoff_s"])
@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf")])
def test_the_numbers_of_the_policy_must_be_positive(field: str, value: float) -> None:
    with pytest.raises(InputError, match=field):
        CallPolicy(**{field: value})  # type: ignore[arg-type]


def test_attempts_must_be_whole_and_the_retry_budget_may_be_zero() -> None:
    with pytest.raises(InputError, match=r"max_attempts must be a whole number, positive, got 2\.5"):
        CallPolicy(max_attempts=2.5)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="extra_attempts must be a whole number, not negative, got -1"):
        CallPolicy(extra_attempts=-1)
    assert CallPolicy(extra_attempts=0, extra_attempts_share=0).extra_attempts == 0
