"""The notebooks, run as they stand beside what they show; the rebuild command is in the README of their folder."""

import ast
import re
from pathlib import Path

import jupytext
import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"
NAMES = sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb"))
SCRIPT = "py:percent"
MOST_CELLS = 25
LONGEST_FUNCTION = 12
NUMBER = re.compile(r"-?\d+\.\d+|-?\d+")
# Processors with and without 8-bit instructions round 8-bit products differently, so shares of 20 to 430 prompts may
# differ a little. Words may not.
TOLERANCE = {"rel": 0.1, "abs": 0.05}

each = pytest.mark.parametrize("name", NAMES)


def read(name: str) -> nbformat.NotebookNode:
    return nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)


def shown(cell: nbformat.NotebookNode) -> str:
    """What a cell says in words, and how many pictures it draws."""
    texts = [output.get("text") or output["data"]["text/plain"] for output in cell.outputs]
    return "\n".join([*texts, f"pictures: {sum('image/png' in output.get('data', ()) for output in cell.outputs)}"])


@each
def test_both_forms_have_the_same_cells(name: str) -> None:
    script = jupytext.read(NOTEBOOKS / f"{name}.py", fmt=SCRIPT)
    kept = [(cell.cell_type, cell.source) for cell in script.cells]
    assert kept == [(cell.cell_type, cell.source) for cell in read(name).cells]


@each
def test_a_notebook_is_short_and_ends_with_its_claim(name: str) -> None:
    notebook = read(name)
    assert len(notebook.cells) <= MOST_CELLS
    code = [ast.parse(cell.source.replace("%matplotlib", "#")) for cell in notebook.cells if cell.cell_type == "code"]
    assert any(isinstance(line, ast.Assert) for line in code[-1].body)
    functions = [node for tree in code for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    assert all(node.end_lineno - node.lineno < LONGEST_FUNCTION for node in functions)


@each
def test_it_shows_what_it_prints(name: str) -> None:
    notebook = read(name)
    kept = [shown(cell) for cell in notebook.cells if cell.cell_type == "code"]
    NotebookClient(notebook, timeout=900, kernel_name="python3", resources={"metadata": {"path": str(NOTEBOOKS)}}).execute()
    for before, cell in zip(kept, (cell for cell in notebook.cells if cell.cell_type == "code"), strict=True):
        now = shown(cell)
        assert NUMBER.sub("#", now).split() == NUMBER.sub("#", before).split(), cell.source
        figures = zip(NUMBER.findall(now), NUMBER.findall(before), strict=True)
        assert all(float(found) == pytest.approx(float(before_), **TOLERANCE) for found, before_ in figures), now


def test_every_notebook_is_there_in_both_forms() -> None:
    assert NAMES
    assert sorted(path.stem for path in NOTEBOOKS.glob("*.py")) == NAMES
