"""Child processes: how they begin, are kept up and end, and what is said when one cannot be had."""

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

BACKOFF_S_MIN = 0.5
BACKOFF_S_MAX = 10.0
STEADY_S = 30.0
LOG_BYTES_MAX = 10_000_000


class CannotStart(Exception):
    """Why the house cannot start, and what to type, in one line for a person."""


def launched(
    program: Sequence[str | Path], dies_by: signal.Signals, account: tuple[int, int] | None = None
) -> list[str]:
    """The command of a child that ends when we end, however we end.

    Args:
        program: What to run; its first part is a path.
        dies_by: The signal the kernel sends it when we die.
        account: (uid, gid) it runs as, if not ours.
    """
    uid, gid = account or (os.geteuid(), os.getegid())
    launcher = [sys.executable, "-I", "-S", str(Path(__file__).with_name("launch.py"))]
    numbers = [str(number) for number in (os.getpid(), int(dies_by), uid, gid)]
    return [*launcher, *numbers, *map(str, program)]


def signal_group(pid: int, number: signal.Signals) -> None:
    """Send a signal to a child and to all it started; nothing if they are gone."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, number)


def open_log(path: Path) -> BinaryIO:
    """A child's log to append to; a long one is put aside first, once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > LOG_BYTES_MAX:
        path.replace(path.with_name(path.name + ".1"))
    return path.open("ab")


def tail(log: Path, lines: int = 8) -> str:
    """The last lines of a log, for the message of a child that did not start."""
    if not log.exists():
        return ""
    return "\n".join(log.read_text("utf-8", errors="replace").splitlines()[-lines:])


class Child:
    """One process of the house in a group of its own, started again when it dies."""

    def __init__(
        self, name: str, program: Sequence[str | Path], env: Mapping[str, str], log: Path
    ) -> None:
        self.name = name
        self.log = log
        self.restarts = 0
        self._program = program
        self._env = env
        self._process: asyncio.subprocess.Process | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._up = asyncio.Event()

    @property
    def pid(self) -> int | None:
        return self._process.pid if self.is_running() and self._process else None

    def is_running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    @property
    def is_kept_up(self) -> bool:
        return self._watcher is not None

    async def start(self) -> None:
        with open_log(self.log) as log:
            self._process = await asyncio.create_subprocess_exec(
                *launched(self._program, signal.SIGKILL),
                stdin=asyncio.subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=self._env,
                start_new_session=True,
            )
        self._up.set()

    def tell(self, order: str) -> None:
        """Write a line to the process."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(order.encode() + b"\n")

    def keep_up(self, say: Callable[[str], None]) -> None:
        """From now on start it again whenever it dies, later each time it dies young."""
        self._watcher = asyncio.create_task(self._watch(say), name=f"watch-{self.name}")

    async def run_to_its_end(self) -> int:
        """Start it and wait; its exit code."""
        await self.start()
        assert self._process is not None
        return await self._process.wait()

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Signal the process and its group, as a fault would: it is started again."""
        if self.pid is not None:
            self._up.clear()
            signal_group(self.pid, number)

    async def up(self) -> None:
        """Return once it has been started, again if it was killed."""
        await self._up.wait()

    async def stop(self, patience_s: float) -> None:
        """End it and all it started: politely, then at once."""
        if self._watcher is not None:
            self._watcher.cancel()
        if self._process is None:
            return
        if self._process.returncode is None:
            signal_group(self._process.pid, signal.SIGTERM)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), patience_s)
        signal_group(self._process.pid, signal.SIGKILL)
        await self._process.wait()

    async def _watch(self, say: Callable[[str], None]) -> None:
        backoff_s = BACKOFF_S_MIN
        while True:
            began = time.monotonic()
            assert self._process is not None
            code = await self._process.wait()
            if time.monotonic() - began > STEADY_S:
                backoff_s = BACKOFF_S_MIN
            say(f"{self.name} 已退出（{code}），{backoff_s:.1f} 秒后重新启动，日志 {self.log}")
            await asyncio.sleep(backoff_s)
            backoff_s = min(backoff_s * 2, BACKOFF_S_MAX)
            await self.start()
            self.restarts += 1
