"""A model folder in MLflow: logged, registered, loaded and served."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import warnings
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

# Before the import, which sends a report otherwise.
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
with warnings.catch_warnings():
    # MLflow warns about the types of its own functions.
    warnings.simplefilter("ignore")
    mlflow = pytest.importorskip("mlflow", reason="mlflow is not installed")
    from mlflow.models.model import ModelInfo

    from router.plugins.mlflow import log_model

from router import ModelFolderError, Router

pytestmark = pytest.mark.filterwarnings("ignore")
PROMPTS = ["write a haiku about rain", "prove that sqrt(2) is irrational"]
EXPECTED_KEYS = {"model", "fallbacks", "task", "confidence", "quality", "cost_usd"}
LONGEST_START_S = 120.0


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a tracking server's database and files."""
    folder = tmp_path_factory.mktemp("mlflow")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
        mlflow.set_tracking_uri(os.environ["MLFLOW_TRACKING_URI"])
        yield folder


@pytest.fixture(scope="module")
def logged(store: Path, model_folder: Path) -> ModelInfo:
    return log_model(model_folder, registered_model_name="router", prefer="cheap", allowed={"gpt-5.5", "gpt-4.1-mini"})


def test_a_registered_folder_decides_as_the_router_does(logged: ModelInfo, model_folder: Path) -> None:
    assert logged.registered_model_version == 1
    model = mlflow.pyfunc.load_model("models:/router/1")
    router = Router.load(model_folder, prefer="cheap", allowed={"gpt-5.5", "gpt-4.1-mini"})
    for options in ({}, {"prefer": "quality"}):
        rows = model.predict([{"prompt": prompt} for prompt in PROMPTS], params=options)
        decisions = [router.route(prompt, **options) for prompt in PROMPTS]
        assert [(row["model"], row["task"]) for row in rows] == [(each.model, each.task) for each in decisions]
        assert set(rows[0]) == EXPECTED_KEYS


def test_a_changed_folder_is_refused(logged: ModelInfo, store: Path) -> None:
    folder = Path(mlflow.artifacts.download_artifacts(logged.model_uri, dst_path=str(store / "copy")))
    assert not [path for path in folder.rglob("*") if path.suffix in (".pkl", ".pickle", ".bin")]
    (manifest,) = folder.rglob("manifest.json")
    manifest.write_bytes(manifest.read_bytes() + b"\n")
    with pytest.raises(ModelFolderError, match="the manifest must hash to the pinned"):
        mlflow.pyfunc.load_model(str(folder))


def test_it_is_served_over_http(logged: ModelInfo, store: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "models", "serve", "--model-uri", "models:/router/1"]
    place = ["--env-manager", "local", "--host", "127.0.0.1", "--port", str(port)]
    # The server that MLflow starts is found in the path.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with (store / "log").open("w") as log:
        server = subprocess.Popen(
            [*command, *place], env={**os.environ, "PATH": path}, stdout=log, stderr=log, start_new_session=True
        )
        try:
            answer = ask(f"http://127.0.0.1:{port}/invocations", {"dataframe_records": [{"prompt": PROMPTS[0]}]}, server)
        finally:
            os.killpg(server.pid, signal.SIGTERM)
            server.wait()
    assert (answer["predictions"][0]["model"], answer["predictions"][0]["task"]) == ("gpt-4.1-mini", "writing")


def ask(url: str, body: dict[str, object], server: subprocess.Popen[bytes]) -> dict[str, list[dict[str, object]]]:
    """Return the answer of a server that may not have started yet."""
    request = urllib.request.Request(url, msgspec.json.encode(body), {"Content-Type": "application/json"})  # noqa: S310
    give_up_at = time.monotonic() + LONGEST_START_S
    while True:
        try:
            with urllib.request.urlopen(request) as response:  # noqa: S310
                return msgspec.json.decode(response.read())
        except urllib.error.URLError:
            if time.monotonic() > give_up_at or server.poll() is not None:
                raise
            time.sleep(0.2)
