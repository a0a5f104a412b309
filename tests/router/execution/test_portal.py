import asyncio
import os
import subprocess
import sys
import threading

import pytest

from router.execution.portal import Portal


async def thread_name() -> str:
    return threading.current_thread().name


def test_coroutines_run_in_one_other_thread_until_it_is_closed() -> None:
    portal = Portal()
    assert not portal.is_open()
    assert portal.run(thread_name()) == portal.run(thread_name()) == "llm-router-calls"
    portal.close()
    assert not portal.is_open()
    assert portal.run(thread_name()) == "llm-router-calls"
    portal.close()
    portal.close()


def test_closing_cancels_what_still_runs() -> None:
    portal, cancelled = Portal(), threading.Event()

    async def wait() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    portal.run(thread_name())
    portal.start(wait())
    portal.run(asyncio.sleep(0))
    portal.close()
    assert cancelled.is_set()


def test_work_for_a_closed_portal_is_dropped_without_a_warning() -> None:
    Portal().start(thread_name())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_it_starts_anew_in_a_forked_process() -> None:
    code = """
import asyncio, os
from router.execution.portal import Portal
portal = Portal()
portal.run(asyncio.sleep(0))
if os.fork() == 0:
    portal.run(asyncio.sleep(0))
    os._exit(7)
assert os.waitstatus_to_exitcode(os.wait()[1]) == 7
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], timeout=60, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
