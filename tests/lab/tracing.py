"""Whether an answer leaves only when its commit is on disk, told from the system calls.

`strace` writes down what PostgreSQL and the apis do; from that alone each answered command is
followed: its key in a request, the transaction that has the key, its COMMIT, a WAL sync that covers
it, PostgreSQL's word, and only then the answer.
"""

import asyncio
import contextlib
import os
import re
import shutil
import signal
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from yaosu.processes import launched

CALLS = "recvfrom,sendto,read,write,writev,sendmsg,pwrite64,fdatasync,fsync"
# An api's loop, uvloop, reads and writes a socket as a file.
READ = {"recvfrom", "read"}
WRITTEN = {"sendto", "write", "writev", "sendmsg"}
ATTACHED_S_MAX = 20.0
# PostgreSQL takes in up to 8 KB at once; a key may be cut in two.
STRING_MAX = 16384
OVERLAP = 512
_LINE = re.compile(r"^(\d+\.\d+) (\w+)\((\d+)<([^>]*)>[,)](.*) = (-?\d+).* <([\d.]+)>$")
_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')
_KEY_HEADER = re.compile(rb"\r\nidempotency-key: *([^\r]+)\r\n", re.IGNORECASE)
# What a key looks like among the parameters of a statement.
_WORD = re.compile(rb"[0-9A-Za-z/_.-]+")


class StraceMissing(Exception):
    """There is no strace, or it may not look: nothing can be said."""


class Did(NamedTuple):
    """One finished system call; `said` is what was read or written, as far as it was text."""

    at: float
    until: float
    name: str
    fd: str
    path: str
    said: bytes


@dataclass
class Trace:
    """What some processes did, by their ids."""

    databases: dict[int, list[Did]] = field(default_factory=dict)
    apis: dict[int, list[Did]] = field(default_factory=dict)


class Committed(NamedTuple):
    """A transaction that PostgreSQL said was committed, and whether a sync covered it by then."""

    asked_at: float
    said_at: float
    is_on_disk: bool


@dataclass
class Order:
    """What came of following the answers."""

    ordered: int = 0
    again: int = 0
    syncs: int = 0
    faults: list[str] = field(default_factory=list)


@contextlib.asynccontextmanager
async def traced(
    database_pids: Sequence[int], api_pids: Sequence[int], folder: Path
) -> AsyncIterator[Trace]:
    """Trace these processes, and those they fork, while the block runs; then read what they did.

    Raises:
        StraceMissing: There is none, or it may not trace them.
    """
    program = shutil.which("strace")
    if program is None:
        raise StraceMissing("no strace. Type: sudo apt install strace")
    folder.mkdir(parents=True, exist_ok=True)
    options = ["-ff", "-y", "-ttt", "-T", "-s", str(STRING_MAX), "-e", f"trace={CALLS}"]
    options += ["-e", "signal=none", "-o", str(folder / "of")]
    pids = [*database_pids, *api_pids]
    whom = [part for pid in pids for part in ("-p", str(pid))]
    with (folder / "strace.log").open("w") as log:
        tracer = await asyncio.create_subprocess_exec(
            *launched([program, *options, *whom], signal.SIGTERM), stderr=log, stdin=None
        )
    trace = Trace()
    try:
        await _attached(tracer, folder / "strace.log", len(pids))
        yield trace
    finally:
        if tracer.returncode is None:
            tracer.send_signal(signal.SIGINT)
            await tracer.wait()
    apis = {thread for pid in api_pids for thread in _threads(pid)} | set(api_pids)
    for file in folder.glob("of.*"):
        pid = int(file.suffix[1:])
        of = trace.apis if pid in apis else trace.databases
        of[pid] = await asyncio.to_thread(_read, file)


def _threads(pid: int) -> list[int]:
    with contextlib.suppress(OSError):
        return [int(name) for name in os.listdir(f"/proc/{pid}/task")]
    return []


async def _attached(tracer: asyncio.subprocess.Process, log: Path, count: int) -> None:
    async def all_are() -> None:
        while log.read_text().count(" attached") < count and tracer.returncode is None:
            await asyncio.sleep(0.05)

    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(all_are(), ATTACHED_S_MAX)
    if tracer.returncode is not None or log.read_text().count(" attached") < count:
        raise StraceMissing(f"strace cannot look: {log.read_text()[-300:]}")


