"""The process that runs an answer and its tests. `code.py` starts it; nothing imports it, and it imports nothing of ours.

It gets a job as JSON on standard input, and the number of a file descriptor. There it writes `cut` if it has no network,
and the word of the job once all tests have run.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import sys
import types
from pathlib import Path

# From <sched.h> and <sys/prctl.h> of Linux. `os.unshare` came with Python 3.12.
_NEW_USER, _NEW_PROCESSES, _NEW_NETWORK = 0x10000000, 0x20000000, 0x40000000
_DIE_WITH_PARENT, _KILL = 1, 9
_NOBODY = 65534


def main() -> None:
    """Limit this process, then run the job."""
    status = int(sys.argv[1])
    job = json.load(sys.stdin)
    # The system counts the threads of the user, so those that run already come on top of the limit.
    most_threads = _count_threads(os.getuid() or _NOBODY) + job["processes"]
    is_cut = _leave_network()
    os.write(status, b"cut\n" if is_cut else b"open\n")
    # The first process of the new namespace is the child. When it ends, the system kills all others in there.
    if is_cut and (child := os.fork()):
        os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 0)
    _become_nobody()
    if is_cut:
        ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, _KILL)
    _set_limits(most_threads, **job["limits"])
    _run(job["code"], job["tests"])
    os.write(status, job["word"].encode())
    os._exit(0)


def _leave_network() -> bool:
    """Move to a network and a list of processes of its own, if the system allows it, and return whether it did."""
    if sys.platform != "linux":
        return False
    unshare = ctypes.CDLL(None, use_errno=True).unshare
    apart = _NEW_NETWORK | _NEW_PROCESSES
    return bool(unshare(apart) == 0 or unshare(apart | _NEW_USER) == 0)


def _become_nobody() -> None:
    """Give up the rights of root. The limit of processes does not hold for root."""
    if os.getuid() != 0 or sys.platform != "linux":
        return
    os.setgroups([])
    os.setresgid(_NOBODY, _NOBODY, _NOBODY)
    os.setresuid(_NOBODY, _NOBODY, 0)
    if os.access(os.__file__, os.R_OK):
        os.setresuid(_NOBODY, _NOBODY, _NOBODY)
    else:
        # Python is in a folder of root, so its modules can be imported only with the rights of root on files.
        ctypes.CDLL(None).setfsuid(0)


def _set_limits(most_threads: int, *, cpu_s: int, memory_bytes: int, file_bytes: int) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s))
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
    if sys.platform == "linux":
        resource.setrlimit(resource.RLIMIT_NPROC, (most_threads, most_threads))
        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))


def _count_threads(user: int) -> int:
    count = 0
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdecimal() and folder.stat().st_uid == user:
                count += len(list((folder / "task").iterdir()))
        except OSError:  # it has ended
            continue
    return count


def _run(code: str, tests: str) -> None:
    # A real module, because dataclasses and pickle look theirs up. Its name is not __main__, so that programs do not start.
    module = types.ModuleType("answer")
    sys.modules["answer"] = module
    for text, name in ((code, "answer.py"), (tests, "tests.py")):
        exec(compile(text, name, "exec"), module.__dict__)  # noqa: S102 - that is what this process is for


if __name__ == "__main__":
    main()
