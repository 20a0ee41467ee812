"""More than the house can do, and those who cling: half requests held open, bodies without end."""

import asyncio
import contextlib
import time
from dataclasses import dataclass, field

import httpx
import psutil

from lab.findings import Findings
from lab.house import LabHouse

CLINGERS = 500
BULK_BYTES = 80_000_000
RSS_MB_MAX = 50


@dataclass
class Memory:
    """How much each process holds, every second."""

    house: LabHouse
    findings: Findings
    _first: dict[int, tuple[str, int]] = field(default_factory=dict)
    _grown: set[int] = field(default_factory=set)

    async def forever(self) -> None:
        while True:
            for name, part in self.house.parts.items():
                with contextlib.suppress(psutil.NoSuchProcess):
                    if part.pid is not None:
                        self._note(name, part.pid)
            await asyncio.sleep(1.0)

    def _note(self, name: str, pid: int) -> None:
        held = psutil.Process(pid).memory_info().rss // 1_000_000
        # What a process makes at its start is no growth.
        if pid not in self._first:
            self._first[pid] = (name, 0)
            return
        if not self._first[pid][1]:
            self._first[pid] = (name, held)
        grown = held - self._first[pid][1]
        most = self.findings.figures.get("rss_growth_mb_max", 0)
        self.findings.figures["rss_growth_mb_max"] = max(most, grown)
        if grown > RSS_MB_MAX and (pid not in self._grown):
            self._grown.add(pid)
            self.findings.fault("G11", f"{name} holds {grown} MB more than when it began")


async def cling(house: LabHouse, findings: Findings, seconds: float) -> None:
    """Hundreds of connections that begin a request and never end it; others are still served."""
    writers = []
    for number in range(CLINGERS):
        with contextlib.suppress(OSError):
            port = house.edges["people" if number % 2 else "direct"].port
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /v1/board/sales HTTP/1.1\r\nHost: x\r\nX-Slow: ")
            writers.append(writer)
    findings.count("clingers", len(writers))
    until = time.monotonic() + seconds
    slowest, served = 0.0, 0
    async with httpx.AsyncClient(timeout=10, trust_env=False) as client:
        while time.monotonic() < until:
            began = time.monotonic()
            with contextlib.suppress(httpx.HTTPError):
                answer = await client.get(f"{house.gateway_url}/v1/board/sales")
                findings.count(f"clung_answers_{answer.status_code}")
                served += answer.is_success
            slowest = max(slowest, time.monotonic() - began)
            await asyncio.sleep(0.2)
    findings.figures["clung_read_s_max"] = round(slowest, 2)
    if not served:
        findings.fault("G11", f"{CLINGERS} half requests and nobody else is served")
    for writer in writers:
        writer.transport.abort()


async def bulk(house: LabHouse, findings: Findings) -> None:
    """A body of eighty megabytes: refused while it is still coming."""

    async def body() -> object:
        for _ in range(BULK_BYTES // 65536):
            yield b"x" * 65536

    findings.count("bulks")
    async with httpx.AsyncClient(timeout=10, trust_env=False) as client:
        try:
            answer = await client.post(
                f"{house.direct_url}/v1/sales",
                content=body(),  # type: ignore[arg-type]  # an async generator of bytes
                headers={"Content-Type": "application/json", "Idempotency-Key": "bulk"},
            )
        except httpx.HTTPError:
            findings.count("bulk_cut")
            return
    findings.count(f"bulk_{answer.status_code}")
    if answer.status_code not in {401, 413, 408, 503}:
        findings.fault("G16", f"eighty megabytes were answered {answer.status_code}")


async def rush(house: LabHouse, findings: Findings, seconds: float, width: int) -> None:
    """Reads of the board and of sales, `width` at once, as fast as they are answered."""
    until = time.monotonic() + seconds
    waits: list[float] = []

    async def visitor(number: int) -> None:
        async with httpx.AsyncClient(timeout=10, trust_env=False) as client:
            while time.monotonic() < until:
                began = time.monotonic()
                url = house.gateway_url if number % 2 else house.direct_url
                path = "/v1/board/sales" if number % 2 else "/v1/sales"
                with contextlib.suppress(httpx.HTTPError):
                    answer = await client.get(url + path)
                    findings.count(f"rush_{answer.status_code}")
                    if answer.status_code == 500:
                        findings.fault("G16", f"500 to {path} in a rush")
                    waits.append(time.monotonic() - began)
                await asyncio.sleep(0)

    began = time.monotonic()
    await asyncio.gather(*(visitor(number) for number in range(width)))
    waits.sort()
    rate = len(waits) / (time.monotonic() - began)
    findings.figures[f"rush_{width}_per_s"] = round(rate, 1)
    findings.figures[f"rush_{width}_p99_s"] = (
        round(waits[len(waits) * 99 // 100], 3) if waits else 0
    )
