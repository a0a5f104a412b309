"""Put a finding into one sentence: the verdict as people read it."""

from __future__ import annotations

from training.evaluation.intervals import Interval
from training.verdict.finding import FEWEST_GROUPS, Finding


def describe_verdict(finding: Finding) -> str:
    """Return whether to route, with the figure that decides it and its interval."""
    return _describe_gain(finding) if finding.pays else f"Do not route: {_describe_reason(finding)}."


def _describe_gain(finding: Finding) -> str:
    """Return the improvement that routing brings."""
    best, where = finding.best, f"on these {finding.n:,} prompts"
    gain = f"gains {_points(finding.gain)} at equal cost"
    if not finding.priced:
        return f"Routing gains {_points(finding.gain)} over {best} alone {where} (costs are not known)."
    if finding.saves:
        more = f", or {gain}," if finding.gains else ""
        quality = f"quality {_signed_points(finding.equal.change)} against {best} alone"
        return f"Routing saves {_percent(finding.equal.share)} at equal quality{more} {where} ({quality})."
    if finding.gains:
        return f"Routing {gain} {where} (against {best} alone)."
    near = finding.near
    return (
        f"Routing saves {_percent(near.share)} at {_percent(near.kept, digits=1)} of {best}'s quality {where}; a random mix "
        f"of two models at that cost has {_points(near.over_mix)} less; at its full quality no saving is certain."
    )


def _describe_reason(finding: Finding) -> str:
    """Return why routing does not pay."""
    best, where = finding.best, f"on these {finding.n:,} prompts"
    if finding.groups < FEWEST_GROUPS:
        return f"{finding.groups} independent prompts are too few to tell, at least {FEWEST_GROUPS} are needed"
    if not finding.priced:
        gain = _signed_points(finding.gain)
        return f"{best} alone is as good {where}; routing changes quality by {gain} (costs are not known)"
    if finding.alone:
        return f"{best} alone is the best model and the cheapest {where}"
    equal = finding.equal
    # The saving is shown, so only the quality can be the problem: its interval reaches below the margin.
    if finding.beats_mixes and equal.counts:
        return (
            f"it saves {_percent(equal.share)} against {best} alone {where}, but may lose more than a point of quality "
            f"({_signed_points(equal.change)}); more prompts would settle it"
        )
    return (
        f"{best} alone, or two models mixed at random, is as good at any price {where}; routing saves "
        f"{_percent(equal.share)} at equal quality, and changes it by {_signed_points(finding.gain)} at equal cost"
    )


def _percent(interval: Interval, digits: int = 0) -> str:
    value, low, high = _in_hundredths(interval, "-", digits)
    return f"{value} % [{low}, {high}]"


def _points(interval: Interval) -> str:
    value, low, high = _in_hundredths(interval, "-", 1)
    return f"{value} points [{low}, {high}]"


def _signed_points(interval: Interval) -> str:
    value, low, high = _in_hundredths(interval, "+", 1)
    return f"{value} points [{low}, {high}]"


def _in_hundredths(interval: Interval, sign: str, digits: int) -> list[str]:
    """Return value, low and high times 100, with no sign on a rounded 0."""
    return [f"{100 * figure:{sign}z.{digits}f}" for figure in (interval.value, interval.low, interval.high)]
