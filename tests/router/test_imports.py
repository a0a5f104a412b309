import json
import subprocess
import sys
from pathlib import Path

import pytest

import router

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

# What only a batch needs.
BATCH_ONLY = {"pyarrow", "ray", "tqdm"}


def loaded(code: str) -> set[str]:
    """Return the packages a fresh process has imported after some code."""
    code += "; import json, sys; print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


def test_loading_and_routing_import_nothing_of_the_pipeline(model_folder: Path) -> None:
    packages = loaded(f"from router import Router; Router.load({str(model_folder)!r}).route('prove it', tier='full')")
    assert packages & (TRAINING_ONLY | BATCH_ONLY) == set()
    assert {"onnxruntime", "tokenizers", "router"} <= packages


def test_a_prompt_that_the_first_tier_answers_never_loads_onnx_runtime(model_folder: Path) -> None:
    packages = loaded(
        f"from router import Router; d = Router.load({str(model_folder)!r}).route('write a haiku about rain'); "
        "assert d.prediction.tier == 'first', d.prediction"
    )
    assert packages & (TRAINING_ONLY | {"onnxruntime"}) == set()
    assert "tokenizers" in packages


def test_importing_the_router_imports_nothing_heavy() -> None:
    packages = loaded("from router import route")
    assert packages & (TRAINING_ONLY | {"onnxruntime", "tokenizers", "click", "safetensors"}) == set()
    assert loaded("import router") & (packages - {"router"}) & {"numpy", "msgspec"} == set()
    assert "router" in packages


def test_every_public_name_is_found_and_no_other() -> None:
    for name in router.__all__:
        assert getattr(router, name) is not None
    assert set(router.__all__) <= set(dir(router))
    with pytest.raises(AttributeError, match="No router attribute rout"):
        router.rout  # noqa: B018


def test_the_command_line_imports_what_only_a_batch_needs_when_a_batch_runs() -> None:
    assert loaded("import router.cli, router.batch") & (TRAINING_ONLY | BATCH_ONLY) == set()
