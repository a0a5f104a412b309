"""Marks for tests that export an encoder with torch. They are skipped without torch, and its warnings are ignored."""

import pytest

pytest.importorskip("sentence_transformers", reason="the extra `sentence-transformers` is not installed")
pytest.importorskip("onnx", reason="the extra `sentence-transformers` is not installed")

EXPORTS = [
    pytest.mark.filterwarnings("ignore:You are using the legacy TorchScript-based ONNX export:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The feature will be removed:DeprecationWarning"),  # from torch's own logging
    pytest.mark.filterwarnings("ignore:Converting a tensor to a Python boolean"),  # transformers checks the mask's shape
    pytest.mark.filterwarnings("ignore:Exporting aten.*index operator of advanced indexing:UserWarning"),
]
