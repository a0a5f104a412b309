import csv
from dataclasses import replace
from pathlib import Path

import numpy as np

from tests.training.monitor.samples import log, traffic, unit
from training.monitor.reference import make_reference
from training.monitor.to_label import PromptToLabel, find_prompts_to_label, write_prompts_to_label


def test_novel_prompts_come_first_then_unsure_ones_by_confidence() -> None:
    known = replace(traffic(3, seed=1), embeddings=unit(np.array([[1.0, 0.1], [1.0, -0.1], [1.0, 0.0]])))
    today = replace(
        traffic(5, seed=2),
        embeddings=unit(np.array([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [-1.0, 0.0], [1.0, 0.0]])),
        probabilities=np.array([[0.9, 0.1], [0.45, 0.55], [0.5, 0.5], [0.9, 0.1], [0.2, 0.8]]),
    )
    found = find_prompts_to_label(log("a", "b", "c", "d", "e"), today, make_reference(known, seed=0))
    assert [(prompt.entry.text, prompt.task, prompt.novel) for prompt in found] == [
        ("d", "coding", True),
        ("c", "coding", False),
        ("b", "math", False),
    ]


def test_prompts_to_label_are_written_as_labelled_prompts_that_are_safe_for_a_spreadsheet(tmp_path: Path) -> None:
    prompts = [
        PromptToLabel(entry=entry, task="qa", confidence=0.3, distance=0.1, novel=False)
        for entry in log("=cmd|' /C calc'!A0", "why?")
    ]
    write_prompts_to_label(tmp_path / "label.csv", prompts)
    with (tmp_path / "label.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert rows == [{"prompt": "'=cmd|' /C calc'!A0", "task": "qa"}, {"prompt": "why?", "task": "qa"}]
