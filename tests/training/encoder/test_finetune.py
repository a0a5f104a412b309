import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from router.classify.encoder import OnnxEncoder
from router.errors import EncoderError
from tests.training.exporting import EXPORTS
from training.data.prompts import LabelledPrompt, PromptSet
from training.encoder.finetune import FinetunedEncoder, distil_student, finetune
from training.encoder.recipe import FinetuneRecipe
from training.encoder.seen import was_seen
from training.encoder.source_model import keep_layers

pytestmark = EXPORTS

Build = Callable[..., Path]
# The animal is the topic, and the colour decides the task. For a random encoder both are equally important.
TEXTS = [
    (f"{start} {colour} {animal} {place}", task)
    for colour, task in (("red", "stop"), ("blue", "go"))
    for start, animal, place in itertools.product(
        ("a", "the", "my", "old"), ("cat", "dog", "word"), ("here", "now", "in house")
    )
]
QUICK = FinetuneRecipe(epochs=3, batch=8, learning_rate=2e-3)


@pytest.fixture(scope="module")
def base(build: Build) -> Path:
    return build()


@pytest.fixture
def prompts() -> PromptSet:
    rows = tuple(LabelledPrompt(prompt=text, task=task, group=str(i)) for i, (text, task) in enumerate(TEXTS))
    return PromptSet(rows=rows, sha256="0" * 64)


def weights(tuned: FinetunedEncoder) -> dict[str, np.ndarray]:
    from safetensors.numpy import load_file

    return load_file(tuned.folder / "model.safetensors")


def same(one: FinetunedEncoder, other: FinetunedEncoder) -> bool:
    mine, theirs = weights(one), weights(other)
    return mine.keys() == theirs.keys() and all(np.array_equal(mine[name], theirs[name]) for name in mine)


def separation(folder: Path) -> float:
    """Return how much more similar, by cosine, prompts of one task are than prompts of two."""
    from sentence_transformers import SentenceTransformer

    vectors = SentenceTransformer(str(folder), device="cpu").encode([text for text, _ in TEXTS], normalize_embeddings=True)
    tasks = np.array([task for _, task in TEXTS])
    similarity, together = vectors @ vectors.T, tasks[:, None] == tasks[None, :]
    return float(similarity[together].mean() - similarity[~together].mean())


@pytest.mark.parametrize("objective", ["cross-entropy", "contrastive", "both"])
def test_a_tuned_encoder_separates_the_tasks(base: Path, prompts: PromptSet, tmp_path: Path, objective: str) -> None:
    tuned = finetune(str(base), prompts, tmp_path, recipe=dataclasses.replace(QUICK, objective=objective))
    assert separation(tuned.folder) > separation(base) + 0.2
    assert tuned.accuracy[-1] == 1
    assert tuned.log_loss[-1] < 0.6  # chance with two tasks: 0.69


def test_the_record_lists_the_seen_prompts_and_not_the_held_out_ones(base: Path, prompts: PromptSet, tmp_path: Path) -> None:
    tuned = finetune(str(base), prompts, tmp_path, recipe=dataclasses.replace(QUICK, seed=3))
    seen = was_seen([row.prompt for row in prompts.rows], tuned.record)
    assert tuned.record.rows == seen.sum() == len(TEXTS) - tuned.held_out
    assert 0 < tuned.held_out < len(TEXTS) / 3
    assert (tuned.record.prompts_sha256, tuned.record.layers, tuned.record.seed) == ("0" * 64, 2, 3)
    assert tuned.record.epochs == 1 + int(np.argmin(tuned.log_loss))
    assert not was_seen(["nobody ever typed this", ""], tuned.record).any()
    assert not was_seen([row.prompt for row in prompts.rows], None).any()


