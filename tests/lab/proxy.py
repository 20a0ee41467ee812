"""A proxy between two parts of the house, with the faults of a network, one direction at a time.

What an edge does to bytes is its list of toxics; an edge without any passes everything on.
"""

import asyncio
import contextlib
import random
import socket
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Direction = Literal["there", "back", "both"]
Connect = Callable[[], "asyncio.Future[tuple[asyncio.StreamReader, asyncio.StreamWriter]]"]
CHUNK = 1 << 16
SILENT_S = 30.0


@dataclass(frozen=True)
class Toxic:
    """One fault of the network.

    `latency_s`/`jitter_s` delay, `bytes_per_s` narrows, `slice_bytes` cuts into small pieces,
    `limit_bytes` ends a connection after so many, `close_delay_s` holds back its end,
    `is_silent` passes nothing (a timeout without a close), `is_reset` resets, `drops_answer` lets a
    request through and resets before its answer, `doubles` sends a request twice, each on a
    connection of its own, and answers once.
    """

    name: str
    direction: Direction = "both"
    latency_s: float = 0.0
    jitter_s: float = 0.0
    bytes_per_s: int = 0
    slice_bytes: int = 0
    limit_bytes: int = 0
    close_delay_s: float = 0.0
    is_silent: bool = False
    is_reset: bool = False
    drops_answer: bool = False
    doubles: bool = False
    toxicity: float = 1.0

    def acts(self, direction: str) -> bool:
        return self.direction in {"both", direction}


TOXICS = {
    toxic.name: toxic
    for toxic in (
        Toxic("latency", latency_s=0.15, jitter_s=0.15),
        Toxic("bandwidth", bytes_per_s=64_000),
        Toxic("slow_close", "back", close_delay_s=1.0),
        Toxic("timeout", is_silent=True, toxicity=0.3),
        Toxic("reset_peer", "there", is_reset=True, toxicity=0.3),
        Toxic("slicer", slice_bytes=64, latency_s=0.0005),
        Toxic("limit_data", "back", limit_bytes=600, toxicity=0.3),
        Toxic("half_open", "back", is_silent=True, toxicity=0.3),
        Toxic("drop_response", "back", drops_answer=True, toxicity=0.3),
        Toxic("duplicate_request", "there", doubles=True, toxicity=0.5),
    )
}


def tcp(port: int) -> Connect:
    return lambda: asyncio.ensure_future(asyncio.open_connection("127.0.0.1", port))


def unix(path: Path) -> Connect:
    return lambda: asyncio.ensure_future(asyncio.open_unix_connection(str(path)))


@dataclass
class Edge:
    """One listening port in front of one target or of several, taken in turns."""

    name: str
    targets: Sequence[Connect]
    toxics: list[Toxic] = field(default_factory=list)
    is_down: bool = False
    port: int = 0
    harmed: int = 0
    chance: random.Random = field(default_factory=lambda: random.Random(0))
    _turn: int = 0
    _server: asyncio.Server | None = None
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        self.cut()
        for task in list(self._tasks):
            task.cancel()

    def cut(self) -> None:
        """Reset every connection there is."""
        for writer in list(self._writers):
            _reset(writer)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        try:
            await self._join(reader, writer)
        except (OSError, asyncio.CancelledError, EOFError):
            pass
        finally:
            self._writers.discard(writer)
            self._tasks.discard(task)
            writer.transport.abort()

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        active = [t for t in self.toxics if self.chance.random() < t.toxicity]
        self.harmed += bool(active)
        if self.is_down:
            _reset(writer)
            return
        inner = await self._connect()
        if inner is None:
            _reset(writer)
            return
        inner_reader, inner_writer = inner
        self._writers.add(inner_writer)
        try:
            await self._pour_both(reader, writer, inner_reader, inner_writer, active)
        finally:
            self._writers.discard(inner_writer)
            inner_writer.transport.abort()

    async def _pour_both(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        inner_reader: asyncio.StreamReader,
        inner_writer: asyncio.StreamWriter,
        active: list[Toxic],
    ) -> None:
        twin = None
        if any(toxic.doubles for toxic in active):
            twin = await self._connect()
        sinks = [inner_writer] + ([twin[1]] if twin else [])
        there = asyncio.create_task(_pour(reader, sinks, self._faults(active, "there")))
        back = asyncio.create_task(_pour(inner_reader, [writer], self._faults(active, "back")))
        swallow = asyncio.create_task(_drain(twin[0])) if twin else None
        try:
            await asyncio.wait({there, back}, return_when=asyncio.FIRST_COMPLETED)
            # Whoever ends first has said all it had to say; the other may finish its sentence.
            await asyncio.wait({there, back}, timeout=5.0)
        finally:
            for task in (there, back, swallow):
                if task is not None:
                    task.cancel()
            if twin:
                twin[1].transport.abort()

    def _faults(self, active: list[Toxic], direction: str) -> "_Faults":
        return _Faults([t for t in active if t.acts(direction)], self.chance)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        for _ in self.targets:
            self._turn += 1
            with contextlib.suppress(OSError):
                return await self.targets[self._turn % len(self.targets)]()
        return None


