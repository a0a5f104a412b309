from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from router.errors import EncoderError
from tests.training.exporting import EXPORTS
from training.data.prompts import LabelledPrompt, PromptSet
from training.encoder.convert import convert_encoder
from training.encoder.e5_model import unpacked
from training.encoder.encoder_model import is_encoder_folder, read_tuning, write_encoder_model
from training.encoder.finetune import finetune
from training.encoder.recipe import FinetuneRecipe
from training.encoder.seen import hold_out, was_seen

pytestmark = EXPORTS

Build = Callable[..., Path]
TEXTS = ["a red cat runs here", "my old house", "the dog sleeps and runs now", "blue word"]


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_an_encoder_becomes_the_model_that_it_was_made_from(
    build: Build, tmp_path: Path, precision: str, pooling: str
) -> None:
    from sentence_transformers import SentenceTransformer

    original = build(pooling=pooling, prompts={"query": "the "}, default_prompt_name="query")
    convert_encoder(str(original), tmp_path / "encoder", prompts=TEXTS, precision=precision)  # type: ignore[arg-type]
    write_encoder_model(tmp_path / "encoder", tmp_path / "model")
    model = SentenceTransformer(str(tmp_path / "model"), device="cpu")
    assert (model.prompts["query"], model.default_prompt_name) == ("the ", "query")
    wanted = SentenceTransformer(str(original), device="cpu").encode(TEXTS)
    cosines = (model.encode(TEXTS) * wanted).sum(axis=1)
    assert cosines.min() > (0.99999 if precision == "fp32" else 0.97)


def test_another_graph_is_refused(tmp_path: Path, build: Build) -> None:
    import onnx

    convert_encoder(str(build()), tmp_path / "encoder", prompts=TEXTS)
    graph = onnx.load(str(tmp_path / "encoder" / "model.onnx"))
    del graph.graph.node[:]
    onnx.save(graph, str(tmp_path / "encoder" / "model.onnx"))
    with pytest.raises(EncoderError, match="must hold a BERT as the encoder command writes it"):
        write_encoder_model(tmp_path / "encoder", tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_a_tuned_encoder_is_tuned_further_and_remembers_both_tunings(build: Build, tmp_path: Path) -> None:
    first, second = _prompts("cat"), _prompts("dog")
    recipe = FinetuneRecipe(epochs=1, batch=8)
    tuned = finetune(str(build()), first, tmp_path / "tuning", recipe=recipe)
    convert_encoder(str(tuned.folder), tmp_path / "encoder", prompts=TEXTS, tuning=tuned.record)
    before = read_tuning(str(tmp_path / "encoder"))
    assert before == tuned.record
    with unpacked(str(tmp_path / "encoder"), beside=tmp_path / "new", prompts=None) as base:
        again = finetune(base, second, tmp_path / "again", recipe=recipe, tuning=before)
    assert not Path(base).exists()
    seen = was_seen([row.prompt for row in first.rows], before)
    assert seen.sum() == tuned.record.rows
    # What the first tuning used counts as seen, and so does what the second one used.
    assert (was_seen([row.prompt for row in first.rows], again.record) >= seen).all()
    assert was_seen([row.prompt for row in second.rows], again.record).sum() == again.record.rows


def test_prompts_of_an_earlier_tuning_are_never_held_out(build: Build, tmp_path: Path) -> None:
    prompts = _prompts("cat")
    tuned = finetune(str(build()), prompts, tmp_path / "tuning", recipe=FinetuneRecipe(epochs=1, batch=8))
    held_out = hold_out(prompts, seed=1, tuning=tuned.record)
    seen = was_seen([row.prompt for row in prompts.rows], tuned.record)
    assert held_out.any()
    assert not (held_out & seen).any()
    assert held_out.sum() <= np.ceil((~seen).sum() / 2) + 1


def test_other_folders_are_no_encoders(tmp_path: Path, build: Build) -> None:
    assert not is_encoder_folder(tmp_path)
    assert read_tuning(str(build())) is None
    assert read_tuning("a/name") is None


def _prompts(animal: str) -> PromptSet:
    starts, places = ("a", "the", "my", "old"), ("here", "now", "in house", "word", "runs")
    rows = [
        LabelledPrompt(prompt=f"{start} {colour} {animal} {place}", task=task, group=f"{start} {place} {colour}")
        for colour, task in (("red", "stop"), ("blue", "go"))
        for start in starts
        for place in places
    ]
    return PromptSet(rows=tuple(rows), sha256="0" * 64)
