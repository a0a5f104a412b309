"""What `help()` shows: every public name has an example, and every example of the packages does what it says."""

import doctest
import inspect
import pkgutil
from importlib import import_module
from types import ModuleType

import pytest

import router
import training

MODULES = [
    module.name
    for package in (router, training)
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    if not module.name.endswith("__main__")
]
# Data cannot have one; of the errors, one carries more than its type and words.
EXPLAINED = [
    name
    for name in router.__all__
    if callable(found := getattr(router, name))
    and (name == "NoCandidateError" or not (inspect.isclass(found) and issubclass(found, Exception)))
]
METHODS = [
    name for name, found in inspect.getmembers(router.Router, callable) if not name.startswith("_") and "close" not in name
]


def import_or_skip(name: str) -> ModuleType:
    """Import a module. A plug-in needs its library, which need not be installed."""
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if not name.startswith("router.plugins."):
            raise
        pytest.skip(f"{error.name} is not installed")


@pytest.mark.parametrize("name", MODULES)
def test_every_example_prints_what_it_says(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LLM_ROUTER_MODEL", raising=False)
    assert doctest.testmod(import_or_skip(name), optionflags=doctest.ELLIPSIS).failed == 0


@pytest.mark.parametrize("name", EXPLAINED)
def test_every_public_name_has_an_example(name: str) -> None:
    assert ">>>" in (inspect.getdoc(getattr(router, name)) or "")


@pytest.mark.parametrize("name", METHODS)
def test_every_method_of_a_router_has_an_example(name: str) -> None:
    assert ">>>" in (inspect.getdoc(getattr(router.Router, name)) or "")
