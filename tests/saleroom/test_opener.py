"""The opener as a process: one at a time, keys in memory only, and a great many bids."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from sqlalchemy import text

from builders import a_project_code, a_uscc
from contracts.sale import BidsRevealed, OpeningSessionBegun, RevealedBid, SaleCleared, SaleOpened
from databases import ENERGY, Migrated, Package, rows
from marketkit.db import Database
from marketkit.signing import b64, sm3
from marketkit.units import MINOR_MAX, YUAN
from saleroom.opener import Opener, leased, opener_loops
from saleroom.openings import actions
from saleroom.recompute import in_parts, whole
from saleroom.sealing import CIPHERTEXT_BYTES, KeyPair
from stories import Story
from toy_market import OPENS, TOY

MANY = 10_000


@pytest.fixture
def story(energy_house: Database) -> Story:
    return Story(energy_house)


@asynccontextmanager
async def running(opener: Opener) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.ensure_future(opener.forever())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])


async def until(story: Story, state: str) -> None:
    async with asyncio.timeout(20):
        while await story.state() != state:
            await asyncio.sleep(0.05)


async def test_a_running_opener_takes_a_sale_from_its_confirmation_to_its_result(
    story: Story,
) -> None:
    await story.bidders(("210.00", "100"))
    await story.ready()
    async with running(story.opener) as task:
        for number in (0, 1, 2):
            await story.give(number)
        await until(story, "CLEARED")
    assert task.cancelled()


async def test_one_opener_is_at_work_and_the_next_takes_its_place(story: Story) -> None:
    await story.bidders(("210.00", "100"))
    await story.ready()
    second = Opener(story.house, TOY)
    async with leased(story.house), running(second):
        await asyncio.sleep(0.3)
        assert second.keys == {}
        assert len(await story.told(OpeningSessionBegun)) == 1
    async with running(second):
        async with asyncio.timeout(20):
            while not second.keys:
                await asyncio.sleep(0.05)
    assert len(await story.told(OpeningSessionBegun)) == 2


async def test_an_opener_whose_lease_is_lost_stops(
    story: Story, migrated: Callable[[Package], Migrated]
) -> None:
    async with running(story.opener) as task:
        async with asyncio.timeout(20):
            while not task.done():
                with migrated(ENERGY).superuser() as connection:
                    connection.execute(
                        "SELECT pg_terminate_backend(pid) FROM pg_locks "
                        "WHERE locktype = 'advisory' AND objid = 7370503"
                    )
                await asyncio.sleep(0.1)
        assert isinstance(task.exception(), psycopg.OperationalError)


def test_the_loop_bears_its_name(energy_house: Database) -> None:
    (loop,) = opener_loops(energy_house, TOY)
    assert loop.name == "opener"


async def test_private_keys_are_in_no_table_and_no_text(story: Story) -> None:
    await story.bidders(("210.00", "100"))
    session_id = await story.ready()
    pair = story.opener.keys[session_id]
    assert isinstance(pair, KeyPair)
    stored = [
        str(row.text)
        for table in ("opening", "opening_session", "session_share", "outbox")
        for row in await rows(story.house, f"SELECT to_json(t)::text AS text FROM {table} t")
    ]
    assert stored
    for secret in (pair.private_key.hex(), b64(pair.private_key)):
        assert not any(secret in text for text in stored)
        assert secret not in repr(story.opener)


async def test_a_bid_nobody_can_pay_keeps_no_sale_from_its_end(story: Story) -> None:
    await story.bidders((YUAN.format(MINOR_MAX), "2"), ("226.50", "4000"))
    await story.open()
    assert await story.state() == "CLEARED"
    await story.confirm()
    assert (await story.settlement(2)).quantity == "4000.000"


async def many_bids(story: Story) -> list[dict[str, Any]]:
    """Ten thousand qualified bidders with one bid each, as if taken in one by one."""
    plaintext = '{"steps":[{"price_yuan":"210.00","quantity":"1.000"}],"nonce":"%064x"}'
    found = []
    for number in range(MANY):
        text = plaintext % number
        found.append(
            {
                "n": f"{number:05d}",
                "sale": story.sale_id,
                "uscc": a_uscc(number),
                "project": a_project_code(number),
                "text": text,
                "commitment": sm3(text.encode().ljust(4096)),
                "at": OPENS + timedelta(milliseconds=number),
            }
        )
    return found


async def store(story: Story, bids: list[dict[str, Any]]) -> None:
    async def work(session: Any) -> None:
        connection = await session.connection()
        for statement in (
            "INSERT INTO registration (id, sale_id, uscc, name, project_code, quantity_max_minor, "
            "deposit_due_fen, state, registered_at, sub_account) VALUES ('reg-' || :n, :sale, "
            ":uscc, '企业', :project, 1000, 4000, 'QUALIFIED', :at, 'sub-' || :n)",
            "INSERT INTO deposit (registration_id, uscc, state, amount_fen, booked_at) "
            "VALUES ('reg-' || :n, :uscc, 'CONFIRMED', 4000, :at)",
            "INSERT INTO sealed_bid (id, sale_id, registration_id, uscc, version, ciphertext, "
            "commitment, key_sm3, kid, submitted_at) VALUES ('receipt-' || :n, :sale, "
            f"'reg-' || :n, :uscc, 1, '\\x{'00' * CIPHERTEXT_BYTES}', :commitment, '', '', :at)",
        ):
            await connection.execute(text(statement), bids)

    await story.house.run(work)


def revealed(bids: list[dict[str, Any]]) -> list[RevealedBid]:
    return [
        RevealedBid(
            receipt_id=f"receipt-{bid['n']}",
            registration_id=f"reg-{bid['n']}",
            bidder=bid["uscc"],
            bidder_name="企业",
            project_code=bid["project"],
            quantity_max="1.000",
            version=1,
            submitted_at=bid["at"],
            commitment=b64(bid["commitment"]),
            plaintext=bid["text"],
        )
        for bid in bids
    ]


async def test_ten_thousand_bids_are_told_and_cleared(
    story: Story, migrated: Callable[[Package], Migrated]
) -> None:
    await story.announce()
    bids = await many_bids(story)
    await store(story, bids)
    # As after days of bidding; looked at amid our one transaction, the tables would seem empty.
    with migrated(ENERGY).superuser() as connection:
        connection.execute("ANALYZE registration, deposit, sealed_bid")
    await story.ready()
    (due,) = await story.house.run(actions.openings_due)
    closed = await story.house.run(lambda s: actions.closed_sale(s, due))
    assert len(closed.bids) == len(closed.commitments) == MANY
    opened = actions.Opened(due.session_id or "", in_parts(revealed(bids)), bytes(32), bytes(32))
    await story.house.run(lambda s: actions.open_sale(s, due, opened))
    await story.opener.turn()
    assert await story.state() == "CLEARED"
    parts = await story.told(BidsRevealed)
    assert [part.part for part in parts] == list(range(1, len(parts) + 1))
    assert sum(len(part.bids) for part in parts) == MANY
    (told,) = await story.told(SaleOpened)
    assert told.part_count == len(parts) > 5
    cleared = whole(await story.told(SaleCleared))
    assert (cleared.outcome, len(cleared.awards)) == ("SOLD", MANY)
    (row,) = await rows(story.house, "SELECT count(*) AS awards, max(rank) AS last FROM award")
    assert (row.awards, row.last) == (MANY, MANY)
    await story.confirm()
    (row,) = await rows(story.house, "SELECT count(*) AS contracts FROM settlement")
    assert row.contracts == MANY
