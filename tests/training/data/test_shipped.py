"""The shipped data files follow their plan: enough prompts of each kind, no repeats, and a layout that loads."""

from collections import Counter, defaultdict
from pathlib import Path

import pytest

from router.classify.classifier import CONTINUES
from training.classifier.features import lexical_matrix
from training.data.prompts import TASKS, LabelledPrompt, read_prompts
from training.data.table import read_table
from training.evaluation.labels import find_near_duplicates, find_repeats
from training.evaluation.mix import contrast_sets, measure_mix


@pytest.fixture(scope="module")
def rows(root: Path) -> list[LabelledPrompt]:
    return list(read_prompts(root / "data" / "prompts.csv", keep_repeated=True).rows)


@pytest.fixture(scope="module")
def alone(rows: list[LabelledPrompt]) -> list[LabelledPrompt]:
    """All prompts except follow-ups, which are almost always short and typed."""
    return [row for row in rows if "follow-up" not in row.marks]


def test_each_task_has_three_hundred_prompts_of_25_kinds_in_many_languages(rows: list[LabelledPrompt]) -> None:
    assert len(rows) >= 4200
    for task in TASKS:
        own = [row for row in rows if row.task == task]
        assert len(own) >= 300, task
        assert len({row.kind for row in own}) >= 25, task
        assert len({row.language for row in own}) >= 10, task
        assert max(Counter(" ".join(row.prompt.lower().split()[:3]) for row in own).values()) <= 0.08 * len(own), task


def test_continues_rows_have_many_languages_and_each_task_has_follow_ups(rows: list[LabelledPrompt]) -> None:
    continuing = [row for row in rows if row.task == CONTINUES]
    assert len(continuing) >= 600
    assert len({row.language for row in continuing}) >= 10
    own = Counter(row.task for row in rows if "follow-up" in row.marks and row.task != CONTINUES)
    assert min(own[task] for task in TASKS) >= 30


def test_the_mix_of_styles_and_sizes_follows_the_plan(alone: list[LabelledPrompt]) -> None:
    share, english = (
        {share.name: share.count / share.n for share in measure_mix(rows)}
        for rows in (alone, [row for row in alone if row.language == "en"])
    )
    assert share["languages other than en"] >= 0.35
    # The plan is older than the prompts in other languages, which are shorter.
    assert english["typed"] >= 0.35
    assert english["pasted"] >= 0.25
    assert english["context"] >= 0.10
    assert english["two"] >= 0.05
    sizes = sorted(len(row.prompt.split()) for row in alone)
    assert (sizes[0] <= 2, 1000 <= sizes[-1] <= 1500) == (True, True)


def test_there_are_three_hundred_contrast_sets(rows: list[LabelledPrompt]) -> None:
    assert len(contrast_sets(rows)) >= 300


def test_no_prompt_is_repeated(rows: list[LabelledPrompt]) -> None:
    assert find_repeats(rows) == []
    assert find_near_duplicates(rows, lexical_matrix([row.prompt for row in rows])) == []


def test_conversations_alternate_and_label_every_user_turn(root: Path) -> None:
    turns = defaultdict(list)
    for _, turn in read_table(
        root / "data" / "conversations.csv", required=("conversation_id", "turn", "role", "content", "task")
    ):
        turns[turn["conversation_id"]].append(turn)
    assert len(turns) >= 150
    for name, conversation in turns.items():
        assert [turn["turn"] for turn in conversation] == [str(i + 1) for i in range(len(conversation))], name
        spoken = [turn for turn in conversation if turn["role"] != "system"]
        assert 2 <= len(conversation) <= 6, name
        assert [turn["role"] for turn in spoken] == ["user", "assistant"] * (len(spoken) // 2) + ["user"] * (len(spoken) % 2)
        assert all((turn["task"] in TASKS) == (turn["role"] == "user") for turn in conversation), name
        assert all(turn["content"].strip() for turn in conversation), name
    assert set(Counter(turn["task"] for c in turns.values() for turn in c)) >= set(TASKS)
