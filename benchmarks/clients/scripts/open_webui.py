"""Start Open WebUI in front of the gateway, ask as its page does, and print the streamed answer."""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

START_S = 150


def request(url: str, body: object = None, token: str = "") -> Any:
    """Send a request, and return the response."""
    headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}
    data = None if body is None else json.dumps(body).encode()
    return urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=60)  # noqa: S310 - loopback


def wait(url: str, process: "subprocess.Popen[bytes]") -> None:
    """Wait until the server answers."""
    ends_at = time.monotonic() + START_S
    while time.monotonic() < ends_at and process.poll() is None:
        try:
            request(f"{url}/health")
        except OSError:
            time.sleep(1)
        else:
            return
    sys.exit("Open WebUI does not start")


with socket.create_server(("127.0.0.1", 0)) as free:
    port = free.getsockname()[1]
with tempfile.TemporaryDirectory() as data, (Path(data) / "log").open("wb") as log:
    settings = {
        "OPENAI_API_BASE_URL": os.environ["OPENAI_BASE_URL"],
        "WEBUI_AUTH": "False",
        "ENABLE_OLLAMA_API": "False",
        "OFFLINE_MODE": "True",
        # It would load a model of its own for the search in documents.
        "RAG_EMBEDDING_ENGINE": "openai",
        "DATA_DIR": data,
        "WEBUI_SECRET_KEY": "only for this run",
    }
    command = [str(Path(sys.executable).with_name("open-webui")), "serve", "--host", "127.0.0.1", "--port", str(port)]
    server = subprocess.Popen(command, env={**os.environ, **settings}, stdout=log, stderr=log)
    try:
        url = f"http://127.0.0.1:{port}"
        wait(url, server)
        signed_in = json.load(request(f"{url}/api/v1/auths/signin", {"email": "", "password": ""}))
        models = json.load(request(f"{url}/api/models", token=signed_in["token"]))["data"]
        print("models:", ", ".join(sorted(model["id"] for model in models)))
        asked = {"model": "auto", "stream": True, "messages": [{"role": "user", "content": "hello"}]}
        for line in request(f"{url}/api/chat/completions", asked, signed_in["token"]):
            if line.startswith(b"data: {"):
                choices = json.loads(line[6:]).get("choices") or [{}]
                print(choices[0].get("delta", {}).get("content") or "", end="")
        print()
    finally:
        server.terminate()
        server.wait()
        log.flush()
        print((Path(data) / "log").read_text(errors="replace")[-1500:], file=sys.stderr)
