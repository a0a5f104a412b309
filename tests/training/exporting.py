"""What tests share that export an encoder with torch: they are skipped without it, and its notices are let pass."""

import pytest

pytest.importorskip("sentence_transformers", reason="the extra `sentence-transformers` is not installed")
pytest.importorskip("onnx", reason="the extra `sentence-transformers` is not installed")

EXPORTS = [
    pytest.mark.filterwarnings("ignore:You are using the legacy TorchScript-based ONNX export:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The feature will be removed:DeprecationWarning"),  # torch, of its own logging
    pytest.mark.filterwarnings("ignore:Converting a tensor to a Python boolean"),  # transformers asks for the mask's shape
    pytest.mark.filterwarnings("ignore:Exporting aten.*index operator of advanced indexing:UserWarning"),
]
