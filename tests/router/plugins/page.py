"""The sections of the page about plug-ins, each with what it installs and its example."""

import re
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).parents[3] / "docs" / "plugins.md"
_SECTION = re.compile(r"^## ([^\n]+)$\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
_BLOCK = re.compile(r"^```(console|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# The module of each library.
_MODULES = {"LangChain": "langchain", "LlamaIndex": "llama_index", "LiteLLM": "litellm", "MLflow": "mlflow"}


@dataclass(frozen=True, kw_only=True)
class Section:
    """A section of the page.

    Attributes:
        name: The library.
        module: The name by which it is imported.
        install: The command that installs it, such as `pip install '.[langchain]'`.
        example: The example in the form of a Python session.
    """

    name: str
    module: str
    install: str
    example: str


def read_sections() -> list[Section]:
    """Return the sections that have an example."""
    sections = []
    for name, text in _SECTION.findall(PAGE.read_text(encoding="utf-8")):
        blocks: dict[str, list[str]] = {"console": [], "python": []}
        for kind, block in _BLOCK.findall(text):
            blocks[kind].append(block)
        if blocks["python"]:
            (install,) = blocks["console"]
            module = _MODULES.get(name, "sklearn")
            sections.append(
                Section(
                    name=name, module=module, install=install.removeprefix("$ ").strip(), example="".join(blocks["python"])
                )
            )
    return sections
