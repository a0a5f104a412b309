import random

from training.encoder.batches import draw_batches

IDS = [[0] * random.Random(i).randint(1, 40) for i in range(500)]  # noqa: S311


def test_each_row_is_in_one_batch_and_other_epochs_have_other_batches() -> None:
    rows = list(range(0, 500, 2))
    batches = draw_batches(rows, IDS, 16, seed=0, epoch=0)
    assert sorted(row for batch in batches for row in batch) == rows
    assert all(len(batch) <= 16 for batch in batches)
    assert batches == draw_batches(rows, IDS, 16, seed=0, epoch=0) != draw_batches(rows, IDS, 16, seed=0, epoch=1)


def test_the_texts_of_a_batch_have_similar_lengths() -> None:
    batches = draw_batches(range(500), IDS, 16, seed=0, epoch=0)
    spans = [max(lengths) - min(lengths) for lengths in ([len(IDS[row]) for row in batch] for batch in batches)]
    assert max(spans) <= 4
