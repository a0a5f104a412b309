import os
import socket
import sys
import time
from pathlib import Path

import pytest

from training.measure.code import CodeGrader, CodeLimits, find_code
from training.measure.item import Item

pytestmark = pytest.mark.skipif(os.name != "posix", reason="only POSIX systems have these limits")
# Enough for a busy machine, and all that an endless program costs the tests.
GRADER = CodeGrader(limits=CodeLimits(cpu_s=20), wall_s=30.0)
SHORT = CodeGrader(wall_s=2.0)
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has this limit")


def grade(code: str, tests: str, grader: CodeGrader = GRADER) -> float:
    return grader(code, Item(prompt="?", expected=tests)).score


def count_children() -> int:
    """Return how many processes run the code of an answer."""
    found = 0
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            found += b"code_child.py" in (folder / "cmdline").read_bytes()
        except OSError:
            continue
    return found


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ("x = 1", "x = 1"),
        ("Sure!\n```python\nx = 1\n```\nIt sets x.", "x = 1\n"),
        ("```\nx = 1\n```", "x = 1\n"),
        ("```bash\npip install numpy\n```\nthen\n```py\nx = 1\n```", "x = 1\n"),
        ("~~~python\nx = 1\n~~~", "x = 1\n"),
        ("```python\nx = 1\ny =", "x = 1\ny ="),
        ('```python\ns = """\n``` in a text"""\n```', 's = """\n'),
    ],
)
def test_the_code_of_an_answer(answer: str, code: str) -> None:
    assert find_code(answer) == code


def test_code_passes_if_all_tests_run() -> None:
    right = "```python\ndef add(a, b):\n    return a + b\n```"
    assert grade(right, "assert add(1, 2) == 3\nassert add(-1, 1) == 0") == 1
    assert grade(right, "assert add(1, 2) == 3\nassert add(1, 1) == 3") == 0
    assert grade("def add(a, b) return", "assert True") == 0
    assert grade("I cannot help with that.", "assert add(1, 2) == 3") == 0


@pytest.mark.parametrize("end", ["raise SystemExit(0)", "import os; os._exit(0)", "exit()"])
def test_code_that_ends_the_process_early_does_not_pass(end: str) -> None:
    assert grade(end, "assert False") == 0


def test_code_runs_as_a_module_without_its_main_part_and_without_input() -> None:
    program = (
        "from dataclasses import dataclass\n@dataclass\nclass A:\n    x: 'int'\nif __name__ == '__main__':\n    x = input()"
    )
    assert grade(program, "assert A(1) == A(1)") == 1
    assert grade("name = input()", "") == 0


def test_code_sees_no_variables_of_this_process_and_an_empty_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAKER_KEY", "sk-s3cret")
    tests = "import os\nassert 'MAKER_KEY' not in os.environ\nassert os.listdir() == []\nopen('a', 'w').write('b')"
    assert grade("", tests) == 1
    # Nor the folder of the code that runs it.
    assert grade("", "import sys\nassert not any('measure' in path for path in sys.path)") == 1


def test_an_endless_program_and_a_sleeping_one_are_killed() -> None:
    for program in ("while True: pass", "import time\ntime.sleep(1000)"):
        began_at = time.monotonic()
        assert grade(program, "", SHORT) == 0
        assert time.monotonic() - began_at < 30


@LINUX
def test_a_fork_bomb_stays_within_its_processes_and_leaves_none() -> None:
    bomb = "import os\nwhile True:\n    try:\n        os.fork()\n    except OSError:\n        pass"
    assert grade(bomb, "", SHORT) == 0
    # The system takes killed processes away a moment later.
    ends_at = time.monotonic() + 20
    while count_children() and time.monotonic() < ends_at:
        time.sleep(0.05)
    assert count_children() == 0
    # How many it can start: no more than the limit.
    counting = "import os\nn = 0\ntry:\n    while os.fork():\n        n += 1\n    os._exit(0)\nexcept OSError:\n    pass"
    holding = counting.replace("os._exit(0)", "import time; time.sleep(60)")
    assert grade(holding, "assert 1 <= n <= 200, n") == 1


@LINUX
def test_a_program_cannot_take_more_memory_than_allowed() -> None:
    assert grade("x = bytearray(1 << 20)", "") == 1
    assert grade("x = bytearray(1 << 31)", "") == 0
    small = CodeGrader(limits=CodeLimits(memory_bytes=1 << 28))
    assert grade("x = []\nwhile True: x.append(bytearray(1 << 24))", "", small) == 0


def test_a_program_cannot_write_without_end() -> None:
    assert grade("with open('big', 'wb') as f:\n    while True: f.write(bytes(1 << 20))", "") == 0
    assert grade("print('x' * 10_000_000)", "") == 1


@LINUX
def test_children_that_leave_their_group_end_too() -> None:
    if GRADER.has_network():
        pytest.skip("this system gives no process a list of processes of its own")
    daemon = "import os, time\nif os.fork() == 0:\n    os.setsid()\n    time.sleep(1000)"
    assert grade(daemon, "") == 1
    ends_at = time.monotonic() + 20
    while count_children() and time.monotonic() < ends_at:
        time.sleep(0.05)
    assert count_children() == 0


@LINUX
def test_code_has_no_network_where_the_system_allows_that() -> None:
    if GRADER.has_network():
        pytest.skip("this system does not let a process leave the network")
    reach = "import socket\ntry:\n    reached = socket.create_connection({})\nexcept OSError:\n    reached = None"
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert grade(reach.format(server.getsockname()), "assert not reached") == 1