def _read(file: Path) -> list[Did]:
    did = []
    with file.open(encoding="latin-1") as lines:
        for line in lines:
            if (found := _LINE.match(line)) is None or found[6].startswith("-"):
                continue
            at, took = float(found[1]), float(found[7])
            text = "".join(_STRING.findall(found[5]))
            said = text.encode("latin-1").decode("unicode_escape").encode("latin-1")
            did.append(Did(at, at + took, found[2], found[3], found[4], said))
    return did


def follow(trace: Trace) -> Order:
    """Each answer 2xx to a key: was a transaction with that key on disk before it left?"""
    order = Order()
    wal = [_wal(did) for did in trace.databases.values()]
    writes = sorted(write for of, _ in wal for write in of)
    syncs = sorted(sync for _, of in wal for sync in of)
    order.syncs = len(syncs)
    committed: dict[bytes, list[Committed]] = defaultdict(list)
    answers = sorted(answer for did in trace.apis.values() for answer in _answers(did))
    known = {key for _, _, key in answers}
    for did in trace.databases.values():
        for keys, one in _transactions(did, known, writes, syncs):
            for key in keys:
                committed[key].append(one)
    first: set[bytes] = set()
    for sent_at, arrived_at, key in answers:
        if key in first:
            continue
        first.add(key)
        before = [one for one in committed[key] if one.said_at < sent_at]
        on_disk = [one for one in before if one.is_on_disk]
        # Who hung up and asks again is answered by a commit before this request.
        order.ordered += any(arrived_at < one.asked_at for one in on_disk)
        order.again += bool(on_disk) and all(one.asked_at < arrived_at for one in on_disk)
        if not on_disk:
            why = "its commit was not synced" if before else "there was no commit"
            order.faults.append(f"{key.decode()}: when its answer left {why}")
    return order


def _wal(did: Sequence[Did]) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
    of_wal = [one for one in did if "/pg_wal/" in one.path]
    return (
        [(one.at, one.until) for one in of_wal if one.name == "pwrite64"],
        [(one.at, one.until) for one in of_wal if one.name in {"fdatasync", "fsync"}],
    )


def _transactions(
    did: Sequence[Did],
    known: Set[bytes],
    writes: Sequence[tuple[float, float]],
    syncs: Sequence[tuple[float, float]],
) -> Iterator[tuple[set[bytes], Committed]]:
    """One connection's transactions, with the keys that their statements held."""
    keys: set[bytes] = set()
    asked_at, before = 0.0, b""
    own = [
        one.until for one in did if one.name in {"fdatasync", "fsync"} and "/pg_wal/" in one.path
    ]
    for one in did:
        if one.name == "recvfrom":
            if b"BEGIN" in one.said:
                keys, before = set(), b""
            keys |= _keys(before + one.said, known)
            before = (before + one.said)[-OVERLAP:]
            if b"COMMIT" in one.said:
                asked_at = one.until
        elif asked_at and one.name == "sendto" and b"COMMIT\0" in one.said:
            is_own = any(asked_at < until <= one.at for until in own)
            on_disk = is_own or _by_another(asked_at, one.at, writes, syncs)
            yield keys, Committed(asked_at, one.at, on_disk)
            keys, asked_at, before = set(), 0.0, b""


def _by_another(
    asked_at: float,
    said_at: float,
    writes: Sequence[tuple[float, float]],
    syncs: Sequence[tuple[float, float]],
) -> bool:
    """Whether another's sync took it along: of what was written to the WAL after its COMMIT."""
    written = [until for at, until in writes if asked_at < at and until < said_at]
    return bool(written) and any(min(written) <= at and until <= said_at for at, until in syncs)


def _keys(said: bytes, known: Set[bytes]) -> Set[bytes]:
    """The keys that stand in what was read; a length before one may look like a letter of it."""
    words = set(_WORD.findall(said))
    return (words | {word[1:] for word in words}) & known


def _answers(did: Sequence[Did]) -> Iterator[tuple[float, float, bytes]]:
    """When an answer 2xx left, when its request came, and its key."""
    asked: dict[str, tuple[float, bytes]] = {}
    for one in did:
        if one.name in READ and one.said.startswith(b"POST "):
            if found := _KEY_HEADER.search(one.said):
                asked[one.fd] = (one.at, found[1])
        elif one.name in WRITTEN and one.said.startswith(b"HTTP/"):
            request = asked.pop(one.fd, None)
            if request and one.said[9:10] == b"2":
                yield one.at, *request
