"""Two servers of the OpenAI protocol that others wrote, behind one router: answers, streams, failures and a fallback.

    pip install torch==2.13.0 '.[openai]' 'transformers[serving]' 'llama-cpp-python[server]' gguf
    python benchmarks/real_servers.py

The servers are `transformers serve` and the server of llama-cpp-python. pip compiles the second one, which took 13 minutes.
Each serves a tiny model with random weights, which the script writes (`tiny_model.py`). Each listens on a free port of
127.0.0.1 and ends with the script. If a package of a server is missing, the script skips that server.

1. Conversation: a tool call, its result and a further question go to each server. They go streamed and not, from
   synchronous and from asynchronous code.
2. Faults: each server gets odd and faulty requests. The table shows what the router makes of each answer.
3. Fallback: the first server is killed in the middle of a stream. Then the second one must answer.

The exit status is 1 if a server refused the conversation or the second one did not take over.

Tried with transformers 5.24.0, torch 2.13.0, llama-cpp-python 0.3.36, gguf 0.19.0, openai 3.57.0 and Python 3.11.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from http.client import HTTPConnection
from importlib.util import find_spec
from itertools import chain, groupby, product, starmap
from pathlib import Path
from typing import Any, Unpack

from openai.types.chat import ChatCompletionMessage
from tiny_model import CONTEXT_TOKENS, write_folder, write_gguf

from router import CallPolicy, Completion, Endpoint, ModelProfile, OpenAIExecutor, Router, Serving, ServingError
from router.call_options import CallKeywords
from router.calls import AttemptRecord, Usage

HOST, MODEL = "127.0.0.1", "tiny"
START_S, POLL_S, END_S = 180.0, 0.2, 10.0
CALLS = CallPolicy(deadline_s=60.0)
Message = dict[str, object]
Row = Sequence[object]

FUNCTION = {"name": "get_weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}
TOOL_CALL = {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Paris"}'}}
CONVERSATION: list[Message] = [
    {"role": "system", "content": "You report the weather."},
    {"role": "user", "content": "What is the weather in Paris?"},
    # Without content: llama-cpp-python refuses null there, as the second table shows.
    {"role": "assistant", "tool_calls": [TOOL_CALL]},
    {"role": "tool", "tool_call_id": "call_1", "content": '{"sky": "sunny", "celsius": 20}'},
    {"role": "user", "content": "What should I wear?"},
]
SHORT: Mapping[str, Any] = {"max_tokens": 16, "temperature": 0}
TOOLS: Mapping[str, Any] = {**SHORT, "tools": [{"type": "function", "function": FUNCTION}]}
FORCED: Mapping[str, Any] = {**TOOLS, "tool_choice": {"type": "function", "function": {"name": "get_weather"}}}
# So long that the server is killed before its end.
LONG: Mapping[str, Any] = {"max_tokens": CONTEXT_TOKENS // 2}

HELLO: Message = {"role": "user", "content": "hello"}
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
IMAGE = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}
# As the SDK returns it, with None as its content.
SDK_MESSAGE = ChatCompletionMessage.model_validate({"role": "assistant", "content": None, "tool_calls": [TOOL_CALL]})
BROKEN_CALL = {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": "{"}}
# Each odd request: its name, the model's name at the server, the messages and the options.
FAULTS: tuple[tuple[str, str, list[Any], Mapping[str, Any]], ...] = (
    ("prompt too long", MODEL, [{"role": "user", "content": "sunny " * 2 * CONTEXT_TOKENS}], SHORT),
    ("unknown model", "no-such-model", [HELLO], SHORT),
    ("unknown parameter", MODEL, [HELLO], {**SHORT, "extra_body": {"no_such_parameter": 1}}),
    ("negative temperature", MODEL, [HELLO], {**SHORT, "temperature": -1}),
    ("negative max_tokens", MODEL, [HELLO], {"max_tokens": -7}),
    ("image part", MODEL, [{"role": "user", "content": [{"type": "text", "text": "what?"}, IMAGE]}], SHORT),
    ("role developer", MODEL, [{"role": "developer", "content": "be brief"}, HELLO], SHORT),
    ("message of the SDK", MODEL, [HELLO, SDK_MESSAGE], SHORT),
    ("dict with content null", MODEL, [HELLO, {"role": "assistant", "content": None, "tool_calls": [TOOL_CALL]}], SHORT),
    ("broken tool call", MODEL, [HELLO, {"role": "assistant", "tool_calls": [BROKEN_CALL]}], SHORT),
)


@dataclass(frozen=True)
class Server:
    """How to start a server.

    Attributes:
        modules: Modules that it needs.
        file: Name of the file or folder of its model.
        write: Writes the model there.
        arguments: Arguments of the Python interpreter, before the port.
    """

    modules: tuple[str, ...]
    file: str
    write: Callable[[Path], None]
    arguments: tuple[str, ...]


TRANSFORMERS_MAIN = "from transformers.cli.transformers import main; main()"
LLAMA_OPTIONS = ("--model", f"{MODEL}.gguf", "--model_alias", MODEL, "--n_ctx", str(CONTEXT_TOKENS))
# The first one is the cheaper one for the router.
SERVERS: Mapping[str, Server] = {
    "transformers serve": Server(
        ("transformers", "torch", "fastapi", "uvicorn"),
        MODEL,
        write_folder,
        ("-c", TRANSFORMERS_MAIN, "serve", MODEL, "--device", "cpu", "--host", HOST),
    ),
    "llama-cpp-python": Server(
        ("llama_cpp", "fastapi", "uvicorn", "gguf"),
        f"{MODEL}.gguf",
        write_gguf,
        ("-m", "llama_cpp.server", *LLAMA_OPTIONS, "--host", HOST),
    ),
}


@contextmanager
def run_server(server: Server, folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Start a server, yield its process and its port once it answers, and end it in every case.

    Raises:
        SystemExit: If it does not answer in time. The message has the end of its log.
    """
    server.write(folder / server.file)
    port = find_port()
    log = folder / f"{port}.log"
    command = [sys.executable, *server.arguments, "--port", str(port)]
    # Without the variable, transformers looks for a model with an unknown name on the internet.
    environment = os.environ | {"HF_HUB_OFFLINE": "1"}
    with log.open("wb") as file:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=file, stderr=subprocess.STDOUT)
    try:
        ends_at = time.monotonic() + START_S
        while not is_ready(port):
            if process.poll() is not None or time.monotonic() > ends_at:
                raise SystemExit(f"{server.modules[0]} did not start; the end of its log:\n{log.read_text()[-2000:]}")
            time.sleep(POLL_S)
        yield process, port
    finally:
        process.terminate()
        try:
            process.wait(END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def is_ready(port: int) -> bool:
    """Return whether a server answers on a port."""
    connection = HTTPConnection(HOST, port, timeout=END_S)
    try:
        connection.request("GET", "/v1/models")
        return connection.getresponse().status == 200  # noqa: PLR2004 - HTTP's OK
    except OSError:
        return False
    finally:
        connection.close()


def find_port() -> int:
    """Return a port that is free now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def make_router(ports: Mapping[str, int], model: str = MODEL) -> Router:
    """Return a router that has a model for each server. `model` is the name of the model at the servers."""
    addresses = {name: Endpoint(base_url=f"http://{HOST}:{port}/v1", model=model) for name, port in ports.items()}
    profiles = [
        # The capabilities are wrong on purpose, so that the router sends everything.
        ModelProfile(name=name, cost_usd=rank * 1e-6, capabilities=frozenset({"tools", "vision"}))
        for rank, name in enumerate(ports)
    ]
    return Router(profiles, serving=Serving(executor=OpenAIExecutor(addresses), calls=CALLS))


def complete(router: Router, messages: list[Any], *, stream: bool, **options: Unpack[CallKeywords]) -> Completion:
    """Call the router and return the whole answer."""
    if not stream:
        return router.complete(messages, **options)
    with router.complete(messages, stream=True, **options) as chunks:
        for _ in chunks:
            pass
        return chunks.completion


async def acomplete(router: Router, messages: list[Any], *, stream: bool, **options: Unpack[CallKeywords]) -> Completion:
    """Do the same from asynchronous code."""
    async with router:
        if not stream:
            return await router.acomplete(messages, **options)
        async with await router.acomplete(messages, stream=True, **options) as chunks:
            async for _ in chunks:
                pass
            return chunks.completion


def converse(router: Router, **options: Unpack[CallKeywords]) -> Iterator[Row]:
    """Send the question, which asks for a tool call, and the whole conversation, each in all four ways. Yield the rows."""
    requests = {"question": (CONVERSATION[:2], FORCED), "follow-up": (CONVERSATION, TOOLS)}
    ways = {"complete": complete, "acomplete": lambda *args, **keywords: asyncio.run(acomplete(*args, **keywords))}
    for (request, (messages, parameters)), (way, function), stream in product(requests.items(), ways.items(), (False, True)):
        call = partial(function, router, messages, stream=stream, **parameters, **options)
        yield request, f"{way}, streamed" if stream else way, *outcome(call)


def stop_midway(router: Router, process: subprocess.Popen[bytes]) -> Row:
    """Kill the server of the first model while it streams an answer, and return the row of that call."""

    def call() -> Completion:
        with router.complete([HELLO], stream=True, **LONG) as chunks:
            next(chunks)
            process.kill()
            for _ in chunks:
                pass
            return chunks.completion

    return "long answer", "complete, streamed", *outcome(call)


def send_faults(name: str, port: int) -> Iterator[Row]:
    """Yield a row for each odd or faulty request. Each call has a new router, which does not know of earlier failures."""
    for fault, model, messages, options in FAULTS:
        ends = []
        for stream in (False, True):
            with make_router({name: port}, model) as router:
                *_, attempts = outcome(partial(complete, router, messages, stream=stream, **options))
            ends.append(attempts)
        yield fault, *ends


def outcome(call: Callable[[], Completion]) -> Row:
    """Make a call and return its model, status, finish reason, tokens and attempts."""
    try:
        answer = call()
    except ServingError as error:
        return "–", type(error).__name__, "–", "–", describe(error.attempts)
    usage = answer.usage
    tokens = "not reported" if usage == Usage() else f"{usage.input_tokens} + {usage.output_tokens}"
    return answer.model, "answered", answer.finish_reason, tokens, describe(answer.attempts)


def describe(attempts: Sequence[AttemptRecord]) -> str:
    """Return the attempts in order, each with its model and its failure. Equal ones in a row are counted."""
    texts = (f"{a.model}: {a.failure}, {a.error}" if a.failure else f"{a.model}: ok" for a in attempts)
    counted = ((text, len(list(group))) for text, group in groupby(texts))
    return "; ".join(text if n == 1 else f"{n} × {text}" for text, n in counted)


def print_table(title: str, columns: str, rows: Iterable[Row]) -> None:
    """Print rows as they come, as a table of Markdown."""
    print(f"\n### {title}\n\n| {columns} |\n|{'---|' * len(columns.split(' | '))}")
    for row in rows:
        print(f"| {' | '.join(map(str, row))} |", flush=True)


def compare(folder: Path, servers: Mapping[str, Server]) -> list[Row]:
    """Start the servers, print all tables and return the rows of the conversation."""
    columns = "request | call | answered by | status | finish reason | tokens | attempts"
    with ExitStack() as stack:
        running = {name: stack.enter_context(run_server(server, folder)) for name, server in servers.items()}
        ports = {name: port for name, (_, port) in running.items()}
        router = stack.enter_context(make_router(ports))
        rows = [row for name in ports for row in converse(router, allowed={name})]
        print_table("Conversation with a tool call", columns, rows)
        faults = chain.from_iterable(starmap(send_faults, ports.items()))
        print_table("Odd and faulty requests", "fault | attempts | attempts, streamed", faults)
        if len(running) > 1:
            process, _ = next(iter(running.values()))
            print_table("A stream whose server is killed", columns, [stop_midway(router, process)])
            late_rows = list(converse(router))
            print_table("The conversation after that", columns, late_rows)
            rows += late_rows
    return rows


def main() -> int:
    """Run all parts and return the exit status."""
    # A stop from outside ends the servers too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    logging.getLogger("contextual_llm_router").setLevel(logging.CRITICAL)
    missing = {name: [m for m in server.modules if find_spec(m) is None] for name, server in SERVERS.items()}
    for name, modules in missing.items():
        if modules:
            print(f"{name} is skipped, because these modules are not installed: {', '.join(modules)}")
    installed = {name: server for name, server in SERVERS.items() if not missing[name]}
    if not installed:
        return 1
    with tempfile.TemporaryDirectory() as folder:
        rows = compare(Path(folder), installed)
    return 0 if all("answered" in row for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
