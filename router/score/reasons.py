"""The sentences in `RoutingDecision.reasons`: every fact about a decision that its scores do not show."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

from router.classify.predictor import Classification
from router.score.profile_arrays import DEFAULT_OUTPUT_TOKENS
from router.types import ModelProfile, ModelScore, Preference, TaskPrediction

# An earlier turn decides if more than this share of the prediction comes from earlier turns.
_INHERITED = 0.5


def describe_classification(classification: Classification, *, has_classifier: bool) -> list[str]:
    """Return how the task was found, if it was not the classifier alone on the last turn.

    Args:
        classification: The classified prompt.
        has_classifier: Whether the router has a classifier.
    """
    prediction = classification.prediction
    reasons = []
    if prediction.inherited > _INHERITED:
        reasons.append("the last turn names no task by itself, so an earlier turn decides")
    if classification.problem is not None:
        reasons.append(classification.problem)
    return reasons + describe_source(prediction, has_classifier=has_classifier)


def describe_source(prediction: TaskPrediction, *, has_classifier: bool) -> list[str]:
    """Return why the classifier did not decide the task. Nothing if it did."""
    if prediction.source == "classifier":
        return []
    why = "the classifier is unsure" if has_classifier else "there is no classifier"
    if prediction.source == "keywords":
        return [f"{why} and a keyword rule matches: {prediction.task}"]
    return [f"{why} and no keyword rule matches, so all tasks count by their probabilities"]


def describe_focus(focus: str) -> str:
    """Return that only the tasks of a focus count."""
    return f"focus {focus!r}: only its tasks count"


def describe_cooling(cooling: Sequence[str], *, every: bool) -> str:
    """Return which models cool down after failures.

    Args:
        cooling: Their names, in the order of the ranking.
        every: Whether no other model is left.
    """
    if every:
        return "every model cools down after failures, so the ranking ignores that"
    return f"these models cool down after failures and rank last: {', '.join(cooling)}"


def describe_too_long(profiles: Sequence[ModelProfile], tokens: int) -> list[str]:
    """Return that a prompt exceeds every context window. Nothing if it does not.

    Args:
        profiles: The candidates.
        tokens: Upper estimate of the size of the prompt.
    """
    windows = [profile.context_window for profile in profiles if profile.context_window is not None]
    # An unknown window counts as large enough.
    if len(windows) < len(profiles) or tokens + DEFAULT_OUTPUT_TOKENS <= min(windows):
        return []
    return [f"about {tokens} tokens exceed every context window, so the models with the largest one stay candidates"]


def describe_unknown_parts(types: Sequence[str]) -> list[str]:
    """Return that a prompt has content parts that the router does not know. Nothing if it has none.

    Args:
        types: Types of the parts.
    """
    return [f"content parts of unknown type exclude no model: {', '.join(types)}"] if types else []


def describe_unclaimed(needs: Collection[str]) -> str:
    """Return what to do if no model has the capabilities that a prompt needs."""
    return f"no profile has {', '.join(sorted(needs))} among its capabilities, so add it to those of models that can"


def describe_unknown(scores: Mapping[str, ModelScore], preference: Preference) -> list[str]:
    """Return the missing figures because of which the preference could not be followed exactly.

    Args:
        scores: The scores of the candidates.
        preference: The preference of the caller.
    """
    return [
        *_describe_reference(scores, preference),
        *_describe_latency(scores, preference),
        *_describe_assumed(scores, preference),
    ]


def describe_budget(budget_usd: float, prompts: int, usd_per_point: float) -> str:
    """Return what a budget for several prompts did.

    Args:
        budget_usd: The budget.
        prompts: Number of prompts.
        usd_per_point: The shadow price. Infinite if the budget does not bind.
    """
    if usd_per_point == math.inf:
        return f"a budget of {budget_usd:g} USD for {prompts} prompts pays for the best model of each"
    price = f"one more point of quality would cost {usd_per_point:.3g} USD"
    return f"a budget of {budget_usd:g} USD for {prompts} prompts decides; {price}"


def describe_leftover(model: str, best_at_price: str) -> str:
    """Return why a budget chose another model than its shadow price would.

    Args:
        model: The chosen model.
        best_at_price: The model with the highest utility at the shadow price.
    """
    return f"the shadow price alone would choose {best_at_price}, but {model} makes better use of the remaining budget"


def _describe_reference(scores: Mapping[str, ModelScore], preference: Preference) -> list[str]:
    reference = preference.reference
    if reference is None:
        return []
    if reference not in scores:
        return [f"{reference} may not be chosen, so the loss is bounded against the best model that may"]
    if preference.tolerance == -math.inf:
        return [f"no switch to a cheaper model was shown to lose so little, so {reference} answers"]
    return []


def _describe_latency(scores: Mapping[str, ModelScore], preference: Preference) -> list[str]:
    if preference.seconds_per_point == math.inf or any(score.latency_s is not None for score in scores.values()):
        return []
    return ["the latency of every candidate is unknown, so time does not count"]


def _describe_assumed(scores: Mapping[str, ModelScore], preference: Preference) -> list[str]:
    terms = {"cost_usd": "cost"}
    if preference.seconds_per_point != math.inf:
        terms["latency_s"] = "latency"
    reasons = []
    for field, name in terms.items():
        assumed = sorted(model for model, score in scores.items() if field in score.assumed)
        if assumed:
            models = ", ".join(assumed)
            reasons.append(f"expected {name} of these models is unknown, so the median of the others is used: {models}")
    return reasons
