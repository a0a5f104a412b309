"""The pages of docs/, every Python example of them run."""

import doctest
import re
from pathlib import Path

import pytest

from router.config.read import read_config
from training.data.task_file import read_task_file

DOCS = Path(__file__).parent.parent / "docs"
PAGES = sorted(DOCS.glob("*.md"))
TOML = re.compile(r"^```toml\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# Its sections need libraries that need not be installed (tests/router/plugins/test_page.py).
PLUGINS = DOCS / "plugins.md"
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")


@pytest.mark.parametrize("page", [page for page in PAGES if page != PLUGINS], ids=lambda page: page.stem)
def test_every_example_prints_what_the_page_says(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LLM_ROUTER_MODEL", raising=False)
    failed, _ = doctest.testfile(str(page), module_relative=False, optionflags=doctest.ELLIPSIS)
    assert failed == 0


@pytest.mark.parametrize("page", [*PAGES, DOCS.parent / "README.md"], ids=lambda page: page.stem)
def test_every_link_leads_somewhere(page: Path) -> None:
    missing = [target for target in LINK.findall(page.read_text(encoding="utf-8")) if not (page.parent / target).exists()]
    assert missing == []


def test_every_configuration_is_one(tmp_path: Path) -> None:
    blocks = [block for page in PAGES for block in TOML.findall(page.read_text(encoding="utf-8"))]
    assert blocks
    file = tmp_path / "router.toml"
    endpoint = '[endpoints.x]\nbase_url = "http://127.0.0.1:9/v1"\n'
    for block in blocks:
        is_part = block.startswith("[models")
        file.write_text(endpoint + block if is_part else block, encoding="utf-8")
        if block.startswith("[tasks"):
            assert read_task_file(file)
        else:
            config = read_config(file)
            assert config.models or config.serving.state
