"""Files applied batch by batch: a crash in the middle, and ten thousand lines with one bad."""

import time
from functools import partial

import pytest
from sqlalchemy import insert

from bank_files import a_csv, a_row
from contracts.sale import DepositConfirmed
from databases import rows
from marketkit.db import Database
from marketkit.signing import sm3
from saleroom.entries.tables import Deposit
from saleroom.sheets import cells_of
from saleroom.statements.actions import (
    LINES_MAX,
    Numbered,
    Verdicts,
    apply_lines,
    keep_file,
    verdicts_of,
)
from saleroom.statements.rules import columns_of, line_of
from stories import Story
from toy_market import OPENS


@pytest.fixture
async def room(energy_house: Database) -> Story:
    room = Story(energy_house)
    await room.announce()
    return room


def numbered(body: bytes) -> list[Numbered]:
    header, *lines = cells_of(body)
    columns = columns_of(header)
    return [Numbered(row, line_of(line, columns)) for row, line in enumerate(lines, 2)]


async def keep(room: Story, body: bytes) -> tuple[str, list[Numbered]]:
    digest, lines = sm3(body).hex(), numbered(body)
    await room.house.run(lambda s: keep_file(s, digest, body, len(lines)), actor="officer")
    return digest, lines


async def apply(room: Story, digest: str, lines: list[Numbered]) -> None:
    for first in range(0, len(lines), LINES_MAX):
        work = partial(apply_lines, sm3=digest, numbered=lines[first : first + LINES_MAX])
        await room.house.run(work, actor="officer")


async def verdicts(room: Story, digest: str) -> Verdicts:
    return await room.house.run(lambda s: verdicts_of(s, digest), "worker")


async def test_what_a_crash_left_undone_the_same_file_finishes(room: Story) -> None:
    entered = [await room.register(number) for number in range(1, 7)]
    room.at(OPENS)
    digest, lines = await keep(room, a_csv(*(a_row(one) for one in entered)))
    await room.house.run(lambda s: apply_lines(s, digest, lines[:2]), actor="officer")
    part = await verdicts(room, digest)
    assert (part.is_applied, len(part.items)) == (False, 2)
    await apply(room, digest, lines)
    whole = await verdicts(room, digest)
    assert whole.is_applied
    assert [one.code for one in whole.items] == ["DEPOSIT_BOOKED"] * 6
    assert len(await room.told(DepositConfirmed)) == 6
    found = await rows(room.house, "SELECT DISTINCT recorded_by, file_sm3 FROM bank_booking")
    assert [(row.recorded_by, row.file_sm3) for row in found] == [("officer", digest)]


@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_ten_thousand_lines_with_one_bad(room: Story) -> None:
    await room.enter_many(range(300))
    entrants = await rows(room.house, "SELECT id, uscc, name, sub_account FROM registration")
    waiting = [
        {"registration_id": row.id, "uscc": row.uscc, "state": "PENDING"} for row in entrants
    ]
    await room.house.run(lambda s: s.exec(insert(Deposit), params=waiting))
    room.at(OPENS)
    good = [
        a_row(流水号=f"D{row.id}", 金额="40.00", 对方户名=row.name, 子账号=row.sub_account)
        for row in entrants
    ]
    strays = [a_row(流水号=f"S{number}") for number in range(9_699)]
    bad = a_row(流水号="B", 金额="一百元")
    file = a_csv(*good, bad, *strays)
    began = time.perf_counter()
    digest, lines = await keep(room, file)
    await apply(room, digest, lines)
    spent_s = time.perf_counter() - began
    found = await verdicts(room, digest)
    codes = [one.code for one in found.items]
    assert codes == ["DEPOSIT_BOOKED"] * 300 + ["LINE_MALFORMED"] + ["SUB_ACCOUNT_UNKNOWN"] * 9_699
    assert (found.items[300].row, found.items[300].cell) == (302, "D302")
    assert len(await room.told(DepositConfirmed)) == 300
    (kept,) = await rows(room.house, "SELECT count(*) AS n FROM bank_booking")
    assert kept.n == 9_999
    await apply(room, digest, lines)
    assert await verdicts(room, digest) == found
    print(f"10,000 lines applied in {spent_s:.1f} s")
