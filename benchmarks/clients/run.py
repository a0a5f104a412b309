"""Install real clients and let each take one turn with a tool and a stream through the gateway. Prints what works.

    python benchmarks/clients/run.py --folder FOLDER [--only NAME ...]

FOLDER keeps the installed clients, a gigabyte in all. The model is scripted (`agent_upstream.py`) and runs on loopback, as
the gateway does. A client passes if it exits with 0, prints what the tool said, and the model has been asked with the tool,
with its result, and for a stream. It needs npm for the clients in JavaScript.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web

sys.path.insert(0, str(Path(__file__).parent))
from agent_upstream import make_upstream

SCRIPTS = Path(__file__).parent / "scripts"
ASK, KEY = "Say scones with your tool.", "client-key-0123456789"
_INSTALL_S, _RUN_S = 900, 180


@dataclass(frozen=True, kw_only=True)
class Client:
    """A client in a stated version.

    Attributes:
        name: Its name.
        packages: The packages to install, with versions.
        command: The command. `{python}`, `{bin}`, `{url}` and `{scripts}` are filled in.
        env: More environment variables, filled in as the command.
        files: Files of its working folder.
        needs_tool: Whether it calls a tool. Aider edits by text alone.
    """

    name: str
    packages: Sequence[str]
    command: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    needs_tool: bool = True

    @property
    def is_python(self) -> bool:
        """Whether pip installs it."""
        return "==" in self.packages[0]


def _script(name: str, *packages: str) -> Client:
    runs = ("{python}", f"{{scripts}}/{name}.py") if "==" in packages[0] else ("node", f"{name}.mjs")
    files = {} if "==" in packages[0] else {f"{name}.mjs": (SCRIPTS / f"{name}.mjs").read_text()}
    return Client(name=name, packages=packages, command=runs, files=files)


_CODEX = 'model_providers.gateway={{name="gateway",base_url="{url}/v1",env_key="OPENAI_API_KEY",wire_api="responses"}}'
_OPENCODE = {
    "provider": {
        "gateway": {
            "npm": "@ai-sdk/openai-compatible",
            "name": "gateway",
            "options": {"baseURL": "{env:OPENAI_BASE_URL}", "apiKey": "{env:OPENAI_API_KEY}"},
            "models": {"auto": {"name": "auto", "limit": {"context": 128000, "output": 8000}}},
        }
    },
    "permission": {"bash": "allow"},
    "autoupdate": False,
    "share": "disabled",
}

CLIENTS = (
    _script("openai_python", "openai==3.57.0"),
    _script("anthropic_python", "anthropic==2.14.0"),
    _script("openai_js", "openai@7.59.0"),
    _script("anthropic_js", "@anthropic-ai/sdk@1.14.0"),
    _script("vercel_ai", "ai@7.0.173", "@ai-sdk/openai@4.0.118", "@ai-sdk/openai-compatible@3.0.92", "zod@4.6.7"),
    _script("langchain_python", "langchain==1.5.2", "langchain-openai==1.7.4", "langchain-anthropic==1.7.10"),
    _script("llama_index_python", "llama-index-core==0.14.25", "llama-index-llms-openai-like==0.8.1"),
    Client(
        name="claude-code",
        packages=("@anthropic-ai/claude-code@2.1.332",),
        command=("{bin}/claude", "-p", ASK, "--model", "auto", "--allowedTools", "Bash"),
        env={"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1"},
    ),
    Client(
        name="codex",
        packages=("@openai/codex@0.171.0",),
        command=(
            *("{bin}/codex", "exec", "--skip-git-repo-check", "--sandbox", "danger-full-access", "-m", "auto"),
            *("-c", 'model_provider="gateway"', "-c", _CODEX, ASK),
        ),
    ),
    Client(
        name="opencode",
        packages=("opencode-ai@1.18.33",),
        command=("{bin}/opencode", "run", "-m", "gateway/auto", ASK),
        files={"opencode.json": json.dumps(_OPENCODE)},
    ),
    Client(
        name="aider",
        packages=("aider-chat==0.86.2",),
        command=(
            *(
                "{bin}/aider",
                "--model",
                "openai/auto",
                "--message",
                "hello",
                "--no-git",
                "--yes-always",
                "--no-check-update",
            ),
            *("--no-show-model-warnings", "--analytics-disable", "--no-fancy-input"),
        ),
        # It would look for prices on the internet.
        env={"OPENAI_API_BASE": "{url}/v1", "LITELLM_LOCAL_MODEL_COST_MAP": "True"},
        needs_tool=False,
    ),
    Client(
        name="open_webui",
        # torch first, because another one would bring several GB.
        packages=("torch==2.13.0", "open-webui==0.12.4"),
        command=("{python}", "{scripts}/open_webui.py"),
        needs_tool=False,
    ),
)


def main() -> None:
    """Try the clients and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="folder for the installed clients")
    parser.add_argument("--only", nargs="+", default=[client.name for client in CLIENTS], help="names of clients")
    arguments = parser.parse_args()
    folder = arguments.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    seen: list[tuple[str, bool, str]] = []
    upstream = _start_upstream(seen)
    with _Gateway(folder, upstream) as url:
        for client in CLIENTS:
            if client.name not in arguments.only:
                continue
            seen.clear()
            result = _try(client, folder / client.name, url)
            paths = sorted({path.rpartition("/v1/")[2] for path, _, _ in seen})
            kinds = {kind for _, _, kind in seen}
            lacks = [] if not client.needs_tool else [f"no {kind}" for kind in ("tool", "result") if kind not in kinds]
            lacks += [] if any(stream for _, stream, _ in seen) else ["no stream"]
            verdict = "works" if result == "" and not lacks else "; ".join([*filter(None, [result]), *lacks])
            print(f"| {client.name} | {', '.join(client.packages)} | {', '.join(paths)} | {verdict} |", flush=True)


