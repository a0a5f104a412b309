import json
import subprocess
import sys
from pathlib import Path

TRAINING_ONLY = {
    "sklearn",
    "pandas",
    "joblib",
    "torch",
    "scipy",
    "sentence_transformers",
    "transformers",
    "onnx",
    "training",
}


def loaded(code: str) -> set[str]:
    """Return the packages a fresh process has imported after some code."""
    code += "; import json, sys; print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


def test_loading_and_routing_import_nothing_of_the_pipeline(model_folder: Path) -> None:
    packages = loaded(f"from router import Router; Router.load({str(model_folder)!r}).route('prove it')")
    assert packages & TRAINING_ONLY == set()
    assert {"onnxruntime", "tokenizers", "router"} <= packages


def test_importing_the_router_imports_nothing_heavy() -> None:
    packages = loaded("import router")
    assert packages & (TRAINING_ONLY | {"onnxruntime", "tokenizers", "click", "safetensors"}) == set()
    assert "router" in packages
