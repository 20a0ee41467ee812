"""Hot actions: many commands, one transaction, and each gets what it would have got alone."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import pytest
from pydantic import BaseModel
from sqlalchemy.exc import OperationalError

from databases import LAND, Migrated, Package
from marketkit.batch import Answer, Command, Hot, Verdict, execute
from marketkit.db import RETRIES, Database, Session, sql
from marketkit.errors import Busy, Conflict
from marketkit.meeting import Meeting


class Seat(BaseModel):
    number: int
    order: int


class SeatTaken(Conflict):
    title = "座位已有人"


@dataclass(frozen=True)
class Wish:
    number: int
    fault: str = ""


Prepared = tuple[Wish, int]


async def lock(session: Session, wishes: Sequence[Wish]) -> list[Prepared]:
    row = (await sql(session, "SELECT taken FROM hall FOR UPDATE")).one()
    return [(wish, row.taken + place) for place, wish in enumerate(wishes, start=1)]


async def act(session: Session, prepared: Sequence[Prepared]) -> list[Verdict]:
    verdicts: list[Verdict] = []
    for wish, order in prepared:
        if wish.fault == "refused":
            verdicts.append(SeatTaken())
            continue
        if wish.fault == "raised":
            raise SeatTaken()
        if wish.fault == "bug":
            raise LookupError
        if wish.fault == "deadlock":
            await sql(session, "DO $$ BEGIN RAISE deadlock_detected; END $$")
        await sql(session, "INSERT INTO seat VALUES (:n, :o)", n=wish.number, o=order)
        verdicts.append(Seat(number=wish.number, order=order))
    await sql(session, "UPDATE hall SET taken = (SELECT coalesce(max(o), 0) FROM seat)")
    return verdicts


HOT = Hot(lock, act)


def wish(number: int, fault: str = "", key: str = "") -> Command[Wish]:
    return Command("p", key or f"k{number}{fault}", b"f", Wish(number, fault), 201)


HALL = """
CREATE TABLE hall (taken int);
INSERT INTO hall VALUES (0);
CREATE TABLE seat (n int PRIMARY KEY, o int UNIQUE);
GRANT ALL ON hall, seat TO yaosu_market;
"""


@pytest.fixture
def hall(kit_house: Database, migrated: Callable[[Package], Migrated]) -> Iterator[Database]:
    with migrated(LAND).superuser() as connection:
        connection.execute(HALL)
        yield kit_house
        connection.execute("DROP TABLE seat, hall")


async def sat(house: Database) -> list[int]:
    async with house.transaction("market") as session:
        rows = (await sql(session, "SELECT n FROM seat ORDER BY o")).all()
    return [row.n for row in rows]


async def together(house: Database, commands: Sequence[Command[Wish]]) -> list[Answer]:
    return await house.run(lambda session: execute(session, commands, HOT))


@pytest.mark.parametrize(
    ("fault", "status"),
    [("refused", 409), ("raised", 409), ("deadlock", 503), ("twice", 500), ("bug", 500)],
)
async def test_one_bad_command_in_a_list_of_200_harms_nobody_else(
    hall: Database, fault: str, status: int
) -> None:
    commands = [wish(number) for number in range(200)]
    commands[77] = wish(3, "again") if fault == "twice" else wish(77, fault)
    answers = await together(hall, commands)
    assert [answer.status for answer in answers] == [201] * 77 + [status] + [201] * 122
    assert await sat(hall) == [number for number in range(200) if number != 77]


async def test_one_twin_in_flight_in_a_list_refuses_that_one_alone(
    hall: Database, migrated: Callable[[Package], Migrated]
) -> None:
    with migrated(LAND).superuser() as elsewhere, elsewhere.transaction():
        elsewhere.execute("SELECT pg_advisory_xact_lock(hashtextextended('p\x1fk6', 7370500))")
        answers = await together(hall, [wish(number) for number in range(1, 10)])
    assert [answer.status for answer in answers] == [201] * 5 + [409] + [201] * 3


async def test_order_of_arrival_is_kept_through_meetings(hall: Database) -> None:
    meeting = Meeting(hall, HOT)
    numbers = [(number * 37) % 101 for number in range(101)]
    answers = await asyncio.gather(*(meeting.join("hall", wish(number)) for number in numbers))
    assert {answer.status for answer in answers} == {201}
    assert await sat(hall) == numbers


async def test_a_caller_that_hangs_up_neither_loses_nor_blocks_anything(hall: Database) -> None:
    meeting = Meeting(hall, HOT)
    callers = [asyncio.create_task(meeting.join("hall", wish(number))) for number in range(40)]
    await asyncio.sleep(0)
    for caller in callers[::2]:
        caller.cancel()
    await asyncio.gather(*callers, return_exceptions=True)
    assert (await meeting.join("hall", wish(99))).status == 201
    assert await sat(hall) == [*range(40), 99]


async def test_too_many_waiting_is_answered_at_once(
    hall: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("marketkit.meeting.WAITING_MAX", 5)
    meeting = Meeting(hall, HOT)
    outcomes = await asyncio.gather(
        *(meeting.join("hall", wish(number)) for number in range(8)), return_exceptions=True
    )
    assert [isinstance(outcome, Busy) for outcome in outcomes] == [False] * 5 + [True] * 3
    assert (await meeting.join("hall", wish(9))).status == 201


async def test_a_list_weighs_as_much_as_its_rows(hall: Database) -> None:
    turns: list[int] = []

    async def counted(session: Session, prepared: Sequence[Prepared]) -> list[Verdict]:
        turns.append(len(prepared))
        return await act(session, prepared)

    meeting = Meeting(hall, Hot(lock, counted))
    weights = [100, 100, 57, 256, 1, 255, 1]
    commands = [replace(wish(n), weight=weight) for n, weight in enumerate(weights)]
    answers = await asyncio.gather(*(meeting.join("hall", one) for one in commands))
    assert {answer.status for answer in answers} == {201}
    assert turns == [2, 1, 1, 2, 1]
    assert await sat(hall) == [*range(len(weights))]


async def test_lists_too_long_to_wait_for_are_answered_at_once(
    hall: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("marketkit.meeting.WAITING_MAX", 300)
    meeting = Meeting(hall, HOT)
    commands = [replace(wish(n), weight=weight) for n, weight in enumerate((200, 101, 100, 1))]
    outcomes = await asyncio.gather(
        *(meeting.join("hall", one) for one in commands), return_exceptions=True
    )
    assert [isinstance(outcome, Busy) for outcome in outcomes] == [False, True, False, True]
    assert (await meeting.join("hall", replace(wish(9), weight=256))).status == 201


def breaking(times: int, migrated: Callable[[Package], Migrated]) -> Hot[Wish, Prepared]:
    """The hot action on a link that breaks so many times when all is written."""

    async def broken(session: Session, prepared: Sequence[Prepared]) -> list[Verdict]:
        nonlocal times
        verdicts = await act(session, prepared)
        if times:
            times -= 1
            pid = (await sql(session, "SELECT pg_backend_pid()")).scalar_one()
            with migrated(LAND).superuser() as elsewhere:
                elsewhere.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
        return verdicts

    return Hot(lock, broken)


async def test_a_lost_connection_starts_anew(
    hall: Database, migrated: Callable[[Package], Migrated]
) -> None:
    meeting = Meeting(hall, breaking(RETRIES, migrated))
    sent = [meeting.join("hall", wish(number)) for number in range(5)]
    assert {answer.status for answer in await asyncio.gather(*sent)} == {201}
    assert await sat(hall) == [0, 1, 2, 3, 4]


async def test_a_link_that_stays_broken_is_everyone_s_fault_and_nobody_s_effect(
    hall: Database, migrated: Callable[[Package], Migrated]
) -> None:
    meeting = Meeting(hall, breaking(RETRIES + 1, migrated))
    commands = [wish(number) for number in range(5)]
    ended = await asyncio.gather(
        *(meeting.join("hall", one) for one in commands), return_exceptions=True
    )
    assert {type(one) for one in ended} == {OperationalError}
    # Nothing was done, so the same keys do it now.
    answers = await asyncio.gather(*(meeting.join("hall", one) for one in commands))
    assert {answer.status for answer in answers} == {201}
    assert await sat(hall) == [0, 1, 2, 3, 4]
