import numpy as np
import pytest

from training.data.latency import describe_latencies


@pytest.mark.parametrize(
    ("latencies", "suspicious"),
    [
        ([0.3, 2.5, 90.0], []),
        ([0.0, 45.0, 599.0], []),  # a reasoning model may take minutes
        ([1.2, 1234.0, 3.0], [1234.0]),
        ([0.4, 350.0, 0.6], [350.0]),  # 350 ms among seconds
        ([350.0, 420.0], [350.0, 420.0]),  # nothing below 100 s
        ([np.nan, np.nan], []),
        ([np.nan, 700.0, 800.0, 5.0], [700.0, 800.0]),
    ],
)
def test_a_latency_that_no_answer_takes_is_noted_with_its_row(latencies: list[float], suspicious: list[float]) -> None:
    notes = describe_latencies(np.array(latencies), list(range(2, 2 + len(latencies))))
    assert len(notes) == bool(suspicious)
    for note in notes:
        more = f" and {len(suspicious) - 1} more rows" if len(suspicious) > 1 else ""
        assert f"got {suspicious[0]:g} in row {latencies.index(suspicious[0]) + 2}{more}; divide it by 1,000" in note
