"""Small real data, a model folder trained on it, a fake encoder and a tiny sentence-transformers model."""

import csv
import hashlib
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from training.cli import main
from training.pipeline import train
from training.result import TrainingResult

ROOT = Path(__file__).parents[2]
SMALL_TASKS = ("coding", "math", "translation")

Row = Mapping[str, object]
CsvWriter = Callable[[Path, Iterable[Row]], Path]


class CountingEncoder:
    """Turns a text into a random vector, seeded with the text's hash, and counts the texts."""

    name, dim, sha256 = "counting", 8, "0" * 64

    def __init__(self) -> None:
        self.encoded = 0

    def encode(self, texts: Sequence[str], /) -> np.ndarray:
        self.encoded += len(texts)
        seeds = [int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) for text in texts]
        vectors = np.array([np.random.default_rng(seed).normal(size=self.dim) for seed in seeds])
        return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class Small:
    """Three tasks with fifteen training prompts and five other prompts each, and three models, each best at one task."""

    prompts: list[Row]
    others: list[Row]
    benchmark: list[Row]


def _write_csv(path: Path, rows: Iterable[Row]) -> Path:
    rows = list(rows)
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(dict.fromkeys(name for row in rows for name in row)))
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def write_csv() -> CsvWriter:
    return _write_csv


@pytest.fixture
def counting_encoder() -> CountingEncoder:
    return CountingEncoder()


@pytest.fixture(scope="session")
def encoder_folder(model_folder: Path) -> Path:
    return model_folder / "encoder"


@pytest.fixture(scope="session")
def small() -> Small:
    by_task: dict[str, list[Row]] = defaultdict(list)
    with (ROOT / "data" / "prompts.csv").open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            if row["language"] == "en" and len(row["prompt"]) < 300:
                by_task[row["task"]].append({"prompt": row["prompt"], "task": row["task"]})
    strengths = {"coder": "coding", "counter": "math", "linguist": "translation"}
    return Small(
        prompts=[row for task in SMALL_TASKS for row in by_task[task][:15]],
        others=[row for task in SMALL_TASKS for row in by_task[task][15:20]],
        benchmark=[
            {"model": model, "task": task, "score": 0.9 if task == best else 0.5, "benchmark": "made up", "n": 1000}
            for model, best in strengths.items()
            for task in SMALL_TASKS
        ],
    )


@pytest.fixture(scope="session")
def small_files(small: Small, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("small")
    return _write_csv(folder / "prompts.csv", small.prompts), _write_csv(folder / "benchmark.csv", small.benchmark)


@pytest.fixture(scope="session")
def trained(
    small_files: tuple[Path, Path], encoder_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, TrainingResult]:
    out = tmp_path_factory.mktemp("trained") / "model"
    return out, train(*small_files, out, encoder=encoder_folder, jobs=1)


@pytest.fixture
def train_small(small_files: tuple[Path, Path], encoder_folder: Path) -> Callable[..., TrainingResult]:
    """Train on the small files, in one process. The options replace arguments of `train`."""

    def run(out: Path, **options: object) -> TrainingResult:
        given = {"prompts": small_files[0], "benchmark": small_files[1], "encoder": encoder_folder, "jobs": 1}
        return train(out=out, **given | options)

    return run


@pytest.fixture
def run_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., tuple[int, str, str]]:
    """Run `llm-router-train`. Return the exit code, standard output and standard error."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["llm-router-train", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code, *capsys.readouterr()

    return run


Build = Callable[..., Path]
_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_WORDS = (
    "a", "the", "cat", "dog", "house", "runs", "sleeps", "red", "blue", "old", "and", "in", "my", "now", "here", "word",
)  # fmt: skip


@pytest.fixture(scope="session")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """Save a random two-layer BERT of 48 dimensions as a sentence-transformers model."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer import modules
    from transformers import BertConfig, BertModel, BertTokenizerFast

    torch.manual_seed(0)
    bare = tmp_path_factory.mktemp("bert")
    (bare / "vocab.txt").write_text("\n".join([*_SPECIAL, *_WORDS]) + "\n")
    BertTokenizerFast(str(bare / "vocab.txt")).save_pretrained(bare)
    config = BertConfig(
        vocab_size=len(_SPECIAL) + len(_WORDS),
        hidden_size=48,
        num_hidden_layers=2,
        num_attention_heads=12,
        intermediate_size=96,
        max_position_embeddings=64,
        initializer_range=0.2,
    )
    BertModel(config).eval().save_pretrained(bare)

    def save(*, pooling: str = "mean", more: Sequence[str] = ("Normalize",), **options: object) -> Path:
        made = {"Normalize": modules.Normalize, "Dense": lambda: modules.Dense(48, 24)}
        chain = [modules.Transformer(str(bare)), modules.Pooling(48, pooling), *(made[name]() for name in more)]
        folder = tmp_path_factory.mktemp("original")
        SentenceTransformer(modules=chain, device="cpu", **options).save(str(folder))
        return folder

    return save
