import random
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np
import pytest

from router import Router
from router.classify.draft import DraftEncoder
from router.classify.encoder import OnnxEncoder
from router.errors import EncoderError
from router.model_folder.load import load_model_folder
from tests.training.exporting import EXPORTS
from training.classifier.soft_labels import fit_linear
from training.encoder.convert import convert_encoder
from training.encoder.draft import DraftRecipe, fit_draft

pytestmark = EXPORTS

Build = Callable[..., Path]
CsvWriter = Callable[[Path, Iterable[Mapping[str, object]]], Path]
RunCommand = Callable[..., tuple[int, str, str]]
WORDS = ["a", "the", "my", "old", "cat", "dog", "word", "here", "now", "in", "house"]
RECIPE = DraftRecipe(dim=16, filters=24, epochs=6, batch=32, learning_rate=1e-2)


def write_texts(n: int, *, seed: int) -> list[tuple[str, str]]:
    """Return random words with a colour among them, which decides the task: red is stop, blue is go."""
    rng = random.Random(seed)  # noqa: S311
    texts = []
    for _ in range(n):
        words, colour = rng.choices(WORDS, k=rng.randint(2, 12)), rng.choice(["red", "blue"])
        words.insert(rng.randrange(len(words) + 1), colour)
        texts.append((" ".join(words), {"red": "stop", "blue": "go"}[colour]))
    return list(dict.fromkeys(texts))


def teach(texts: list[tuple[str, str]]) -> np.ndarray:
    """Return the probabilities of a teacher, shape (n, 2)."""
    return np.array([(0.9, 0.1) if task == "go" else (0.1, 0.9) for _, task in texts])


@pytest.fixture(scope="module")
def encoder_folder(build: Build, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A converted encoder with random weights. It knows nothing."""
    out = tmp_path_factory.mktemp("converted") / "encoder"
    convert_encoder(str(build()), out, prompts=[text for text, _ in write_texts(20, seed=9)], precision="fp32")
    return out


def test_a_draft_predicts_its_teacher_on_new_texts(encoder_folder: Path) -> None:
    known, unknown = write_texts(600, seed=0), write_texts(200, seed=1)
    encoder = OnnxEncoder.load(encoder_folder)
    arrays, divergence = fit_draft([text for text, _ in known], teach(known), encoder, recipe=RECIPE)
    assert divergence < 0.1
    draft = DraftEncoder(encoder.pieces, arrays)
    layer = fit_linear(draft.encode([text for text, _ in known]), teach(known))
    predicted = layer.probabilities(draft.encode([text for text, _ in unknown]))
    assert (predicted.argmax(axis=1) == teach(unknown).argmax(axis=1)).mean() > 0.95


def test_the_same_seed_distils_the_same_draft(encoder_folder: Path) -> None:
    known, encoder = write_texts(64, seed=0), OnnxEncoder.load(encoder_folder)
    texts, probabilities = [text for text, _ in known], teach(known)
    one, same, other = (
        fit_draft(texts, probabilities, encoder, recipe=DraftRecipe(dim=8, filters=4, epochs=1, seed=seed))[0]
        for seed in (0, 0, 1)
    )
    assert all(np.array_equal(one[name], same[name]) for name in one)
    assert not np.array_equal(one["kernel"], other["kernel"])


def test_texts_without_word_pieces_are_an_error(encoder_folder: Path) -> None:
    with pytest.raises(EncoderError, match="at least one text with a word piece to distil from, got 2 without; add texts"):
        fit_draft(["", " "], np.full((2, 2), 0.5), OnnxEncoder.load(encoder_folder), recipe=RECIPE)


def test_a_folder_with_a_draft_answers_in_two_tiers(
    encoder_folder: Path, tmp_path: Path, write_csv: CsvWriter, run_command: RunCommand
) -> None:
    rows = [{"prompt": text, "task": task, "group": i} for i, (text, task) in enumerate(write_texts(1200, seed=0))]
    prompts = write_csv(tmp_path / "prompts.csv", rows)
    sources = {0: {"source": "here", "licence": "CC0-1.0"}, 1: {"source": "there", "licence": ""}}
    others = [{"prompt": text} | sources[i % 2] for i, (text, _) in enumerate(write_texts(300, seed=2))]
    more = write_csv(tmp_path / "more.csv", others)
    scores = [{"model": m, "task": t, "score": (m == t) / 2, "n": 9} for m in ("stop", "go") for t in ("stop", "go")]
    benchmark = write_csv(tmp_path / "benchmark.csv", scores)
    train = ("train", "--prompts", prompts, "--benchmark", benchmark, "--own-tasks", "--out", tmp_path / "model")
    assert run_command(*train, "--encoder", encoder_folder)[0] == 0
    untiered = load_model_folder(tmp_path / "model")
    assert untiered.classifier is not None
    assert untiered.classifier.first is None

    given = ("--prompts", prompts, "--texts", more, "--own-tasks", "--out", tmp_path / "drafted")
    code, output, _ = run_command("distil", "--model", tmp_path / "model", *given)
    assert (code, "a draft of" in output) == (0, True)
    record = OnnxEncoder.load(tmp_path / "drafted").record.draft
    assert record is not None
    assert record.files == {"prompts.csv": {}, "more.csv": {"here": "CC0-1.0", "there": "not named"}}
    assert 1000 < record.texts - record.made < 1400  # a fifth of the prompts stays unseen

    assert "the first tier answers" in run_command(*train, "--encoder", tmp_path / "drafted")[1]
    folder = load_model_folder(tmp_path / "model", eager=True)
    assert folder.manifest.first is not None
    assert folder.manifest.first.n >= 200
    assert folder.manifest.first.lost <= 0.005
    assert "## The first tier" in (tmp_path / "model" / "report.md").read_text()
    router = Router.from_model_folder(folder)
    decisions = [router.route(text, tier="full").model == task for text, task in write_texts(50, seed=3)]
    quick = [router.predict(text) for text, _ in write_texts(50, seed=3)]
    assert np.mean(decisions) > 0.9
    assert "first" in {prediction.tier for prediction in quick}
    assert router.predict(write_texts(1, seed=3)[0][0], tier="full").tier == "full"

    code, _, failed = run_command("distil", "--model", tmp_path / "model", *given)
    assert (code, "exists already" in failed) == (2, True)
