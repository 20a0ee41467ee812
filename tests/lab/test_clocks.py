"""A process's clock is wrong by what its file says, at once; how long things take is not."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lab.clocks import Clocks, library

ASKED = """
import asyncio, os, sys, time
def look(): print(round(time.time()), flush=True)
look(); sys.stdin.readline(); look()
began = time.monotonic(); time.sleep(0.05); asyncio.run(asyncio.sleep(0.05))
print(time.monotonic() - began < 5)
child = os.fork()
if not child:
    os.environ["LAB_CLOCK"] = sys.argv[1]; look(); os._exit(0)
os.waitpid(child, 0)
"""


def test_a_clock_jumps_and_a_forked_process_has_its_own(tmp_path: Path) -> None:
    found = library(tmp_path)
    if found is None:
        pytest.skip("no C compiler")
    clocks = Clocks(tmp_path, found)
    env = os.environ | dict(clocks.environment("one"))
    clocks.environment("other")
    clocks.set("other", -90)
    command = [sys.executable, "-c", ASKED, str(tmp_path / "other")]
    with subprocess.Popen(
        command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as asked:
        assert asked.stdout is not None
        assert asked.stdin is not None
        assert abs(int(asked.stdout.readline()) - time.time()) < 30
        clocks.set("one", 90)
        asked.stdin.write("\n")
        asked.stdin.flush()
        assert 60 < int(asked.stdout.readline()) - time.time() < 120
        assert asked.stdout.readline() == "True\n"
        assert -120 < int(asked.stdout.readline()) - time.time() < -60
