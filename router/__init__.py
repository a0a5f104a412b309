"""Which model should handle this prompt, and why.

>>> from router import route
>>> route("translate 'good morning' into Japanese").prediction.task
'translation'
"""

from router.core import FOCUS_AREAS, Router, route
from router.decision import RoutingDecision
from router.errors import ArtifactError, EncoderError, InputError, NoCandidateError, RouterError
from router.scoring import PREFERENCES
from router.types import (
    Encoder,
    Estimate,
    ModelProfile,
    ModelScore,
    Preference,
    RoutingContext,
    Strategy,
    TaskPrediction,
)

__version__ = "0.1.0.dev0"

__all__ = [
    "FOCUS_AREAS",
    "PREFERENCES",
    "ArtifactError",
    "Encoder",
    "EncoderError",
    "Estimate",
    "InputError",
    "ModelProfile",
    "ModelScore",
    "NoCandidateError",
    "Preference",
    "Router",
    "RouterError",
    "RoutingContext",
    "RoutingDecision",
    "Strategy",
    "TaskPrediction",
    "route",
]
