import pytest

from router.classify.keywords import KeywordRules
from training.classifier.rules import fit_rules, measure_precision
from training.data.prompts import LabelledPrompt

RULES = KeywordRules(precision=0.5, phrases={"math": ["solve"], "coding": ["regex"]})


def test_the_precision_follows_laplaces_rule() -> None:
    # Three prompts match, and two matches are right: (2 + 1) / (3 + 2).
    measured = measure_precision(["solve x", "solve y", "a regex", "hello"], ["math", "qa", "coding", "math"], RULES)
    assert measured == pytest.approx(0.6)
    assert measure_precision(["hello"], ["qa"], RULES) == 0.5


@pytest.mark.parametrize(("task", "precision"), [("math", 0.5), ("qa", 0.3333)])
def test_fitted_rules_have_the_lower_precision_and_only_the_tasks_that_occur(task: str, precision: float) -> None:
    # One match: (1 + 1) / (1 + 2) if it is right, (0 + 1) / (1 + 2) if not. The claim is 0.5.
    rows = [LabelledPrompt(prompt="solve x", task=task), LabelledPrompt(prompt="hello", task="math")]
    fitted = fit_rules(RULES, rows)
    assert fitted.precision == precision
    assert fitted.phrases == {"math": ["solve"]}
