"""Whatever is closed, and when: the standing check says what adding everything up again says."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.exc import DBAPIError

from builders import a_booking, a_lot, an_account, an_issue
from databases import LAND, Migrated, Package, rows
from machines import bench, how_much
from marketkit.closings import (
    Books,
    Reach,
    Rechecked,
    close,
    is_final,
    reach,
    recheck,
    standing_imbalance,
)
from marketkit.db import Database, Session
from marketkit.holds import hold, void_part
from marketkit.ledger import Imbalance, book, imbalance, open_account
from marketkit.movements import Leg

Databases = Callable[[Package], Migrated]
ALL = 1 << 62
UPTOS = "SELECT DISTINCT upto FROM closed_total ORDER BY upto"


async def closed(house: Database, count: int, final_id: int = ALL) -> bool:
    return await house.run(lambda s: close(s, final_id, count), "worker")


async def standing(house: Database) -> dict[str, int]:
    return (await house.run(standing_imbalance, "worker")).by_asset


async def rechecked(house: Database, after: int = 0) -> Rechecked | None:
    return await house.run(lambda s: recheck(s, after), "worker")


async def moved(house: Database, times: int) -> None:
    """As many transfers, of two movements each, from the city to the bank."""

    async def work(session: Session) -> None:
        for _ in range(times):
            legs = [Leg("city", "ENERGY", "lot-1", -1, 0), Leg("bank", "ENERGY", "lot-1", 1, 0)]
            await book(session, a_booking(), legs)

    await house.run(work)


@pytest.fixture
async def kept(kit_house: Database, migrated: Databases) -> Database:
    """A ledger of 16 movements, the first 12 closed by four at a time; something is held."""
    tamper(migrated, "ALTER TABLE movement ALTER id RESTART")

    async def work(session: Session) -> None:
        await open_account(session, an_account("bank"))
        await an_issue(session, 100, lot=a_lot("lot-1"))
        await an_issue(session, 100, lot=a_lot("lot-2"))
        await hold(session, a_booking("HOLD", "sale-1"), "city", "ENERGY", 10)
        await void_part(session, a_booking("VOID", "sale-1"), 4)

    await kit_house.run(work)
    await moved(kit_house, 5)
    for _ in range(3):
        assert await closed(kit_house, 4)
    return kit_house


places = st.tuples(st.sampled_from("abc"), st.sampled_from(["lot-1", "lot-2", "unknown"]))
amounts = st.integers(-9, 9)
legs = st.tuples(places, amounts, amounts)
balances = st.dictionaries(places, st.tuples(amounts, amounts), max_size=4)
holds = st.lists(st.tuples(places, st.integers(0, 9)), max_size=3)
# A number closes as many movements; a list brings more of them.
histories = st.lists(st.one_of(st.integers(1, 5), st.lists(legs, min_size=1, max_size=6)))
FILL = (
    "INSERT INTO movement (transfer_id, account, asset, lot, posted, held) "
    "VALUES ('t', %s, 'ENERGY', %s, %s, %s)",
    "INSERT INTO balance VALUES (%s, %s, %s, %s, true)",
    "INSERT INTO hold VALUES (gen_random_uuid(), 'p', 'k', %s, 'ENERGY', %s, 9, %s, NULL)",
)
Place = tuple[str, str]
Moved = tuple[Place, int, int]
Stated = dict[Place, tuple[int, int]]
Held = tuple[Place, int]


def test_with_whatever_is_closed_the_check_finds_what_the_whole_one_finds(
    migrated: Databases,
) -> None:
    """Also in a ledger that is wrong: in movements, balances and holds of no one's making."""
    with bench(migrated(LAND)) as at, migrated(LAND).superuser() as connection:
        connection.execute("SET session_replication_role = replica")

        @how_much(examples=25, steps=1)
        @given(histories, balances, holds)
        def is_so(history: list[int | list[Moved]], stated: Stated, held: list[Held]) -> None:
            at.clear()
            at.run(at.house.run(two_lots))
            connection.cursor().executemany(FILL[1], [(*p, *sums) for p, sums in stated.items()])
            connection.cursor().executemany(FILL[2], [(*place, n) for place, n in held])
            for step in history:
                if isinstance(step, int):
                    at.run(closed(at.house, step))
                else:
                    connection.cursor().executemany(FILL[0], [(*p, *sums) for p, *sums in step])
                    whole = at.run(at.house.run(imbalance, "worker"))
                    assert at.run(at.house.run(standing_imbalance, "worker")) == whole
            at.run(all_closed_are_right(at.house))

        is_so()


async def two_lots(session: Session) -> None:
    session.add_all([a_lot("lot-1"), a_lot("lot-2", asset="COAL")])


async def all_closed_are_right(house: Database) -> None:
    after = 0
    while found := await rechecked(house, after):
        assert found.upto > after
        assert not any(found.by_asset.values())
        after = found.upto


async def test_a_closing_covers_as_many_movements_as_it_says_and_no_fewer(kept: Database) -> None:
    assert [row.upto for row in await rows(kept, UPTOS, "worker")] == [4, 8, 12]
    assert not await closed(kept, 5)
    assert not await closed(kept, 4, final_id=15)
    assert await closed(kept, 4, final_id=16)
    found = await rows(kept, "SELECT posted, held FROM closed_total WHERE upto = 16", "worker")
    assert sorted(tuple(row) for row in found) == [(5, 0), (95, 6)]
    assert await standing(kept) == {"ENERGY": 0}


