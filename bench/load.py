"""A closed loop of clients over keep-alive connections, in a process of its own.

Requests are bytes made before the clock starts; of answers only status and length are read, so
that the machine's time goes to the server.
"""

import asyncio
import gc
import json
import pickle
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CLIENTS = 64
# Asked again with the same key: no answer yet.
AGAIN = {429, 503}


@dataclass(frozen=True)
class Load:
    """What came of a run; latencies in milliseconds."""

    seconds: float
    statuses: Mapping[int, int]
    p50_ms: float
    p99_ms: float

    @property
    def per_second(self) -> float:
        """Requests that took effect, a second."""
        return sum(n for status, n in self.statuses.items() if status < 300) / self.seconds


def request(
    method: str, path: str, port: int, body: Any = None, headers: Mapping[str, str] | None = None
) -> bytes:
    """One HTTP/1.1 request as it stands on the wire."""
    said = b"" if body is None else json.dumps(body, separators=(",", ":")).encode()
    lines = [
        f"{method} {path} HTTP/1.1",
        f"Host: 127.0.0.1:{port}",
        "Content-Type: application/json",
        f"Content-Length: {len(said)}",
        *(f"{name}: {value}" for name, value in (headers or {}).items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode() + said


def run(port: int, requests: Sequence[Sequence[bytes]], directory: Path) -> Load:
    """Let as many clients as there are lists send their requests, each in its order."""
    spec = directory / "load.pickle"
    spec.write_bytes(pickle.dumps((port, requests)))
    done = subprocess.run(
        [sys.executable, "-m", "bench.load", spec], check=True, capture_output=True, timeout=600
    )
    said = json.loads(done.stdout)
    statuses = {int(status): n for status, n in said.pop("statuses").items()}
    return Load(statuses=statuses, **said)


async def answer(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """The next answer of a connection: its head, and its body of as many bytes as that says."""
    head = await reader.readuntil(b"\r\n\r\n")
    at = head.lower().find(b"content-length:")
    return head, await reader.readexactly(int(head[at + 15 : head.index(b"\r", at)]))


async def _client(port: int, requests: Sequence[bytes], latencies: list[float]) -> Counter[int]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    statuses: Counter[int] = Counter()
    for one in requests:
        began = time.perf_counter()
        while True:
            writer.write(one)
            head, _ = await answer(reader)
            status = int(head[9:12])
            if status not in AGAIN:
                break
            statuses[status] += 1
            await asyncio.sleep(0.05)
        latencies.append(time.perf_counter() - began)
        statuses[status] += 1
    writer.close()
    return statuses


async def _all(port: int, requests: Sequence[Sequence[bytes]]) -> dict[str, Any]:
    latencies: list[float] = []
    began = time.perf_counter()
    counted = await asyncio.gather(*(_client(port, own, latencies) for own in requests))
    seconds = time.perf_counter() - began
    latencies.sort()
    return {
        "seconds": seconds,
        "statuses": sum(counted, Counter()),
        "p50_ms": latencies[len(latencies) // 2] * 1_000,
        "p99_ms": latencies[len(latencies) * 99 // 100] * 1_000,
    }


def main() -> None:
    # Of our own making; nothing else ever lies there.
    port, requests = pickle.loads(Path(sys.argv[1]).read_bytes())
    gc.disable()
    print(json.dumps(asyncio.run(_all(port, requests))))


if __name__ == "__main__":
    main()
