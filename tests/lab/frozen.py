"""A service frozen whole, and how the others do without it: the board, commands, the way back."""

import asyncio
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import Any

import httpx

from builders import a_project_code, a_uscc
from lab.crowd import Crowd
from lab.findings import Findings
from lab.least import LAB
from lab.market import COUNTY
from lab.parts import end
from marketkit.db import new_id
from yaosu.demo.people import county

READ_EVERY_S = 0.1
# So many at once that the gateway begins to spare the service.
COMMANDERS = 8
COMMAND_EVERY_S = 1.0
AT_ONCE_S = 0.5
# Of a freeze of a minute: in fewer reads the slowest few say what else the machine did.
READ_P99_S_MAX = 0.5
JUDGED_FROM_S = 60.0
RETRY_AFTER_S_MAX = 3
RECOVERY_S_MAX = 10.0
# Who is frozen, and whether commands can be carried out without them.
FROZEN = {"energy-": False, "gateway-worker-": True}


@dataclass
class Looker:
    """Reads the board and commands the energy service through the gateway, and judges answers."""

    crowd: Crowd
    findings: Findings
    http: httpx.AsyncClient
    name: str = field(default_factory=new_id)
    waits: list[float] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    async def read(self) -> dict[str, Any]:
        """The board; whatever is frozen, it must be served."""
        began = time.monotonic()
        try:
            answer = await self.http.get(f"{self.crowd.house.gateway_url}/v1/board/sales")
            found: dict[str, Any] = answer.raise_for_status().json()
        except httpx.HTTPError as error:
            self.findings.fault("G12", f"the board is not served: {error!r}")
            return {}
        self.waits.append(time.monotonic() - began)
        return found

    def known_at(self, board: dict[str, Any]) -> datetime | None:
        """Up to when the energy service's facts are known, as the board tells everybody."""
        told = [one["known_at"] for one in board.get("sources", []) if one["market"] == "energy"]
        return datetime.fromisoformat(told[0]) if told and told[0] else None

    async def command(self, number: int = 0) -> httpx.Response:
        """A new command, or the one of this number again."""
        number = number or next(self._numbers)
        form = {
            "uscc": a_uscc(number),
            "project_code": a_project_code(number),
            "name": "示例项目",
            "is_dual_high": False,
        }
        headers = {
            "Authorization": f"Bearer {self.crowd.token(county(COUNTY))}",
            "Idempotency-Key": f"{self.name}/{number}",
        }
        url = f"{self.crowd.house.gateway_url}/v1/energy/screenings"
        try:
            return await self.http.post(url, json=form, headers=headers)
        except httpx.HTTPError as error:
            self.findings.fault("G12", f"a command is not answered at all: {error!r}")
            return httpx.Response(httpx.codes.GATEWAY_TIMEOUT)

    async def read_on(self, frozen_at: datetime, *, is_energy: bool) -> None:
        while True:
            known_at = self.known_at(await self.read())
            if known_at is None or (is_energy and known_at > frozen_at):
                self.findings.fault("G12", f"frozen at {frozen_at}, and known up to {known_at}")
            await asyncio.sleep(READ_EVERY_S)

    async def command_on(self, *, is_done: bool) -> None:
        while True:
            began = time.monotonic()
            number = next(self._numbers)
            answer = await self.command(number)
            # A statement of a busy database may take too long; sent again, the command is done.
            while is_done and _is_put_off(answer) and time.monotonic() - began < RECOVERY_S_MAX:
                await asyncio.sleep(0.5)
                answer = await self.command(number)
            self._note(answer, time.monotonic() - began, is_done=is_done)
            await asyncio.sleep(COMMAND_EVERY_S)

    def _note(self, answer: httpx.Response, wait_s: float, *, is_done: bool) -> None:
        self.findings.count("commands_done_meanwhile" if is_done else "commands_refused")
        if is_done:
            if answer.status_code != httpx.codes.CREATED:
                self.findings.fault("G12", f"without readers: {answer.status_code} {answer.text}")
            return
        longest = self.findings.figures.get("refusal_s_max", 0.0)
        self.findings.figures["refusal_s_max"] = round(max(longest, wait_s), 1)
        self.findings.count("refused_at_once", wait_s < AT_ONCE_S)
        later = answer.headers.get("Retry-After", "")
        is_soon = later.isdecimal() and int(later) <= RETRY_AFTER_S_MAX
        if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE or not is_soon:
            self.findings.fault("G12", f"to a frozen service: {answer.status_code}, after {later}")


def _is_put_off(answer: httpx.Response) -> bool:
    return answer.status_code == httpx.codes.SERVICE_UNAVAILABLE


async def frozen(crowd: Crowd, seconds: float, findings: Findings) -> None:
    """Freeze each for so many seconds, one after the other, and see what the others do."""
    async with httpx.AsyncClient(timeout=10, trust_env=False) as http:
        looker = Looker(crowd, findings, http)
        await _until_known(looker)
        for prefix, is_done in FROZEN.items():
            await _freeze(looker, prefix, seconds, is_done=is_done)
    ordered = sorted(looker.waits) or [float("inf")]
    p99_s = ordered[len(ordered) * 99 // 100]
    findings.figures |= {"board_reads": len(ordered), "board_read_p99_s": round(p99_s, 3)}
    if seconds >= JUDGED_FROM_S and p99_s > READ_P99_S_MAX:
        findings.fault("G12", f"the board is read in {p99_s:.3f} s, p99")
    for name in ("commands_refused", "commands_done_meanwhile"):
        if findings.figures.get(name, 0) < seconds / 10:
            findings.fault(LAB, f"{name}: {findings.figures.get(name, 0)} in {seconds:.0f} s")


async def _until_known(looker: Looker) -> None:
    """A board that was told how far the owner has come, and commands that are carried out."""
    until = time.monotonic() + 30
    while looker.known_at(await looker.read()) is None or not (await looker.command()).is_success:
        if time.monotonic() > until:
            looker.findings.fault(LAB, "the house was not ready")
            return
        await asyncio.sleep(0.5)


async def _freeze(looker: Looker, prefix: str, seconds: float, *, is_done: bool) -> None:
    house, findings = looker.crowd.house, looker.findings
    names = [name for name in house.parts if name.startswith(prefix)]
    for name in names:
        findings.count("frozen", house.signal(name, signal.SIGSTOP))
    looking = [
        asyncio.create_task(looker.read_on(datetime.now(UTC), is_energy=not is_done)),
        *(asyncio.create_task(looker.command_on(is_done=is_done)) for _ in range(COMMANDERS)),
    ]
    try:
        await asyncio.sleep(seconds)
        for task in looking:
            if task.done():
                task.result()
    finally:
        await end(looking)
        for name in names:
            house.signal(name, signal.SIGCONT)
    await _recovered(looker)


async def _recovered(looker: Looker) -> None:
    """A command is carried out again, soon after all are awake."""
    began = time.monotonic()
    while not (await looker.command()).is_success:
        await asyncio.sleep(0.1)
        if time.monotonic() - began > RECOVERY_S_MAX:
            looker.findings.fault("G12", f"woken, it does nothing for {RECOVERY_S_MAX:.0f} s")
            return
    longest = looker.findings.figures.get("recovery_s_max", 0.0)
    spent_s = time.monotonic() - began
    looker.findings.figures["recovery_s_max"] = round(max(longest, spent_s), 1)
