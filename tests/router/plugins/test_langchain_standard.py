"""The tests that LangChain wrote for every chat model."""

import pytest

pytest.importorskip("langchain_tests", reason="langchain-tests is not installed")

from collections.abc import Callable

from langchain_core.language_models import BaseChatModel
from langchain_tests.integration_tests import ChatModelIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests

from router import Router
from router.plugins.langchain import RouterChatModel


class _OurModel:
    @pytest.fixture(autouse=True)
    def _keep_router(self, make_router: Callable[..., Router]) -> None:
        self._router = make_router(prefer="quality")

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return RouterChatModel

    @property
    def chat_model_params(self) -> dict[str, object]:
        return {"router": self._router}

    @property
    def standard_chat_model_params(self) -> dict[str, object]:
        # `max_retries` is missing, because the retries are those of the router.
        return {"temperature": 0, "max_tokens": 100, "timeout": 60, "stop": []}

    @property
    def supports_model_override(self) -> bool:
        return True

    @property
    def model_override_value(self) -> str:
        return "gpt-4.1-mini"


class TestUnit(_OurModel, ChatModelUnitTests):
    pass


class TestIntegration(_OurModel, ChatModelIntegrationTests):
    pass
