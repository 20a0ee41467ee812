"""What is looked at from outside while all goes on: who sees whose rows, and how long one waits."""

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import httpx
import psycopg

from lab.findings import Findings
from lab.house import LabHouse
from lab.market import COUNTY, LabSale, Market
from yaosu.demo.people import CENTER, county

OTHER_COUNTY = "370523"
# Those who come in the last half second, their lock's timeout, get the row, too late.
HELD_BEFORE_S = 0.9
HELD_AFTER_S = 0.03


@dataclass
class Isolation:
    """Asks, again and again, as several people who must not see each other's rows."""

    market: Market
    findings: Findings

    async def forever(self) -> None:
        turn = 0
        while True:
            turn += 1
            for look in (self._own_bids, self._other_county, self._all_entries):
                try:
                    await look(turn)
                except TimeoutError:
                    self.findings.count("probes_missed")
            await asyncio.sleep(0.7)

    def _count(self, found: object) -> None:
        # Who is refused sees nothing, whatever a row's protection is worth.
        self.findings.count("probes_refused" if found is None else "isolation_probes")

    async def _own_bids(self, turn: int) -> None:
        sales = [sale for sale in self.market.sales if sale.registrations]
        if not sales:
            return
        number = 1 + turn % self.market.bidders
        sale = sales[turn % len(sales)]
        found = await self.market.crowd.ask(
            self.market.enterprise(number), f"{sale.path}/registration"
        )
        own = sale.registrations.get(number, {}).get("registration_id")
        self._count(found)
        if found is not None and own and found["registration_id"] != own:
            self.findings.fault("G15", f"enterprise {number} sees another's registration")

    async def _other_county(self, turn: int) -> None:
        found = await self.market.crowd.ask(county(OTHER_COUNTY), "/v1/screenings")
        self._count(found)
        if found:
            self.findings.fault("G15", f"{OTHER_COUNTY} sees {len(found)} rows of {COUNTY}")

    async def _all_entries(self, turn: int) -> None:
        whole = [s for s in self.market.sales if len(s.registrations) == self.market.bidders]
        if not whole:
            return
        sale = whole[turn % len(whole)]
        found = await self.market.crowd.ask(CENTER[0], f"{sale.path}/registrations")
        self._count(found)
        if found is not None and len(found["items"]) != self.market.bidders:
            self.findings.fault("G15", f"the centre sees {len(found['items'])} entries")


@dataclass
class Board:
    """Reads the board all the time; while only the energy service is hurt it must be served.

    `hurt` names what the nemesis is at, or nothing.
    """

    house: LabHouse
    findings: Findings
    hurt: Callable[[], str]
    _waits: list[float] = field(default_factory=list)

    async def forever(self) -> None:
        async with httpx.AsyncClient(timeout=5, trust_env=False) as client:
            while True:
                before, began = self.hurt(), time.monotonic()
                try:
                    status = (
                        await client.get(f"{self.house.gateway_url}/v1/board/sales")
                    ).status_code
                except httpx.HTTPError:
                    status = 0
                if before.startswith("energy-") and before == self.hurt():
                    self._note(before, status, time.monotonic() - began)
                await asyncio.sleep(0.4)

    def _note(self, hurt: str, status: int, wait_s: float) -> None:
        self._waits.append(wait_s)
        self.findings.count("board_reads_while_energy_is_hurt")
        ordered = sorted(self._waits)
        self.findings.figures["board_read_p99_s"] = round(ordered[len(ordered) * 99 // 100], 3)
        if status != httpx.codes.OK:
            self.findings.fault("G12", f"{hurt} is hurt and the board answers {status}")


def holding_closings(house: LabHouse, findings: Findings) -> Callable[[LabSale], Awaitable[None]]:
    """Hold a sale's row over its close, so that who waits for it gets it when it is too late."""

    async def over(sale: LabSale, offset: timedelta) -> None:
        begins = (sale.closes_at - offset).timestamp() - HELD_BEFORE_S
        await asyncio.sleep(max(0.0, begins - time.time()))
        try:
            await asyncio.to_thread(_hold, house, sale, offset)
            findings.count("closings_held")
        except psycopg.OperationalError:
            findings.count("closings_not_held")

    async def over_closing(sale: LabSale) -> None:
        rows = await asyncio.to_thread(house.rows, "energy", "SELECT clock_offset FROM house")
        await over(sale, rows[0][0])

    return over_closing


def _hold(house: LabHouse, sale: LabSale, offset: timedelta) -> None:
    with psycopg.connect(house.dsn("energy"), connect_timeout=2) as connection:
        _lock(connection, sale, offset)
        held_from = datetime.now(UTC) + offset
        while datetime.now(UTC) + offset < sale.closes_at + timedelta(seconds=HELD_AFTER_S):
            time.sleep(0.005)
        held_to = datetime.now(UTC) + offset
    if held_from < sale.closes_at:
        sale.held = (held_from, held_to)


def _lock(connection: psycopg.Connection, sale: LabSale, offset: timedelta) -> None:
    """Lock the sale's row, tried again until it closes: others want it too."""
    connection.execute("SET lock_timeout = '800ms'")
    while True:
        try:
            connection.execute("SELECT id FROM sale WHERE id = %s FOR UPDATE", (sale.sale_id,))
            return
        except psycopg.errors.LockNotAvailable:
            connection.rollback()
            connection.execute("SET lock_timeout = '800ms'")
            if datetime.now(UTC) + offset > sale.closes_at:
                raise


@dataclass
class HotFreeze:
    """Freezes an api inside a hot transaction, and sees how long the others must wait."""

    house: LabHouse
    findings: Findings

    async def once(self, name: str) -> None:
        """Freeze until it is caught holding a sale's bid clock, at most for some tries."""
        for _ in range(150):
            if await self._try(name):
                return
            await asyncio.sleep(0.02)

    async def _try(self, name: str) -> bool:
        if not self.house.signal(name, signal.SIGSTOP):
            await asyncio.sleep(0.2)
            return False
        try:
            await asyncio.sleep(0.01)
            held = await asyncio.to_thread(self._idle_in_hot)
            if held is None:
                return False
            self.findings.count("hot_freezes")
            await asyncio.sleep(1.2)
            if await asyncio.to_thread(self._idle_in_hot) == held:
                self.findings.fault("G12", f"{name}, frozen, keeps a sale's lock for over 1 s")
            return True
        finally:
            self.house.signal(name, signal.SIGCONT)

    def _idle_in_hot(self) -> tuple[int, datetime] | None:
        # With its beginning: the other api's next transaction may use the same connection.
        rows = self.house.rows(
            "energy",
            "SELECT a.pid, a.xact_start FROM pg_stat_activity a JOIN pg_locks l ON l.pid = a.pid "
            "WHERE a.state = 'idle in transaction' AND l.relation = 'bid_clock'::regclass "
            "AND l.granted ORDER BY a.xact_start LIMIT 1",
        )
        return (rows[0][0], rows[0][1]) if rows else None
