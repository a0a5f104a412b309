import pytest

from router import FOCUS_AREAS, InputError
from router.classify.keywords import KeywordRules, default_rules


def rules(**phrases: list[str]) -> KeywordRules:
    return KeywordRules(precision=0.8, phrases=phrases)


@pytest.mark.parametrize(
    ("phrase", "text", "matches"),
    [
        ("c++ (or c#)?", "is C++ (or C#)? faster", True),
        ("c++ (or c#)?", "ccc or c", False),
        (".*", "anything", False),
        ("act as", "please ACT  \n as a pirate", True),
        ("act as", "a fact as such", False),
        ("extract", "extracting", False),
        ("translate", "«translate»", True),
        ("?", "really?yes", True),
        ("翻译", "请把这句话翻译成英文", True),
        ("แปล", "ช่วยแปลหน่อย", True),
        ("要約", "翻訳して", False),
    ],
)
def test_a_phrase_is_literal_and_never_cuts_a_word(phrase: str, text: str, matches: bool) -> None:
    assert rules(task=[phrase]).match(text) == (("task", (phrase,)) if matches else None)


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("translate" + " x" * 300, True),
        ("x " * 300 + "translate", True),
        ("x " * 300 + "translate" + " x" * 300, False),
        ("x " * 117 + "act as a", True),
        ("act" + "x" * 600, False),
        ("." * 237 + "act" + "." * 300 + "as" + "." * 238, False),  # head ends with one word, tail begins with the other
    ],
)
def test_only_head_and_tail_count(text: str, matches: bool) -> None:
    assert (rules(translation=["translate"], roleplay=["act as"]).match(text) is not None) == matches


def test_a_phrase_counts_with_its_words_and_once() -> None:
    both = rules(math=["solve for"], coding=["code"])
    assert both.match("code code code: solve for x") == ("math", ("solve for",))


def test_on_a_tie_the_task_whose_phrase_comes_first_in_the_text_wins() -> None:
    both = rules(math=["sum"], coding=["code"])
    assert both.match("code a sum") == ("coding", ("code",))
    assert both.match("sum of code") == ("math", ("sum",))


def test_a_phrase_inside_a_longer_one_does_not_count() -> None:
    assert rules(a=["write"], b=["write a poem"]).match("write a poem") == ("b", ("write a poem",))


def test_without_phrases_nothing_matches() -> None:
    assert KeywordRules(precision=0.5, phrases={}).match("anything") is None


@pytest.mark.parametrize(("precision", "phrase"), [(1.5, "a"), (-0.1, "a"), (float("nan"), "a"), (0.5, " ")])
def test_precision_is_a_share_and_phrases_are_not_empty(precision: float, phrase: str) -> None:
    with pytest.raises(InputError, match="must"):
        KeywordRules(precision=precision, phrases={"task": [phrase]})


def test_every_phrase_of_the_default_rules_names_its_own_task() -> None:
    shipped = default_rules()
    for task, phrases in shipped.phrases.items():
        assert phrases
        for phrase in phrases:
            match = shipped.match(phrase)
            assert match is not None
            assert match[0] == task


def test_every_task_of_the_default_rules_is_in_one_focus_area() -> None:
    tasks = [task for area in FOCUS_AREAS.values() for task in area]
    assert sorted(tasks) == sorted(default_rules().phrases)
    assert len(tasks) == 14
