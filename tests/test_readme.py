"""Every block of the README, run in a fresh copy of the repository as a newcomer would run it."""

import doctest
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = BLOCK.findall(README)
EVALUATION = (ROOT / "docs" / "evaluation.md").read_text(encoding="utf-8")
CHECKS = "bash .ci/check"
USER_PROMPTS = ROOT.parent / "shared" / "data" / "prompts" / "user_dev.csv.gz"
MOST_INSTALLED_BYTES = 306e6
NUMBER = re.compile(r"\d+(?:\.\d+)?")
RELATIVE_LINK = re.compile(r"\]\((?!https?://)")
SETTLED = re.compile(r"(\d+) \(accuracy (\d\.\d+)\)")


def read_session(block: str) -> list[tuple[str, str]]:
    """Split a console block into commands (`$`, continued by `>`) and what they print."""
    session: list[tuple[str, str]] = []
    for line in block.splitlines(keepends=True):
        if line.startswith("$ "):
            session.append((line[2:], ""))
        elif line.startswith("> "):
            session[-1] = (session[-1][0] + line[2:], session[-1][1])
        else:
            session[-1] = (session[-1][0], session[-1][1] + line)
    return session


def agrees(expected: str, printed: str) -> bool:
    return doctest.OutputChecker().check_output(expected, printed, doctest.ELLIPSIS)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh copy: what git knows or would add, nothing that was built."""
    copy = tmp_path_factory.mktemp("home") / "contextual-llm-router"
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")[:-1]:
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            (copy / name).write_bytes((ROOT / name).read_bytes())
    return copy


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of commands: without this one's settings, and with a cache that they share."""
    kept = {name: value for name, value in os.environ.items() if name not in ("LLM_ROUTER_MODEL", "VIRTUAL_ENV")}
    return kept | {"XDG_CACHE_HOME": str(tmp_path_factory.mktemp("cache"))}


def test_every_command_prints_what_the_readme_says(home: Path, environment: dict[str, str]) -> None:
    installed = None
    for kind, block in BLOCKS:
        if kind == "python":
            (home / "block.txt").write_text(block, encoding="utf-8")
            command = [".venv/bin/python", "-m", "doctest", "-o", "ELLIPSIS", "block.txt"]
            done = subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True, check=False)
            assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        for command, expected in read_session(block) if kind == "console" else []:
            if command.strip() == CHECKS:
                continue
            done = subprocess.run(
                ["bash", "-c", command], cwd=home, env=environment, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, f"{command}{done.stderr}"
            assert agrees(expected, done.stdout), f"{command}{done.stdout}"
            if installed is None:
                installed = sum(file.lstat().st_size for file in (home / ".venv").rglob("*") if file.is_file())
    assert installed is not None
    assert installed < MOST_INSTALLED_BYTES
    # A package index shows this description, and has none of the files that a relative link would lead to.
    (metadata,) = (home / ".venv").glob("lib/python*/site-packages/contextual_llm_router-*.dist-info/METADATA")
    description = metadata.read_text(encoding="utf-8")
    assert "# contextual-llm-router" in description
    assert RELATIVE_LINK.search(description) is None


def test_ci_runs_the_readmes_checks() -> None:
    assert (CHECKS + "\n", "") in [step for kind, block in BLOCKS if kind == "console" for step in read_session(block)]
    assert CHECKS in (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()


def test_the_readme_quotes_the_figures_of_the_evaluation() -> None:
    (block,) = (block for kind, block in BLOCK.findall(EVALUATION) if kind == "text")
    (router,) = (line for line in block.splitlines() if line.startswith("router  "))
    accuracy, macro_f1, _ = re.findall(r"(\d\.\d+) (\[.*?\])", router)
    for figure, interval in (accuracy, macro_f1):
        assert f"**{figure}** {interval}" in README


def test_the_figures_of_real_users_prompts_are_measured(environment: dict[str, str]) -> None:
    if not USER_PROMPTS.is_file():
        pytest.skip("user_dev.csv.gz, real users' prompts, is not part of the repository")
    (block,) = (block for kind, block in BLOCK.findall(EVALUATION) if kind == "text")
    command, expected = read_session(block)[0]
    places = {"user_dev.csv.gz": str(USER_PROMPTS), "data/prompts.csv": str(ROOT / "data" / "prompts.csv")}
    arguments = [places.get(argument, argument) for argument in command.split()[1:]]
    command = [sys.executable, "-m", "training.cli", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert NUMBER.sub("#", done.stdout) == NUMBER.sub("#", expected)
    # Processors with and without 8-bit instructions round 8-bit products differently, so one or two of the 604 prompts may
    # get another task, and each share may change by as much.
    (*measured, settled), (*shown, expected_settled) = done.stdout.splitlines(), expected.splitlines()
    for found, printed in zip(NUMBER.findall("".join(measured)), NUMBER.findall("".join(shown)), strict=True):
        assert float(found) == pytest.approx(float(printed), abs=0.01)
    pairs = zip(SETTLED.findall(settled), SETTLED.findall(expected_settled), strict=True)
    for (n, share), (expected_n, expected_share) in pairs:
        assert int(n) == pytest.approx(int(expected_n), abs=2)
        assert float(share) == pytest.approx(float(expected_share), abs=0.01 + 2 / int(n))


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) <= 150
