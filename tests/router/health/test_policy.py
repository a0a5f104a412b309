"""Rules for the numbers of the health policy."""

import math

import pytest

from router.errors import InputError
from router.health.policy import HealthPolicy


@pytest.mark.parametrize(
    ("field", "value", "rule"),
    [
        ("cooldown_s", 0.0, "cooldown_s must be a number, positive and finite, got 0.0"),
        ("penalty_min_s", -1.0, "penalty_min_s must be a number, positive and finite, got -1.0"),
        ("slow_start_s", math.nan, "slow_start_s must be a number, positive and finite, got nan"),
        ("auth_cooldown_s", math.inf, "auth_cooldown_s must be a number, positive and finite, got inf"),
        ("trip_failure_share", 1.5, "trip_failure_share must be a share, at most 1"),
        ("jitter_share", 1.0, "jitter_share must be a share"),
        ("cooldown_s", 301.0, "cooldown_s must not exceed cooldown_max_s, got 301.0 > 300.0"),
        ("rate_limit_cooldown_s", 400.0, "rate_limit_cooldown_s must not exceed rate_limit_cooldown_max_s"),
        ("latency_decay_min_s", 121.0, "latency_decay_min_s must not exceed latency_decay_max_s"),
    ],
)
def test_an_error_of_the_policy_names_rule_and_value(field: str, value: float, rule: str) -> None:
    with pytest.raises(InputError, match=rule):
        HealthPolicy(**{field: value})  # type: ignore[arg-type]
