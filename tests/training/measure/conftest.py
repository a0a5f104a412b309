"""A server of models, and a configuration that calls it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.training.measure.model_server import ModelServer

MODELS = ("gpt-5.5", "gpt-4.1-mini")


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with ModelServer() as running:
        yield running


@pytest.fixture
def config(server: ModelServer, tmp_path: Path, model_folder: Path) -> Path:
    """Two models at the server. One attempt for each call, which keeps failures fast."""
    path = tmp_path / "router.toml"
    path.write_text(
        f'model_folder = "{model_folder}"\nmax_cost_usd = 0.0\n'
        f'[endpoints.here]\nbase_url = "{server.url}"\n[calls]\nmax_attempts = 1\n'
        + "".join(f'[models."{name}"]\n' for name in MODELS)
    )
    return path


@pytest.fixture
def write_plan(tmp_path: Path, write_csv: Callable[..., Path]) -> Callable[..., Path]:
    """Write a plan: each row as prompt, model, grader, expected."""

    def write(*rows: tuple[str, str, str, str], **more: str) -> Path:
        names = ("prompt", "model", "grader", "expected")
        return write_csv(
            tmp_path / "plan.csv",
            [{**dict(zip(names, row, strict=True)), "task": "qa", "expected_cost_usd": "0.001", **more} for row in rows],
        )

    return write
