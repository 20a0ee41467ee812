"""Holds on one lot in a house that has grown: ten million movements and events beside ten thousand.

`BENCH_ROWS` says another number while something is tried.
"""

import os
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import psycopg

from bench import holds, hot, load
from bench.figures import Figure, spread
from bench.site import Site, done, site
from marketkit.closings import Books, standing_imbalance
from marketkit.db import Database, Session, sql
from marketkit.ledger import imbalance

FEW, MANY = 10_000, int(os.environ.get("BENCH_ROWS", "10000000"))
ROUNDS = 3
REQUESTS = 1_536
# A quarter of the movements each: taken from an issue, given to an account, held, let go.
FILL = (
    "INSERT INTO account (id, owner_kind, region_code, is_issuance) "
    "SELECT 'bench:' || n, 'COUNTY', '370502', false FROM generate_series(0, 999) n",
    "INSERT INTO lot SELECT 'bench-' || n, 'ENERGY', 'art. 3', 'no', 'ISSUE', 'bench', '370502', "
    "'2022-01-01', false, true, false, NULL, NULL FROM generate_series(0, 1999) n",
    "INSERT INTO transfer SELECT lpad(n::text, 26, '0'), "
    "(ARRAY['ISSUE', 'PLEDGE', 'RELEASE'])[1 + n % 3], 'bench-' || n / 3, '质押〔2022〕' || n, "
    "'2022-01-01', '2022-01-01', '2022-01-01+00000000', NULL "
    "FROM generate_series(0, :quarter * 3 - 1) n",
    "INSERT INTO movement (transfer_id, account, asset, lot, posted, held) "
    "SELECT lpad((n * 3 + leg.kind)::text, 26, '0'), leg.account, 'ENERGY', leg.lot, leg.posted, "
    "leg.held FROM generate_series(0, :quarter - 1) n, LATERAL (VALUES "
    "(0, 'issuance:ENERGY', 'bench-' || n % 2000, -1, 0), "
    "(0, 'bench:' || n % 1000, 'bench-' || n % 2000, 1, 0), "
    "(1, :account, :lot, 0, 1), (2, :account, :lot, 0, -1)) "
    "AS leg(kind, account, lot, posted, held)",
    "INSERT INTO hold SELECT lpad(n::text, 26, '0'), 'PLEDGE', 'bench-' || n, :account, "
    "'ENERGY', :lot, 1, 0, :creditor FROM generate_series(0, :quarter - 1) n",
    "INSERT INTO pledge SELECT 'bench-' || n, :account, '370502', :holder, :creditor, 'ENERGY', 1, "
    "0, '质押〔2021〕' || n, '2022-01-01', '2022-01-01', 'bench', '2022-01-01+00000000' "
    "FROM generate_series(0, :quarter - 1) n",
    "INSERT INTO stored_answer SELECT 'bench', lpad(n::text, 26, '0'), '\\x00', 201, '', "
    "convert_to(repeat('x', 300), 'UTF8'), '2022-01-01' FROM generate_series(1, :quarter * 2) n",
    # The chain's values are of no event's: nothing that is measured reads them.
    "INSERT INTO log SELECT n % 6, n / 6 + 1, 'bench-' || n, sha256(n::text::bytea), "
    "convert_to(repeat('x', 600), 'UTF8') FROM generate_series(0, :quarter * 4 - 1) n",
)
# Out of those.
FOLD = (
    "INSERT INTO balance SELECT account, lot, sum(posted), sum(held), account LIKE 'issuance:%' "
    "FROM movement WHERE lot LIKE 'bench-%' GROUP BY 1, 2",
    "UPDATE partition_head h SET (sequence, chain) = (SELECT sequence, chain FROM log "
    "WHERE partition = h.partition ORDER BY sequence DESC LIMIT 1)",
    "UPDATE relay_position r SET sequence = "
    "(SELECT sequence FROM partition_head WHERE partition = r.partition)",
)
INDEXES = (
    "SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index "
    "WHERE NOT indisunique AND indrelid = ANY "
    "('{transfer, movement, hold, pledge, log}'::regclass[])"
)
# What foreign keys and the sequencer would have seen to, counted where it is not so.
WRONG = (
    "SELECT (SELECT count(*) FROM movement m WHERE NOT EXISTS "
    "(SELECT FROM transfer t WHERE t.id = m.transfer_id)) + "
    "(SELECT count(*) FROM movement m WHERE NOT EXISTS "
    "(SELECT FROM balance b WHERE b.account = m.account AND b.lot = m.lot)) + "
    "(SELECT sum(abs(h.sequence - n.event_count) + abs(h.sequence - n.last)) "
    "FROM partition_head h JOIN (SELECT partition, count(*) AS event_count, "
    "max(sequence) AS last FROM log GROUP BY 1) n USING (partition))"
)