def _start_upstream(seen: list[tuple[str, bool, str]]) -> str:
    loop, runner = asyncio.new_event_loop(), web.AppRunner(make_upstream(seen))

    async def start() -> int:
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return int(runner.addresses[0][1])

    threading.Thread(target=loop.run_forever, daemon=True).start()
    return f"http://127.0.0.1:{asyncio.run_coroutine_threadsafe(start(), loop).result()}/v1"


class _Gateway:
    """The gateway as a process of its own, as a user starts it."""

    def __init__(self, folder: Path, upstream: str) -> None:
        self._file = folder / "router.toml"
        self._file.write_text(
            f'[endpoints.up]\nbase_url = "{upstream}"\nprotocols = ["chat", "responses", "messages"]\n'
            '[models."gpt-5.5"]\n[models."gpt-4.1-mini"]\n[keys.client]\nenv = "CLIENT_KEY"\n'
        )

    def __enter__(self) -> str:
        # A free port: on a fixed one, a gateway that an earlier run has left would answer.
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = str(free.getsockname()[1])
        self._log = self._file.with_suffix(".log").open("w")
        command = [str(Path(sys.executable).with_name("llm-router")), "serve", str(self._file), "--port", port]
        self._process = subprocess.Popen(command, env={**os.environ, "CLIENT_KEY": KEY}, stdout=self._log, stderr=self._log)
        url = f"http://127.0.0.1:{port}"
        for _ in range(300):
            try:
                with urllib.request.urlopen(f"{url}/health"):  # noqa: S310 - loopback
                    return url
            except OSError:
                time.sleep(0.1)
        raise SystemExit(f"the gateway does not start; see {self._log.name}")

    def __exit__(self, *error: object) -> None:
        self._process.terminate()
        self._process.wait()
        self._log.close()


def _try(client: Client, folder: Path, url: str) -> str:
    """Install a client and run it. Return what is wrong. Empty if it works."""
    try:
        places = _install(client, folder)
        work, home = folder / "work", folder / "home"
        shutil.rmtree(work, ignore_errors=True)
        shutil.rmtree(home, ignore_errors=True)
        # Modules of JavaScript are found from the folder of the script.
        work = work if client.is_python else folder
        work.mkdir(exist_ok=True)
        home.mkdir()
        filled = {"url": url, "scripts": str(SCRIPTS), **places}
        for name, text in client.files.items():
            (work / name).write_text(text)
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "SSL_CERT_FILE") if name in os.environ}
        env = {
            **kept,
            "HOME": str(home),
            "OPENAI_BASE_URL": f"{url}/v1",
            "OPENAI_API_KEY": KEY,
            "ANTHROPIC_BASE_URL": url,
            "ANTHROPIC_API_KEY": KEY,
            **{name: value.format(**filled) for name, value in client.env.items()},
        }
        command = [part.format(**filled) for part in client.command]
        done = subprocess.run(
            command, cwd=work, env=env, capture_output=True, text=True, timeout=_RUN_S, stdin=subprocess.DEVNULL, check=False
        )
    except subprocess.TimeoutExpired as error:
        return f"took more than {error.timeout:g} s"
    except subprocess.CalledProcessError as error:
        return f"does not install: {error.stderr[-200:]}"
    (folder / "output.txt").write_text(f"{done.stdout}\n--- stderr\n{done.stderr}")
    if done.returncode != 0:
        return f"exit code {done.returncode}, see output.txt"
    wanted = "The tool said" if client.needs_tool else "Tea and scones"
    return "" if wanted in done.stdout else f"{wanted!r} is not in its output"


def _install(client: Client, folder: Path) -> dict[str, str]:
    """Install a client unless it is installed, and return where its programs are."""
    mark = folder / "installed.txt"
    programs = folder / "venv" / "bin" if client.is_python else folder / "node_modules" / ".bin"
    places = {"python": str(folder / "venv" / "bin" / "python"), "bin": str(programs)}
    if mark.is_file() and mark.read_text() == "\n".join(client.packages):
        return places
    folder.mkdir(exist_ok=True)
    commands = [["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(folder), *client.packages]]
    if client.is_python:
        create = [sys.executable, "-m", "venv", str(folder / "venv")]
        commands = [create, [places["python"], "-m", "pip", "install", "--quiet", *client.packages]]
    for command in commands:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=_INSTALL_S)
    mark.write_text("\n".join(client.packages))
    return places


if __name__ == "__main__":
    main()
