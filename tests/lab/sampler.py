"""What is looked at every second while all is going on: conservation, chains, positions."""

import asyncio
import time
from dataclasses import dataclass, field

import psycopg

from lab.findings import Findings
from lab.house import LabHouse
from marketkit.signing import ZERO, chain_after

UNPLACED_S_MAX = 30
ASKED = (
    "WITH moved AS (SELECT account, lot, sum(posted) AS posted, sum(held) AS held "
    "FROM movement GROUP BY 1, 2), "
    "open_hold AS (SELECT account, lot, sum(remaining) AS held FROM hold GROUP BY 1, 2) "
    "SELECT coalesce(sum(abs(coalesce(m.posted, 0) - coalesce(b.posted, 0)) "
    "+ abs(coalesce(m.held, 0) - coalesce(b.held, 0)) "
    "+ abs(coalesce(m.held, 0) - coalesce(h.held, 0))), 0), "
    "(SELECT coalesce(sum(abs(s)), 0) FROM "
    "(SELECT sum(posted) AS s FROM movement GROUP BY lot) x), "
    "(SELECT count(*) FROM balance WHERE NOT is_issuance AND (posted < held OR held < 0)), "
    "(SELECT count(*) FROM balance) "
    "FROM moved m FULL JOIN balance b USING (account, lot) "
    "FULL JOIN open_hold h USING (account, lot)"
)
# What is shown of an aggregate although something before it is parked.
PASSED = (
    "SELECT p.key, p.sequence, c.sequence FROM parked p JOIN projection.change c "
    "ON c.source = p.source AND c.partition = p.partition AND c.sale_id = p.key "
    "AND c.sequence > p.sequence"
)


@dataclass
class Sampler:
    """Looks at both databases every second: conservation, chains, positions that go back."""

    house: LabHouse
    findings: Findings
    _heads: dict[tuple[str, int], tuple[int, bytes]] = field(default_factory=dict)
    _positions: dict[int, tuple[int, int]] = field(default_factory=dict)
    _oldest: tuple[int, float] = (0, 0.0)

    async def forever(self) -> None:
        while True:
            began = time.monotonic()
            try:
                await asyncio.wait_for(asyncio.to_thread(self.sample), 20)
            except (psycopg.OperationalError, TimeoutError):
                self.findings.count("samples_missed")
            await asyncio.sleep(max(0.1, 1.0 - (time.monotonic() - began)))

    def sample(self) -> None:
        with self._connect("energy") as connection:
            self._conservation(connection)
            self._log(connection, "energy")
            self._unplaced(connection)
        with self._connect("gateway") as connection:
            self._log(connection, "gateway")
            self._places(connection)
        self.findings.count("samples")

    def _connect(self, name: str) -> psycopg.Connection:
        return psycopg.connect(
            self.house.dsn(name),
            autocommit=True,
            connect_timeout=3,
            options="-c statement_timeout=10s",
        )

    def _conservation(self, connection: psycopg.Connection) -> None:
        row = connection.execute(ASKED.encode()).fetchone()
        assert row is not None
        off, from_nowhere, overdrawn, balances = map(int, row)
        if off or from_nowhere:
            self.findings.fault("G7", f"imbalance {off}, out of nothing {from_nowhere}")
        if overdrawn:
            self.findings.fault("G7", f"{overdrawn} balances allotted beyond what is there")
        self.findings.figures["balances"] = balances

    def _log(self, connection: psycopg.Connection, name: str) -> None:
        for partition in range(6):
            sequence, chain = self._heads.get((name, partition), (0, ZERO))
            rows = connection.execute(
                "SELECT sequence, chain, event FROM log WHERE partition = %s AND sequence > %s "
                "ORDER BY sequence LIMIT 5000",
                (partition, sequence),
            ).fetchall()
            for number, stored, event in rows:
                if number != sequence + 1:
                    self.findings.fault("G5", f"{name} {partition}: {number} after {sequence}")
                chain = chain_after(chain, bytes(event))
                if chain != bytes(stored):
                    self.findings.fault("G5", f"{name} {partition}: chain broken at {number}")
                    chain = bytes(stored)
                sequence = number
            self._heads[name, partition] = (sequence, chain)
        heads = connection.execute("SELECT partition, sequence FROM partition_head").fetchall()
        for partition, head in heads:
            if head < self._heads[name, partition][0]:
                self.findings.fault("G5", f"{name} {partition}: head {head} is behind its log")

    def _unplaced(self, connection: psycopg.Connection) -> None:
        row = connection.execute("SELECT coalesce(min(id), 0), count(*) FROM outbox").fetchone()
        assert row is not None
        oldest, waiting = row
        if oldest != self._oldest[0]:
            self._oldest = (oldest, time.monotonic())
        elif oldest and time.monotonic() - self._oldest[1] > UNPLACED_S_MAX:
            self.findings.fault(
                "G3", f"{waiting} told facts have no place, one for {UNPLACED_S_MAX} s"
            )

    def _places(self, connection: psycopg.Connection) -> None:
        statement = (
            "SELECT partition, epoch, sequence, is_forked FROM position "
            "WHERE source LIKE '%energy%'"
        )
        for partition, epoch, sequence, is_forked in connection.execute(statement).fetchall():
            if (epoch, sequence) < self._positions.get(partition, (0, 0)):
                self.findings.fault("G3", f"position {partition} went back to {sequence}")
            if is_forked:
                self.findings.fault("G14", f"the reader stands still: {partition} contradicts")
            self._positions[partition] = (epoch, sequence)
        passed = connection.execute(PASSED.encode()).fetchall()
        for key, parked, shown in passed:
            self.findings.fault("G3", f"{key}: {shown} is shown and {parked} before it is parked")
