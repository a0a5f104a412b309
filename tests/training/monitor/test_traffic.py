from dataclasses import replace

import numpy as np
import pytest

from tests.training.monitor.samples import log, traffic
from training.data.table import DatasetError
from training.monitor.traffic import check_enough, draw_rows, find_distinct


def test_traffic_is_counted_by_hand() -> None:
    probabilities = np.array([[0.55, 0.45], [0.9, 0.1], [0.3, 0.7]])
    three = replace(traffic(3, seed=1), probabilities=probabilities, continues=np.array([0.5, 0.6, 0.0]))
    assert three.confidence().tolist() == [0.55, 0.9, 0.7]
    assert three.unsure().tolist() == [True, False, False]
    assert three.count_tasks().tolist() == [2, 1]
    assert three.rows_with_task().tolist() == [0, 2]
    assert three.take(np.array([2, 0])).continues.tolist() == [0.0, 0.5]


def test_each_text_counts_once_and_empty_ones_do_not_count() -> None:
    assert [entry.row for entry in find_distinct(log("a", "", "b", "a", "  "))] == [2, 4]


def test_rows_are_drawn_once_each_and_ascending() -> None:
    assert draw_rows(3, 5, seed=0).tolist() == [0, 1, 2]
    drawn = draw_rows(100, 10, seed=0)
    assert len(set(drawn.tolist())) == 10
    assert drawn.tolist() == sorted(drawn.tolist())
    assert drawn.tolist() == draw_rows(100, 10, seed=0).tolist()


def test_too_few_prompts_are_refused() -> None:
    check_enough(20, "log.csv")
    with pytest.raises(DatasetError, match=r"log\.csv must have at least 20 different prompts .*, got 19; collect more"):
        check_enough(19, "log.csv")
