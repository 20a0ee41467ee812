"""The processes of the lab's house: those forked from a nursery and those started as programs."""

import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from yaosu.processes import CannotStart, launched, open_log, signal_group, tail

RESTART_AFTER_S = 0.2
STOP_S = 8.0
NURSERY = Path(__file__).with_name("nursery.py")


async def end(tasks: Iterable["asyncio.Future[Any]"]) -> None:
    """Cancel tasks until they have ended: a wait for something just done swallows a cancel."""
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=1.0)


@dataclass
class Nursery:
    """One package imported once; its processes are forked from there."""

    package: str
    plants: Sequence[str]
    env: Mapping[str, str]
    log: Path
    _process: asyncio.subprocess.Process | None = None
    _listener: asyncio.Task[None] | None = None
    _born: dict[str, asyncio.Future[int]] = field(default_factory=dict)
    _ends: dict[int, asyncio.Future[int]] = field(default_factory=dict)
    _ready: asyncio.Event = field(default_factory=asyncio.Event)

    async def start(self) -> None:
        with open_log(self.log) as log:
            program = [sys.executable, str(NURSERY), self.package, ",".join(self.plants)]
            self._process = await asyncio.create_subprocess_exec(
                *launched(program, signal.SIGKILL),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                env=dict(self.env),
                start_new_session=True,
            )
        self._listener = asyncio.create_task(self._listen())

    async def ready(self) -> None:
        """Return once the package is imported.

        Raises:
            CannotStart: It cannot be.
        """
        assert self._process is not None
        waiting = [
            asyncio.ensure_future(self._ready.wait()),
            asyncio.ensure_future(self._process.wait()),
        ]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()
        if not self._ready.is_set():
            raise CannotStart(f"nursery of {self.package}:\n{tail(self.log, 30)}")

    async def bear(self, wish: Mapping[str, Any]) -> tuple[int, "asyncio.Future[int]"]:
        """A process as wished for: its pid, and what will be its exit code."""
        assert self._process is not None
        assert self._process.stdin is not None
        await self.ready()
        born: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._born[wish["name"]] = born
        self._process.stdin.write(json.dumps(wish).encode() + b"\n")
        pid = await born
        return pid, self._ends[pid]

    async def _listen(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            said = json.loads(line)
            if "ready" in said:
                self._ready.set()
            elif "born" in said:
                self._ends[said["pid"]] = asyncio.get_running_loop().create_future()
                self._born.pop(said["born"]).set_result(said["pid"])
            elif not self._ends[said["ended"]].done():
                self._ends[said["ended"]].set_result(said["code"])

    async def stop(self) -> None:
        if self._listener is not None:
            self._listener.cancel()
        if self._process is not None and self._process.returncode is None:
            signal_group(self._process.pid, signal.SIGKILL)
            await self._process.wait()


@dataclass
class Part:
    """One process of the house; while it is kept up it is started again whenever it ends."""

    name: str
    log: Path
    begin: Callable[[], Any]
    starts: int = 0
    pid: int | None = None
    _end: asyncio.Future[int] | None = None
    _keeper: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self.pid, self._end = await self.begin()
        self._end.add_done_callback(self._forget)
        self.starts += 1

    def _forget(self, end: "asyncio.Future[int]") -> None:
        if end is self._end:
            self.pid = None

    @property
    def has_given_up(self) -> bool:
        """It has ended and nobody starts it again."""
        return self._keeper is None and self._end is not None and self._end.done()

    def keep_up(self) -> None:
        self._keeper = asyncio.create_task(self._keep(), name=f"keep {self.name}")

    def rest(self) -> None:
        """From now on it stays ended when it ends."""
        if self._keeper is not None:
            self._keeper.cancel()

    async def _keep(self) -> None:
        while True:
            await self.ended()
            await asyncio.sleep(RESTART_AFTER_S)
            await self.start()

    async def ended(self) -> int:
        assert self._end is not None
        return await asyncio.shield(self._end)

    def signal(self, number: signal.Signals) -> bool:
        """Send the process and its group a signal; whether it was there."""
        if self.pid is None:
            return False
        signal_group(self.pid, number)
        return True

    async def stop(self) -> None:
        self.rest()
        if self.pid is None or self._end is None:
            return
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(self._end), STOP_S)
        self.signal(signal.SIGKILL)


@dataclass
class Program:
    """A process that is started as a program, and may be told things by its standard input."""

    program: Sequence[str]
    env: Mapping[str, str]
    log: Path
    _process: asyncio.subprocess.Process | None = None

    async def begin(self) -> tuple[int, "asyncio.Future[int]"]:
        with open_log(self.log) as log:
            self._process = process = await asyncio.create_subprocess_exec(
                *launched(self.program, signal.SIGKILL),
                stdin=asyncio.subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=dict(self.env),
                start_new_session=True,
            )
        return process.pid, asyncio.ensure_future(process.wait())

    def tell(self, order: str) -> bool:
        """Give it an order; whether there is anybody to hear it."""
        assert self._process is not None
        assert self._process.stdin is not None
        if self._process.returncode is not None or self._process.stdin.is_closing():
            return False
        self._process.stdin.write(order.encode() + b"\n")
        return True