OPEN = [
    "UPDATE balance SET posted = posted + 1 WHERE account = 'city'",
    "UPDATE balance SET held = held - 1 WHERE held > 0",
    "DELETE FROM balance WHERE account = 'bank'",
    "DELETE FROM balance WHERE lot = 'lot-2'",
    "UPDATE hold SET remaining = remaining - 1",
    "DELETE FROM hold",
    "UPDATE movement SET posted = posted + 1 WHERE id = 13",
    "DELETE FROM movement WHERE id = 16",
    "UPDATE movement SET posted = posted + 1 WHERE id = 13; "
    "UPDATE balance SET posted = posted + 1 WHERE account = 'city' AND lot = 'lot-1'",
]
TOTALS = [
    "UPDATE closed_total SET posted = posted + 1 WHERE upto = 12 AND account = 'city'",
    "UPDATE closed_total SET held = held + 1 WHERE upto = 12 AND account = 'bank'",
    "DELETE FROM closed_total WHERE upto = 12 AND account = 'bank'",
    "DELETE FROM closed_total WHERE lot = 'lot-2'",
    "UPDATE closed_total SET upto = 14 WHERE upto = 12",
    "INSERT INTO closed_total VALUES ('nobody', 'lot-1', 2, 5, 0)",
    "INSERT INTO closed_total VALUES ('city', 'lot-1', 14, 99, 0)",
]
CLOSED = [
    "UPDATE movement SET posted = posted + 1 WHERE id = 2",
    "UPDATE movement SET held = held + 1 WHERE id = 9",
    "DELETE FROM movement WHERE id = 12",
    "UPDATE closed_total SET posted = posted + 1 "
    "WHERE upto = 4 AND account = 'city' AND lot = 'lot-1'",
]


def tamper(migrated: Databases, statement: str) -> None:
    with migrated(LAND).superuser() as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute(statement.encode())


@pytest.mark.parametrize("tampering", OPEN + TOTALS)
async def test_what_is_open_or_a_total_and_changed_by_hand_shows_at_once(
    kept: Database, migrated: Databases, tampering: str
) -> None:
    assert await standing(kept) == {"ENERGY": 0}
    tamper(migrated, tampering)
    assert (await standing(kept))["ENERGY"] > 0


@pytest.mark.parametrize("tampering", CLOSED)
async def test_what_is_closed_and_changed_by_hand_shows_in_its_turn_and_stays(
    kept: Database, migrated: Databases, tampering: str
) -> None:
    books = Books(kept)
    tamper(migrated, tampering)
    assert await standing(kept) == {"ENERGY": 0}
    seen = [(await books.check()).by_asset["ENERGY"] for _ in range(6)]
    first = next(place for place, amount in enumerate(seen) if amount)
    assert first < 3
    assert all(seen[first:])


async def test_the_closings_are_compared_in_turn_for_ever(kept: Database) -> None:
    books = Books(kept)
    turns = []
    for _ in range(9):
        assert await books.check() == Imbalance({"ENERGY": 0}, 5)
        turns.append(books.rechecked_upto)
    assert turns == [4, 8, 12, 0, 4, 8, 12, 0, 4]


async def test_a_movement_that_commits_late_is_never_behind_a_closing(kept: Database) -> None:
    books = Books(kept)
    legs = [Leg("city", "ENERGY", "lot-2", -1, 0), Leg("city", "ENERGY", "lot-2", 1, 0)]
    async with kept.transaction("market") as late:
        await book(late, a_booking(), legs)
        await moved(kept, 3)
        for _ in range(3):
            then = await kept.run(reach, "worker")
            assert (then.last_id, len(then.writers)) == (24, 1)
            await books.close()
            assert books.reached == then
            assert not is_final(then, then)
    now = await kept.run(reach, "worker")
    assert is_final(then, now)
    assert await closed(kept, 12, then.last_id)
    assert await standing(kept) == {"ENERGY": 0}


def test_on_another_server_nothing_is_final() -> None:
    then = Reach(5, frozenset(), datetime(2022, 6, 1, tzinfo=UTC))
    assert is_final(then, then)
    assert not is_final(then, then._replace(server_since=then.server_since + timedelta(hours=1)))


async def test_of_several_who_close_at_once_one_does_each(kept: Database) -> None:
    await moved(kept, 20)
    while True:
        done = await asyncio.gather(*(closed(kept, 4) for _ in range(5)))
        found = [row.upto for row in await rows(kept, UPTOS, "worker")]
        assert found == list(range(4, len(found) * 4 + 1, 4))
        if not any(done):
            break
    assert found[-1] == 56
    assert await standing(kept) == {"ENERGY": 0}


async def test_totals_are_kept_as_movements_are(kept: Database, migrated: Databases) -> None:
    for role in ("market", "scoped"):
        with pytest.raises(DBAPIError, match="permission denied"):
            await rows(kept, "SELECT * FROM closed_total", role)
    for change in ("UPDATE closed_total SET posted = 0", "DELETE FROM closed_total"):
        with pytest.raises(DBAPIError, match="permission denied"):
            await rows(kept, change, "worker")
        with (
            psycopg.connect(migrated(LAND).owner_url.replace("+psycopg", "")) as owner,
            pytest.raises(psycopg.errors.RaiseException, match="append-only"),
        ):
            owner.execute(change.encode())
