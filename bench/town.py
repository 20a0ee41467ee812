"""What a made-up town tells: real facts with movements, through the product's outbox and log."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import islice
from typing import Any

import psycopg
from sqlalchemy.engine import make_url

from builders import NOON, a_project_code, a_uscc
from contracts.energy import PledgeRegistered, PledgeReleased, QuotaAssigned
from contracts.holdings import AccountOpened, LotCreated, QuotaIssued
from marketkit.checkpoint import sign_checkpoint
from marketkit.codes import CITY
from marketkit.db import Database, Session
from marketkit.movements import Leg, Movement
from marketkit.outbox import PARTITIONS, Placed, Telling, event_of, stored
from marketkit.signing import ZERO, chain_after, partition_of

PROJECTS = 600
COUNTIES = ("370502", "370503", "370505", "370522", "370523")
POOL, ISSUANCE = f"city:{CITY}", "issuance:ENERGY"
COPY_LOG = b"COPY log (partition, sequence, key, chain, event) FROM STDIN"
RAISE = b"UPDATE partition_head SET sequence = %s, chain = %s WHERE partition = %s"
# What a rebuild leaves, whole: every table these facts reach.
TABLES = ("board_account", "board_lot", "change", "holding")


def tellings(count: int) -> Iterator[Telling]:
    """The first `count` of them: accounts first, then issues, assignments and pledges."""
    return islice(_all(), count)


def _all() -> Iterator[Telling]:
    made = _opened()
    for number, telling in enumerate(made):
        yield _at(telling, number)
    number = 1 + PROJECTS + 1
    while True:
        for telling in _round(number // 8):
            yield _at(telling, number)
            number += 1


def _at(telling: Telling, number: int) -> Telling:
    return telling._replace(
        at=NOON + timedelta(milliseconds=number), actor="officer", region_code=CITY,
        policy_version="2022-01-01+3f9a1c2e",
    )  # fmt: skip


def account(number: int) -> str:
    return f"enterprise:{a_uscc(number)}:{a_project_code(number)}"


def _opened() -> Iterator[Telling]:
    city = AccountOpened(account=POOL, owner_kind="CITY", region_code=CITY)
    nobody = AccountOpened(account=ISSUANCE, owner_kind="ISSUANCE", region_code=CITY)
    yield from (Telling(city, POOL), Telling(nobody, ISSUANCE))
    for number in range(PROJECTS):
        name = account(number)
        yield Telling(
            AccountOpened(
                account=name,
                owner_kind="ENTERPRISE",
                region_code=COUNTIES[number % len(COUNTIES)],
                uscc=a_uscc(number),
                project_code=a_project_code(number),
            ),
            name,
        )


def moved(account: str, lot: str, posted: int, held: int = 0) -> Movement:
    return Movement.of(Leg(account, "ENERGY", lot, posted, held))


def _round(number: int) -> Iterator[Telling]:
    """A lot and its issue, two assignments out of the pool, two pledges and their releases."""
    lot = f"lot-{number:08d}"
    yield from _issue(number, lot)
    for one in (2 * number, 2 * number + 1):
        to = account(one % PROJECTS)
        legs = [moved(POOL, lot, -12_345), moved(to, lot, 12_345)]
        said = {"account": to, "quantity_tce": "12.345", "movements": legs}
        yield Telling(QuotaAssigned.model_validate(said), to)
    for one in (2 * number, 2 * number + 1):
        yield from _pledge(one, lot)


def _issue(number: int, lot: str) -> Iterator[Telling]:
    paper = f"东发改〔2022〕{number}号"
    day = date(2022, 6, 1)
    yield Telling(
        LotCreated(
            lot=lot, asset="ENERGY", article="art. 3", document_no=paper, origin_kind="POOL",
            origin_id="pool", origin_region_code=CITY, effective_on=day, is_dual_high_barred=False,
            is_locally_usable=True, needs_city_consent=False,
        ),
        lot,
    )  # fmt: skip
    legs = [moved(ISSUANCE, lot, -50_000), moved(POOL, lot, 50_000)]
    yield Telling(
        QuotaIssued(account=POOL, asset="ENERGY", quantity="50.000", document_no=paper,
                    effective_on=day, movements=legs),
        lot,
    )  # fmt: skip


def _pledge(number: int, lot: str) -> Iterator[Telling]:
    holder = account(number % PROJECTS)
    said: dict[str, Any] = {
        "account": holder,
        "creditor_uscc": a_uscc(PROJECTS),
        "asset": "ENERGY",
        "document_no": f"质押〔2022〕{number}号",
        "effective_on": date(2022, 6, 1),
    }
    key = f"pledge-{number:08d}"
    held, freed = [moved(holder, lot, 0, 10_000)], [moved(holder, lot, 0, -4_000)]
    yield Telling(PledgeRegistered(**said, quantity="10.000", movements=held), key)
    yield Telling(PledgeReleased(**said, quantity="4.000", remaining="6.000", movements=freed), key)


@dataclass
class Log:
    """A source's log written at once: its places and chains as its sequencer would give them."""

    owner: Database
    heads: dict[int, tuple[int, bytes]] = field(
        default_factory=lambda: dict.fromkeys(range(PARTITIONS), (0, ZERO))
    )

    def __post_init__(self) -> None:
        # It says who speaks; nothing is asked of the database.
        self.speaking = Session(self.owner.engine)
        self.speaking.info.update(house=self.owner, actor="officer")

    def placed(self, telling: Telling) -> tuple[str, Placed]:
        """The fact in the next place of its key's partition, and the key."""
        event = stored(event_of(self.speaking, telling, telling.at))
        partition = partition_of(telling.key, PARTITIONS)
        sequence, chain = self.heads[partition]
        sequence, chain = sequence + 1, chain_after(chain, event)
        self.heads[partition] = sequence, chain
        return telling.key, Placed(self.owner.source, partition, 1, sequence, chain, event)

    def write(self, events: Iterable[tuple[str, Placed]]) -> None:
        """COPY them into the log, and raise the heads behind them."""
        with superuser(self.owner.url) as connection, connection.transaction():
            with connection.cursor() as cursor, cursor.copy(COPY_LOG) as copy:
                for key, one in events:
                    copy.write_row((one.partition, one.sequence, key, one.chain, one.event))
            for partition, (sequence, chain) in self.heads.items():
                connection.execute(RAISE, (sequence, chain, partition))

    async def seal(self) -> None:
        await self.owner.run(sign_checkpoint, "worker")
        await self.owner.close()


def superuser(url: str) -> "psycopg.Connection[Any]":
    target = make_url(url).set(drivername="postgresql", username="postgres")
    return psycopg.connect(target.render_as_string(hide_password=False), autocommit=True)


def digests(url: str) -> dict[str, str]:
    """By table, SHA-256 of its rows as text, in order."""
    with superuser(url) as connection:
        return {
            table: _digest(
                row[0]
                for row in connection.execute(
                    f'SELECT to_jsonb(t)::text COLLATE "C" AS said FROM projection.{table} t '
                    "ORDER BY said".encode()
                )
            )
            for table in TABLES
        }


def _digest(lines: Iterable[str]) -> str:
    found = hashlib.sha256()
    for line in lines:
        found.update(line.encode() + b"\n")
    return found.hexdigest()
