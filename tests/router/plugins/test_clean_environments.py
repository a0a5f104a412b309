"""Each example of the page about plug-ins, in a new environment with what its section installs. It takes minutes."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.router.plugins.page import Section, read_sections

ROOT = Path(__file__).parents[3]
if not os.environ.get("CLEAN_ENVIRONMENTS"):
    pytest.skip("new environments take minutes; set CLEAN_ENVIRONMENTS=1", allow_module_level=True)

# The tests of each plug-in, and what they need besides.
TESTS = {
    "LangChain": (["test_langchain.py", "test_langchain_standard.py"], ["langchain-tests>=1.1"]),
    "LlamaIndex": (["test_llama_index.py"], []),
    "LiteLLM": (["test_litellm.py"], []),
    "MLflow": (["test_mlflow.py"], []),
    "scikit-learn": (["../../training/test_estimator.py"], []),
}
OPTIONS = ["-p", "no:cacheprovider", "-o", "filterwarnings=default"]
# langchain-tests brings plug-ins of pytest. Without them, this option would be unknown.
LANGCHAIN_OPTIONS = ["-o", "asyncio_mode=auto"]


@pytest.mark.parametrize("section", read_sections(), ids=lambda section: section.name)
def test_the_example_and_the_tests_pass(section: Section, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    began_at = time.monotonic()
    python = tmp_path / "venv" / "bin" / "python"
    run(sys.executable, "-m", "venv", str(tmp_path / "venv"))
    extra = section.install.removeprefix("pip install ").strip("'")
    # Not all that is installed is imported, so nothing is compiled before.
    install = [str(python), "-m", "pip", "install", "--quiet", "--no-compile"]
    run(*install, extra)
    size = sum(file.lstat().st_size for file in (tmp_path / "venv").rglob("*") if file.is_file())
    with capsys.disabled():
        print(f"\n{section.name}: {size / 1e6:.0f} MB, {time.monotonic() - began_at:.0f} s to install")
    (tmp_path / "example.txt").write_text(section.example, encoding="utf-8")
    # Isolated and away from the repository, so that the installed package runs.
    assert run(str(python), "-I", "-m", "doctest", "-o", "ELLIPSIS", "example.txt", folder=tmp_path) == ""
    files, more = TESTS[section.name]
    run(*install, "pytest", "hypothesis", *more)
    folder = Path(__file__).parent
    options = [*OPTIONS, *(LANGCHAIN_OPTIONS if section.name == "LangChain" else [])]
    print(run(str(python), "-m", "pytest", "-q", *options, *(str((folder / file).resolve()) for file in files)))


def run(*command: str, folder: Path = ROOT) -> str:
    """Run a command and return what it prints."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
