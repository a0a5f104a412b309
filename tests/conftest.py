"""What every test may ask for: the shipped model folder, a router loaded from it once, and a copy to damage."""

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import settings

from router import Router
from router.model_folder.load import find_model_folder

# The time of one example depends on the machine, not on the code.
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped folder, copied once: what replaces it meanwhile does not disturb."""
    return Path(shutil.copytree(find_model_folder(), tmp_path_factory.mktemp("shipped") / "model"))


@pytest.fixture(scope="session")
def shipped(model_folder: Path) -> Router:
    return Router.load(model_folder)


@pytest.fixture
def folder(model_folder: Path, tmp_path: Path) -> Path:
    """A folder of hard links to the shipped files: free to make; unlink a file before writing another in its place."""
    return Path(shutil.copytree(model_folder, tmp_path / "model", copy_function=os.link))