@dataclass
class _Faults:
    toxics: list[Toxic]
    chance: random.Random
    passed: int = 0

    async def let_through(self, chunk: bytes, sinks: Sequence[asyncio.StreamWriter]) -> bool:
        """Pass a chunk on as these toxics would; whether the connection lives on."""
        if any(toxic.is_silent for toxic in self.toxics):
            return True
        if any(toxic.is_reset or toxic.drops_answer for toxic in self.toxics):
            return False
        await asyncio.sleep(sum(self._delay_s(toxic, len(chunk)) for toxic in self.toxics))
        room = min(
            (t.limit_bytes - self.passed for t in self.toxics if t.limit_bytes), default=None
        )
        piece = chunk if room is None else chunk[: max(0, room)]
        self.passed += len(piece)
        await self._write(piece, sinks)
        return room is None or room > len(chunk)

    def _delay_s(self, toxic: Toxic, size: int) -> float:
        jitter_s = toxic.jitter_s * (2 * self.chance.random() - 1)
        narrow_s = size / toxic.bytes_per_s if toxic.bytes_per_s else 0.0
        return max(0.0, toxic.latency_s + jitter_s) + narrow_s

    async def _write(self, piece: bytes, sinks: Sequence[asyncio.StreamWriter]) -> None:
        size = min((t.slice_bytes for t in self.toxics if t.slice_bytes), default=len(piece) or 1)
        for first in range(0, len(piece), size):
            for sink in sinks:
                sink.write(piece[first : first + size])
                await sink.drain()
            await asyncio.sleep(0)

    async def hold_end(self) -> None:
        # Who is silent does not say goodbye either.
        silent_s = SILENT_S if any(toxic.is_silent for toxic in self.toxics) else 0.0
        delay_s = max([silent_s, *(toxic.close_delay_s for toxic in self.toxics)])
        if delay_s:
            await asyncio.sleep(delay_s)


async def _pour(
    reader: asyncio.StreamReader, sinks: Sequence[asyncio.StreamWriter], faults: _Faults
) -> None:
    with contextlib.suppress(ConnectionError):
        while chunk := await reader.read(CHUNK):
            if not await faults.let_through(chunk, sinks):
                for sink in sinks:
                    _reset(sink)
                return
        await faults.hold_end()
        for sink in sinks:
            if sink.can_write_eof():
                sink.write_eof()


async def _drain(reader: asyncio.StreamReader) -> None:
    with contextlib.suppress(ConnectionError):
        while await reader.read(CHUNK):
            pass


def _reset(writer: asyncio.StreamWriter) -> None:
    connection = writer.get_extra_info("socket")
    if connection is not None and connection.family == socket.AF_INET:
        with contextlib.suppress(OSError):
            linger = struct.pack("ii", 1, 0)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()
