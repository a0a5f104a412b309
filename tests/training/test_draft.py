import random
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np
import pytest

from router import Router
from router.artifacts import load_artifact
from router.draft import DraftEncoder
from router.encoder import OnnxEncoder
from router.errors import EncoderError
from tests.training.exporting import EXPORTS
from training.draft import DraftRecipe, distil, make_texts
from training.encoders import convert_encoder
from training.first import fit_linear

pytestmark = EXPORTS

Build = Callable[..., Path]
CsvWriter = Callable[[Path, Iterable[Mapping[str, object]]], Path]
RunCommand = Callable[..., tuple[int, str, str]]
WORDS = ["a", "the", "my", "old", "cat", "dog", "word", "here", "now", "in", "house"]
RECIPE = DraftRecipe(dim=16, filters=24, epochs=6, batch=32, learning_rate=1e-2)


def write_texts(n: int, *, seed: int) -> list[tuple[str, str]]:
    """Random words with a colour among them, which is the task: red says stop, blue says go."""
    rng = random.Random(seed)  # noqa: S311
    texts = []
    for _ in range(n):
        words, colour = rng.choices(WORDS, k=rng.randint(2, 12)), rng.choice(["red", "blue"])
        words.insert(rng.randrange(len(words) + 1), colour)
        texts.append((" ".join(words), {"red": "stop", "blue": "go"}[colour]))
    return list(dict.fromkeys(texts))


def tell(texts: list[tuple[str, str]]) -> np.ndarray:
    return np.array([(0.9, 0.1) if task == "go" else (0.1, 0.9) for _, task in texts])


@pytest.fixture(scope="module")
def encoder_folder(build: Build, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random encoder, converted; it knows nothing."""
    out = tmp_path_factory.mktemp("converted") / "encoder"
    convert_encoder(str(build()), out, prompts=[text for text, _ in write_texts(20, seed=9)], precision="fp32")
    return out


def test_a_draft_learns_what_its_teacher_says_of_texts_it_never_saw(encoder_folder: Path) -> None:
    known, unknown = write_texts(600, seed=0), write_texts(200, seed=1)
    encoder = OnnxEncoder.load(encoder_folder)
    arrays, divergence = distil([text for text, _ in known], tell(known), encoder, recipe=RECIPE)
    assert divergence < 0.1
    draft = DraftEncoder(encoder.pieces, arrays)
    layer = fit_linear(draft.encode([text for text, _ in known]), tell(known))
    told = layer.tell(draft.encode([text for text, _ in unknown]))
    assert (told.argmax(axis=1) == tell(unknown).argmax(axis=1)).mean() > 0.95


def test_the_same_seed_distils_the_same_draft(encoder_folder: Path) -> None:
    known, encoder = write_texts(64, seed=0), OnnxEncoder.load(encoder_folder)
    texts, told = [text for text, _ in known], tell(known)
    one, same, other = (
        distil(texts, told, encoder, recipe=DraftRecipe(dim=8, filters=4, epochs=1, seed=seed))[0] for seed in (0, 0, 1)
    )
    assert all(np.array_equal(one[name], same[name]) for name in one)
    assert not np.array_equal(one["kernel"], other["kernel"])


def test_texts_without_pieces_teach_nothing(encoder_folder: Path) -> None:
    with pytest.raises(EncoderError, match="texts of one word piece or more"):
        distil(["", " "], np.full((2, 2), 0.5), OnnxEncoder.load(encoder_folder), recipe=RECIPE)


def test_made_texts_are_of_parts_of_the_given_ones() -> None:
    given = [f"write a poem about {thing}, please" for thing in "abcdefgh"] + ["long " * 100]
    made = make_texts(given, 200, seed=0)
    assert made == make_texts(given, 200, seed=0) != make_texts(given, 200, seed=1)
    assert 50 < len(made) == len(set(made)) <= 200
    assert {word for text in made for word in text.replace(":", " ").replace(".", " ").split()} <= {
        word for text in given for word in text.split()
    }
    assert make_texts([], 10, seed=0) == make_texts([" "], 10, seed=0) == []


def test_a_folder_trained_with_a_draft_answers_by_two_tiers(
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
    untiered = load_artifact(tmp_path / "model")
    assert untiered.classifier is not None
    assert untiered.classifier.first is None

    given = ("--prompts", prompts, "--texts", more, "--own-tasks", "--out", tmp_path / "drafted")
    code, told, _ = run_command("distil", "--model", tmp_path / "model", *given)
    assert (code, "a draft of" in told) == (0, True)
    record = OnnxEncoder.load(tmp_path / "drafted").record.draft
    assert record is not None
    assert record.files == {"prompts.csv": {}, "more.csv": {"here": "CC0-1.0", "there": "not named"}}
    assert 1000 < record.texts - record.made < 1400  # a fifth of the prompts is held out

    assert "the first tier answers" in run_command(*train, "--encoder", tmp_path / "drafted")[1]
    artifact = load_artifact(tmp_path / "model", eager=True)
    assert artifact.manifest.first is not None
    assert artifact.manifest.first.n >= 200
    assert artifact.manifest.first.lost <= 0.005
    assert "## The first tier" in (tmp_path / "model" / "report.md").read_text()
    router = Router.from_artifact(artifact)
    decisions = [router.route(text, tier="full").model == task for text, task in write_texts(50, seed=3)]
    quick = [router.predict(text) for text, _ in write_texts(50, seed=3)]
    assert np.mean(decisions) > 0.9
    assert "first" in {prediction.tier for prediction in quick}
    assert router.predict(write_texts(1, seed=3)[0][0], tier="full").tier == "full"

    code, _, failed = run_command("distil", "--model", tmp_path / "model", *given)
    assert (code, "exists already" in failed) == (2, True)