@dataclass
class Grown:
    """A house of so many rows, what serves from it, and what came of the loads so far."""

    here: Site
    url: str
    port: int
    per_second: list[float] = field(default_factory=list)
    p99_ms: list[float] = field(default_factory=list)

    def load(self, turn: int) -> None:
        # A token lives ten minutes, and a house takes longer to fill.
        token = self.here.token("enterprise", "person-of-1", region_code="", uscc=holds.HOLDER)
        numbers = range(turn * REQUESTS, (turn + 1) * REQUESTS)
        requests = [
            [
                hot.posted(self.port, "/v1/pledges", holds.body(n), token)
                for n in numbers[client :: load.CLIENTS]
            ]
            for client in range(load.CLIENTS)
        ]
        found = load.run(self.port, requests, self.here.directory)
        assert set(found.statuses) <= {201, *load.AGAIN}, found.statuses
        self.per_second.append(found.per_second)
        self.p99_ms.append(found.p99_ms)


def fill(url: str, row_count: int) -> None:
    """So many movements and events, and what belongs to them, by statements over sets.

    Foreign keys are not asked row by row and indexes are made at the end; both are whole after it.
    """
    database = url.replace("+psycopg", "").replace("yaosu_app@", "postgres@")

    def run(statement: str) -> list[tuple[Any, ...]]:
        options = "-c session_replication_role=replica -c maintenance_work_mem=512MB"
        with psycopg.connect(database, autocommit=True, options=options) as connection:
            found = connection.execute(statement.encode())
            return found.fetchall() if found.description else []

    words = {":quarter": str(row_count // 4), ":account": f"'{holds.ACCOUNT}'"}
    words |= {":lot": f"'{run('SELECT id FROM lot')[0][0]}'", ":holder": f"'{holds.HOLDER}'"}
    words |= {":creditor": f"'{holds.CREDITOR}'"}
    indexes = run(INDEXES)
    for name, _ in indexes:
        run(f"DROP INDEX {name}")
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda said: run(worded(said, words)), FILL))
        list(pool.map(lambda index: run(index[1]), indexes))
    for statement in FOLD:
        run(worded(statement, words))
    assert run(WRONG) == [(0,)]
    run("VACUUM (ANALYZE)")
    run("CHECKPOINT")


def worded(statement: str, words: Mapping[str, str]) -> str:
    for word, value in words.items():
        statement = statement.replace(word, value)
    return statement


async def closed(house: Database) -> tuple[float, float, float]:
    """Seconds to close all there is, to check it then, and to add everything up again."""
    books = Books(house)
    await books.close()
    closing_s = await seconds(books.close())
    whole_s = await seconds(house.run(_patiently(imbalance), "worker"))
    standing_s = await seconds(house.run(_patiently(standing_imbalance), "worker"))
    for check in (imbalance, standing_imbalance):
        found = await house.run(_patiently(check), "worker")
        assert not any(found.by_asset.values()), found
        assert found.row_count
    await house.close()
    return closing_s, standing_s, whole_s


def _patiently(work: Callable[[Session], Awaitable[Any]]) -> Callable[[Session], Awaitable[Any]]:
    async def attempt(session: Session) -> Any:
        await sql(session, "SET LOCAL statement_timeout = '120s'")
        return await work(session)

    return attempt


async def seconds(work: Awaitable[object]) -> float:
    began = time.perf_counter()
    await work
    return time.perf_counter() - began


def grown(here: Site, row_count: int) -> tuple[Grown, tuple[float, float, float]]:
    url = here.database("energy_trade")
    done(holds.holder(here.house("energy_trade", url)))
    fill(url, row_count)
    took = done(closed(here.house("energy_trade", url)))
    port = here.service("energy_trade", "api", url).api
    # Beside the requests, as in any house: sequencer, clock and the check of the ledger.
    here.service("energy_trade", "worker", url)
    return Grown(here, url, port), took


def measure() -> list[Figure]:
    with site() as here:
        few, few_s = grown(here, FEW)
        many, many_s = grown(here, MANY)
        for turn in range(ROUNDS + 1):
            few.load(turn)
            many.load(turn)
        for one in (few, many):
            assert done(holds.taken_twice(here.house("energy_trade", one.url))) == 0
        return _figures(few, many, few_s, many_s)


def _figures(few: Grown, many: Grown, few_s: Any, many_s: Any) -> list[Figure]:
    # The first load of each only warms it.
    pairs = zip(few.per_second[1:], many.per_second[1:], strict=True)
    ratios = [grown / small for small, grown in pairs]
    return [
        Figure(
            f"holds on one lot, {MANY:,} movements and events",
            f"{median(many.per_second[1:]):,.0f}/s, p99 {median(many.p99_ms[1:]):.0f} ms",
            f"with {FEW:,}: {median(few.per_second[1:]):,.0f}/s, "
            f"p99 {median(few.p99_ms[1:]):.0f} ms",
            spread(ratios),
            "≥ 0.90",
            median(ratios) >= 0.9,
        ),
        Figure(
            "the standing check over them",
            f"{many_s[1] * 1_000:,.0f} ms; closing them all {many_s[0]:.1f} s",
            f"with {FEW:,}: {few_s[1] * 1_000:,.0f} ms; adding all up again {many_s[2]:.1f} s",
            f"{many_s[1] / few_s[1]:.1f}×",
            "",
            None,
        ),
    ]
