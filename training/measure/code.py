"""An answer is right if its code passes the tests of the item, in a process with limits.

As in Chen et al. (2021), HumanEval, and Austin et al. (2021), MBPP. The limits stop accidents: endless loops, full memory,
too many processes. They are no sandbox against code that wants to do harm. Run untrusted models in a virtual machine.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from router.errors import InputError
from training.measure.item import Grade, Item

_CHILD = Path(__file__).with_name("code_child.py")
# The answer of a model that was cut off may lack the end of its block.
_BLOCK = re.compile(r"^[ \t]*(```+|~~~+)[ \t]*([\w+-]*)[^\n]*\n(.*?)(?:^[ \t]*\1|\Z)", re.DOTALL | re.MULTILINE)
_PYTHON = ("python", "python3", "py")
_MOST_STATUS_BYTES = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeLimits:
    """What the code of one answer may use.

    Attributes:
        cpu_s: Seconds of the processor, for each process.
        memory_bytes: Address space of each process.
        file_bytes: Size of each file.
        processes: Threads and processes besides those of the user that run already.
    """

    cpu_s: int = 10
    memory_bytes: int = 1 << 30
    file_bytes: int = 1 << 24
    processes: int = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeGrader:
    """Runs the code of answers. Only POSIX systems have the limits.

    Each answer gets a new process in an empty temporary folder, without the environment variables of this process, which may
    hold keys. Its output goes nowhere, and its input is empty. After the wall-clock limit it is killed with its children.
    On Linux it has no network if the system lets a process leave it.

    Attributes:
        limits: What the code may use.
        wall_s: Seconds until it is killed.

    Raises:
        InputError: If the system has no such limits.
    """

    limits: CodeLimits = field(default_factory=CodeLimits)
    wall_s: float = 15.0

    def __post_init__(self) -> None:
        if os.name != "posix":
            raise InputError(f"code runs only on a POSIX system such as Linux, this is {os.name!r}; use another grader")

    def __call__(self, answer: str, item: Item, /) -> Grade:
        """Return 1 if the code of the answer and then the tests of the item run without an error. Else 0."""
        return Grade(float(self._run(find_code(answer), item.expected)[1]))

    def has_network(self) -> bool:
        """Return whether the code can reach the network, because the system does not let a process leave it."""
        return not self._run("", "")[0]

    def _run(self, code: str, tests: str) -> tuple[bool, bool]:
        """Return whether the process had no network, and whether all tests have run."""
        # Code that ends the process early must not pass. It does not know the word.
        word = secrets.token_hex(16)
        limits = asdict(self.limits)
        job = {"code": code, "tests": tests, "word": word, "processes": limits.pop("processes"), "limits": limits}
        reader, writer = os.pipe()
        try:
            with tempfile.TemporaryDirectory() as folder:
                # Root becomes nobody, who must be able to write here.
                Path(folder).chmod(0o777)
                try:
                    self._wait(folder, writer, json.dumps(job).encode())
                finally:
                    os.close(writer)
            # Not to the end: a process that has escaped may hold the other side open.
            os.set_blocking(reader, False)
            with suppress(BlockingIOError):
                said = os.read(reader, _MOST_STATUS_BYTES).decode(errors="replace")
                return said.startswith("cut"), said.endswith(word)
            return False, False
        finally:
            os.close(reader)

    def _wait(self, folder: str, writer: int, job: bytes) -> None:
        process = subprocess.Popen(  # noqa: S603 - running the code of an answer is the purpose
            [sys.executable, "-I", _CHILD, str(writer)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=folder,
            # One thread for numpy: each would reserve address space.
            env={"PATH": os.defpath, "HOME": folder, "TMPDIR": folder, "LANG": "C.UTF-8", "OPENBLAS_NUM_THREADS": "1"},
            pass_fds=[writer],
            start_new_session=True,
        )
        with suppress(subprocess.TimeoutExpired, BrokenPipeError):
            process.communicate(job, timeout=self.wall_s)
        # Also after its end: its children may still run.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def find_code(answer: str) -> str:
    r"""Return the first block of Python in an answer, else its first block, else the whole answer.

    >>> find_code("Sure:\n```python\nx = 1\n```\nDone.")
    'x = 1\n'
    """
    blocks = [(match[2].casefold(), match[3]) for match in _BLOCK.finditer(answer)]
    python = [code for language, code in blocks if language in _PYTHON]
    return [*python, *(code for _, code in blocks), answer][0]