def test_groups_are_held_out_whole(base: Path, prompts: PromptSet, tmp_path: Path) -> None:
    rows = tuple(dataclasses.replace(row, group=str(i // 6)) for i, row in enumerate(prompts.rows))
    tuned = finetune(
        str(base), dataclasses.replace(prompts, rows=rows), tmp_path, recipe=dataclasses.replace(QUICK, epochs=1)
    )
    seen = was_seen([row.prompt for row in rows], tuned.record)
    assert all(
        len({bool(known) for known, row in zip(seen, rows, strict=True) if row.group == g}) == 1 for g in map(str, range(12))
    )


def test_an_interrupted_run_ends_with_the_same_weights(
    base: Path, prompts: PromptSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.encoder.tuning_run._SAVE_EVERY", 5)
    whole = finetune(str(base), prompts, tmp_path / "whole", recipe=QUICK)
    taken: list[int] = []

    def cut_short(steps: Sequence[int]) -> Iterator[int]:
        for step in steps:
            if step == 13:
                raise KeyboardInterrupt
            yield step

    def count(steps: Sequence[int]) -> Iterator[int]:
        for step in steps:
            taken.append(step)
            yield step

    with pytest.raises(KeyboardInterrupt):
        finetune(str(base), prompts, tmp_path / "cut", recipe=QUICK, progress=cut_short)
    resumed = finetune(str(base), prompts, tmp_path / "cut", recipe=QUICK, progress=count)
    assert taken[0] == 10
    assert same(whole, resumed)
    assert (whole.log_loss, whole.record) == (resumed.log_loss, resumed.record)


def test_another_recipe_does_not_continue_an_old_run(base: Path, prompts: PromptSet, tmp_path: Path) -> None:
    finetune(str(base), prompts, tmp_path, recipe=QUICK)
    started: list[int] = []

    def note(steps: Sequence[int]) -> Sequence[int]:
        started.append(steps[0])
        return steps

    again = finetune(str(base), prompts, tmp_path, recipe=dataclasses.replace(QUICK, seed=1), progress=note)
    assert started == [0]
    assert again.record.seed == 1


def test_a_run_stops_when_an_epoch_is_no_better_and_keeps_the_best(base: Path, prompts: PromptSet, tmp_path: Path) -> None:
    noisy = tuple(dataclasses.replace(row, task=("stop", "go")[i % 2]) for i, row in enumerate(prompts.rows))  # pure noise
    recipe = dataclasses.replace(QUICK, epochs=20)
    tuned = finetune(str(base), dataclasses.replace(prompts, rows=noisy), tmp_path, recipe=recipe)
    losses = list(tuned.log_loss)
    assert len(losses) < 20
    assert losses[-1] >= losses[-2]
    assert tuned.record.epochs == 1 + losses.index(min(losses))


def test_a_model_with_fewer_layers_converts_to_the_same_vectors(base: Path, prompts: PromptSet, tmp_path: Path) -> None:
    from training.encoder.convert import convert_encoder

    tuned = finetune(str(base), prompts, tmp_path / "run", recipe=dataclasses.replace(QUICK, layers=1, epochs=1))
    texts = [text for text, _ in TEXTS[:6]]
    made = convert_encoder(
        str(tuned.folder), tmp_path / "out", prompts=texts, name="cut", precision="fp32", tuning=tuned.record
    )
    assert made.min_cosine > 0.9999
    assert not any(name.startswith("encoder.layer.1") for name in weights(tuned))
    loaded = OnnxEncoder.load(tmp_path / "out")
    assert loaded.record.tuning == tuned.record
    assert loaded.record.tuning.layers == 1


@pytest.mark.parametrize("layers", [0, 3])
def test_layers_that_the_model_does_not_have_are_refused(
    base: Path, prompts: PromptSet, tmp_path: Path, layers: int
) -> None:
    with pytest.raises(EncoderError, match=f"between 1 and the 2 of .*, got {layers}"):
        finetune(str(base), prompts, tmp_path, recipe=FinetuneRecipe(layers=layers))


def test_a_missing_model_is_an_error(prompts: PromptSet, tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match="cannot load"):
        finetune(str(tmp_path / "nothing"), prompts, tmp_path)


def test_frozen_word_vectors_stay_and_the_layers_change(base: Path, prompts: PromptSet, tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    tuned = finetune(str(base), prompts, tmp_path, recipe=dataclasses.replace(QUICK, freeze_words=True))
    before, after = load_file(base / "model.safetensors"), weights(tuned)
    words, layer = "embeddings.word_embeddings.weight", "encoder.layer.0.output.dense.weight"
    assert np.array_equal(before[words], after[words])
    assert not np.array_equal(before[layer], after[layer])
    assert tuned.accuracy[-1] > 0.8  # chance: 0.5


def encode(folder: Path) -> np.ndarray:
    from sentence_transformers import SentenceTransformer

    texts = [text for text, _ in TEXTS]
    return SentenceTransformer(str(folder), device="cpu").encode(texts, prompt="", normalize_embeddings=True)


def test_a_student_with_fewer_layers_learns_the_vectors_of_its_teacher(
    build: Build, prompts: PromptSet, tmp_path: Path
) -> None:
    base = build(prompts={"query": "the "})
    teacher = finetune(str(base), prompts, tmp_path / "teacher", recipe=QUICK)
    small = dataclasses.replace(QUICK, layers=1, epochs=6)
    student = distil_student(teacher.folder, prompts, tmp_path / "student", recipe=small)
    alone = finetune(str(base), prompts, tmp_path / "alone", recipe=small)
    from sentence_transformers import SentenceTransformer

    wanted = SentenceTransformer(str(teacher.folder), device="cpu").encode([f"the {text}" for text, _ in TEXTS])
    near, far = ((encode(folder) * wanted).sum(axis=1).mean() for folder in (student.folder, alone.folder))
    assert near > far + 0.05
    assert (student.record.layers, student.accuracy[-1]) == (1, 1)
    # Both leave the same prompts out, so that nobody who measures the student is misled.
    assert student.record.seen == teacher.record.seen
    # It needs no prefix any more.
    assert SentenceTransformer(str(student.folder), device="cpu").prompts["query"] == ""


def test_an_interrupted_student_ends_with_the_same_weights_and_its_teacher_encodes_once(
    base: Path, prompts: PromptSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.encoder.tuning_run._SAVE_EVERY", 2)
    teacher = finetune(str(base), prompts, tmp_path / "teacher", recipe=QUICK)
    small = dataclasses.replace(QUICK, layers=1)
    whole = distil_student(teacher.folder, prompts, tmp_path / "whole", recipe=small)
    encoded: list[int] = []

    def count(steps: Sequence[int]) -> Iterator[int]:
        for step in steps:
            encoded.append(step)
            yield step

    def cut_short(steps: Sequence[int]) -> Iterator[int]:
        yield from steps[:5]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        distil_student(teacher.folder, prompts, tmp_path / "cut", recipe=small, encoding=count, progress=cut_short)
    n = len(encoded)
    resumed = distil_student(teacher.folder, prompts, tmp_path / "cut", recipe=small, encoding=count)
    assert len(encoded) == n > 0
    assert same(whole, resumed)


def test_kept_layers_are_the_first_or_spread_over_all(build: Build) -> None:
    from sentence_transformers import SentenceTransformer
    from torch import nn

    def keep(layers: int, *, spread: bool) -> list[int]:
        model = SentenceTransformer(str(build()), device="cpu")
        model[0].auto_model.encoder.layer = nn.ModuleList([nn.Identity() for _ in range(12)])
        numbered = list(model[0].auto_model.encoder.layer)
        keep_layers(model, layers, "it", spread=spread)
        return [numbered.index(layer) for layer in model[0].auto_model.encoder.layer]

    assert keep(4, spread=False) == [0, 1, 2, 3]
    assert keep(6, spread=True) == [0, 2, 4, 7, 9, 11]
    assert (keep(1, spread=True), keep(12, spread=True)) == ([0], list(range(12)))
