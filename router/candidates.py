"""Who may take a prompt, why the others may not, and what is not known of those who may."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from router.scoring import DEFAULT_OUTPUT_TOKENS
from router.types import ModelProfile, ModelScore, Preference


def find_unable(
    profiles: Sequence[ModelProfile], *, allowed: frozenset[str] | None, needs: frozenset[str], tokens: int
) -> dict[str, str]:
    """Return the models that may not or cannot take a prompt, each with its reason.

    Args:
        profiles: The models.
        allowed: Names of those that may be chosen; None: all.
        needs: Capabilities the prompt needs.
        tokens: Upper estimate of its size.
    """
    unable = {profile.name: reason for profile in profiles if (reason := _why_not(profile, allowed, needs))}
    return unable | _find_too_small([profile for profile in profiles if profile.name not in unable], tokens)


def tell_too_long(profiles: Sequence[ModelProfile], tokens: int) -> list[str]:
    """Say so where a prompt is more than the context window of any of these models holds."""
    windows = [profile.context_window for profile in profiles if profile.context_window is not None]
    if len(windows) < len(profiles) or tokens + DEFAULT_OUTPUT_TOKENS <= min(windows):
        return []
    return [f"about {tokens} tokens are more than any context window holds: the largest ones stay"]


def tell_unknown(scores: Mapping[str, ModelScore], preference: Preference) -> list[str]:
    """Tell where the caller's wish could not be heeded for want of figures."""
    told = []
    if preference.reference is not None and preference.reference not in scores:
        told.append(f"the loss is bounded against {preference.reference}, which may not be chosen: the best one that may is")
    elif preference.tolerance == -math.inf and preference.reference is not None:
        told.append(f"no switch to a cheaper model was shown to lose so little: {preference.reference} answers")
    if preference.seconds_per_point != math.inf and all(score.latency_s is None for score in scores.values()):
        told.append("no candidate's latency is known: time does not count")
    for field, what in (("cost_usd", "cost"), ("latency_s", "latency")):
        guessed = sorted(name for name, score in scores.items() if field in score.assumed)
        if guessed and (field == "cost_usd" or preference.seconds_per_point != math.inf):
            told.append(f"{what} unknown, the known candidates' median assumed: {', '.join(guessed)}")
    return told


def _why_not(profile: ModelProfile, allowed: frozenset[str] | None, needs: frozenset[str]) -> str | None:
    if allowed is not None and profile.name not in allowed:
        return "not among the allowed"
    if needs and (lacking := needs - profile.capabilities):
        return f"lacks {', '.join(sorted(lacking))}"
    return None


def _find_too_small(profiles: Sequence[ModelProfile], tokens: int) -> dict[str, str]:
    """Tell which models' context windows cannot hold prompt and answer.

    The size is an upper estimate, and a text alone must never leave nobody: where no window is large enough, the largest
    stay.
    """
    room = tokens + int(DEFAULT_OUTPUT_TOKENS)
    windows = {profile.name: profile.context_window or math.inf for profile in profiles}
    needed = min(room, max(windows.values(), default=0))
    return {
        name: f"needs about {room} tokens, its context window has {window}"
        for name, window in windows.items()
        if window < needed
    }
