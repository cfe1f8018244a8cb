"""A worker whose event loop hangs must end: it holds its lanes, and does nothing."""

import subprocess
import sys

PROGRAM = """
import asyncio, time
from deploy.cli.worker import feed_watchdog

async def main():
    for _ in range(20):
        feed_watchdog(0.5)
        await asyncio.sleep(0.05)
    print("it was fed", flush=True)
    a_step_that_blocks()

def a_step_that_blocks():
    time.sleep(60)

asyncio.run(main())
"""


def test_a_loop_that_hangs_ends_the_process_and_tells_where_it_stood() -> None:
    ended = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=30, check=False)
    assert (ended.returncode, ended.stdout) == (1, "it was fed\n")
    assert "a_step_that_blocks" in ended.stderr
