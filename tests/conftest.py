"""Fixtures for all tests: the shipped model folder, a router that is loaded from it once, and a copy to damage."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

from router import Router
from router.model_folder.load import find_model_folder

# The time of one example depends on the machine, not on the code.
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")


# Each of these takes minutes. If a worker starts them first, the other workers have enough left to do meanwhile.
LONGEST = ("test_readme.py", "test_notebooks.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first."""
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped folder, copied once, so that nothing that replaces it disturbs a test."""
    return Path(shutil.copytree(find_model_folder(), tmp_path_factory.mktemp("shipped") / "model"))


@pytest.fixture(scope="session")
def shipped(model_folder: Path) -> Router:
    return Router.load(model_folder)


@pytest.fixture
def folder(model_folder: Path, tmp_path: Path) -> Path:
    """A folder of hard links to the shipped files: free to make; unlink a file before writing another in its place."""
    return Path(shutil.copytree(model_folder, tmp_path / "model", copy_function=os.link))


@pytest.fixture
def kill_one() -> Callable[[str], None]:
    """Kill the process of one actor of a class, on the Ray cluster that this process has started."""
    import psutil

    def kill(name: str) -> None:
        family = psutil.Process().children(recursive=True)
        actors = [process for process in family if process.cmdline()[:1] and process.cmdline()[0].startswith(f"ray::{name}")]
        actors[0].kill()

    return kill
