"""A log of prompts."""

from pathlib import Path

import pytest


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log.txt"
    path.write_text(
        "\n".join([*(f"translate word {i} into Greek" for i in range(30)), "prove that 2 is prime", "hm"]) + "\n"
    )
    return path
