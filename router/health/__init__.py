"""How the endpoints do: how busy they are, how fast, and whether they may be asked now."""

from router.health.endpoint import EndpointHealth
from router.health.live import Attempt, Eligibility, LiveState
from router.health.policy import HealthPolicy

__all__ = ["Attempt", "Eligibility", "EndpointHealth", "HealthPolicy", "LiveState"]
