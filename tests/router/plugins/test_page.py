"""The examples of the page about plug-ins, each if its library is installed."""

import doctest
import importlib.util
from pathlib import Path

import pytest

from tests.router.plugins.page import Section, read_sections


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("section", read_sections(), ids=lambda section: section.name)
def test_an_example_prints_what_the_page_says(section: Section, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if importlib.util.find_spec(section.module) is None:
        pytest.skip(f"{section.name} is not installed")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LLM_ROUTER_MODEL", raising=False)
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    example = doctest.DocTestParser().get_doctest(section.example, {}, section.name, "plugins.md", 0)
    assert doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(example).failed == 0


def test_the_page_has_an_example_for_each_library() -> None:
    assert [section.name for section in read_sections()] == ["LangChain", "LlamaIndex", "LiteLLM", "MLflow", "scikit-learn"]
