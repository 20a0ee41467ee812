"""Pledges by the list: each gets what it would have got alone, in the order of arrival."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import httpx
import pytest

from builders import a_booking, a_caller, a_project_code, a_uscc
from databases import ENERGY, Migrated, Package, rows
from energy_office import (
    BANK,
    Office,
    a_bank,
    a_batch,
    a_pledge,
    a_pledgor,
    a_release,
    an_assignment,
    enterprise,
)
from energy_trade.pledges.actions import PLEDGE, Asked, PledgeIn, lock_accounts
from marketkit.batch import Answer, Command, execute
from marketkit.db import Database, Session
from marketkit.ledger import PledgedQuantity, book
from marketkit.movements import Leg

HOLDER = a_caller("enterprise", region_code="", uscc=a_uscc())
FREE, PLEDGED = "INSUFFICIENT_FREE_QUANTITY", "PLEDGED_QUANTITY"


@pytest.fixture
async def held(office: Office) -> Office:
    """An enterprise that holds 5,000 tce."""
    await office.fill_pool()
    await office.done("increment-batches", a_batch(an_assignment(quantity_tce="5000")))
    return office


def asked(quantity: str, number: int = 1, **changes: Any) -> Asked:
    form = a_pledge(quantity, document_no=f"合同{number}", **changes)
    return Asked(
        HOLDER, PledgeIn.model_validate_json(httpx.Request("POST", "http://t", json=form).content)
    )


def commands(*pledges: Asked) -> list[Command[Asked]]:
    return [
        Command("p", f"k{place}{one.form.document_no}{one.form.quantity}", b"f", one, 201)
        for place, one in enumerate(pledges)
    ]


async def together(house: Database, *pledges: Asked) -> list[Answer]:
    return await house.run(lambda session: execute(session, commands(*pledges), PLEDGE))


def codes(answers: Sequence[Answer]) -> list[str]:
    """The code of each refusal, nothing for what was done."""
    documents = (httpx.Response(200, content=answer.body).json() for answer in answers)
    return [document.get("code", "") for document in documents]


async def pledged(office: Office) -> list[tuple[str, int]]:
    """What stands pledged, in the order of registration."""
    found = await rows(
        office.house, "SELECT document_no, remaining_minor FROM pledge ORDER BY registered_at"
    )
    return [(row.document_no, row.remaining_minor) for row in found]


@pytest.mark.article("art. 19")
async def test_of_5000_with_3000_pledged_2500_are_refused(held: Office) -> None:
    answers = await together(held.house, asked("3000", 1), asked("2500", 2), asked("2000", 3))
    assert codes(answers) == ["", PLEDGED, ""]
    assert b'"article":"art. 19"' in answers[1].body
    assert await held.holding(enterprise()) == "0.000"
    assert codes(await together(held.house, asked("0.001", 4))) == [PLEDGED]
    # What is not there at all is no matter of pledges.
    assert codes(await together(held.house, asked("5000.001", 5))) == [FREE]
    await held.assert_conserved()


@pytest.mark.article("art. 19")
async def test_what_is_pledged_can_be_posted_nowhere(held: Office) -> None:
    await together(held.house, asked("3000"))
    (balance,) = await rows(
        held.house, "SELECT lot FROM balance WHERE account = :account", account=enterprise()
    )

    def moved(kgce: int) -> list[Leg]:
        gone = Leg(enterprise(), "ENERGY", balance.lot, -kgce, 0)
        return [gone, Leg("province:370000", "ENERGY", balance.lot, kgce, 0)]

    await held.issue()
    with pytest.raises(PledgedQuantity):
        await held.house.run(lambda s: book(s, a_booking(), moved(2_000_001)))
    await held.house.run(lambda s: book(s, a_booking(), moved(2_000_000)))
    await held.assert_conserved()


@pytest.mark.article("art. 19")
async def test_a_pledge_binds_lots_of_any_restrictions(office: Office) -> None:
    await office.fill_pool("600")
    await office.fill_pool("600")
    await office.done("increment-batches", a_batch(an_assignment(quantity_tce="1000")))
    assert codes(await together(office.house, asked("1000"))) == [""]
    found = await rows(office.house, "SELECT creditor, remaining FROM hold ORDER BY remaining")
    assert [(row.creditor, row.remaining) for row in found] == [(BANK, 400_000), (BANK, 600_000)]
    await office.assert_conserved()


@pytest.mark.article("art. 19")
async def test_a_contract_twice_in_a_list_is_judged_by_the_first(held: Office) -> None:
    answers = await together(
        held.house,
        asked("9000", 1),
        asked("1000", 1),
        asked("1000", 1, effective_on="2022-05-21"),
        asked("500", 2),
    )
    assert codes(answers) == [FREE, "", "PLEDGE_ALREADY_REGISTERED", ""]
    assert await pledged(held) == [("合同1", 1_000_000), ("合同2", 500_000)]


async def test_order_of_arrival_decides_who_gets_and_when(held: Office) -> None:
    # 3,000 and 1,500 fit, 1,000 comes third and does not, 500 still does.
    wanted = [asked(q, n) for n, q in enumerate(("3000", "1500", "1000", "500"))]
    assert codes(await together(held.house, *wanted)) == ["", "", PLEDGED, ""]
    assert [name for name, _ in await pledged(held)] == ["合同0", "合同1", "合同3"]
    assert (await held.kinds())[-3:] == ["pledge.registered"] * 3


async def test_each_command_is_judged_by_its_own_caller(held: Office) -> None:
    other = a_caller("enterprise", region_code="", uscc=a_uscc(1))
    form = PledgeIn.model_validate(asked("10").form)
    stranger = Asked(other, form)
    nobody = Asked(a_caller("enterprise", region_code="", uscc=""), form)
    answers = await together(held.house, stranger, asked("10"), nobody)
    assert codes(answers) == ["ACCOUNT_UNKNOWN", "", "ACCOUNT_UNKNOWN"]


FAULTY = """
CREATE FUNCTION faulty() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF NEW.document_no = 'deadlock' THEN RAISE deadlock_detected; END IF;
    IF NEW.document_no = 'constraint' THEN NEW.remaining_minor = -1; END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER faulty BEFORE INSERT ON pledge FOR EACH ROW EXECUTE FUNCTION faulty();
"""


@pytest.fixture
def faulty(held: Office, migrated: Callable[[Package], Migrated]) -> Iterator[Office]:
    """A database in which some contracts break."""
    with migrated(ENERGY).superuser() as connection:
        connection.execute(FAULTY.encode())
        yield held
        connection.execute("DROP FUNCTION faulty CASCADE")


@pytest.mark.parametrize(("fault", "status"), [("deadlock", 503), ("constraint", 500)])
async def test_one_that_breaks_in_a_list_of_200_harms_nobody_else(
    faulty: Office, fault: str, status: int
) -> None:
    wanted = [asked("25", number) for number in range(200)]
    wanted[77] = Asked(HOLDER, wanted[77].form.model_copy(update={"document_no": fault}))
    answers = await together(faulty.house, *wanted)
    assert [answer.status for answer in answers] == [201] * 77 + [status] + [201] * 122
    # Nobody's place was lost by it, nor anybody's quantity.
    left = [name for name, _ in await pledged(faulty)]
    assert left == [f"合同{number}" for number in range(200) if number != 77]
    assert await faulty.holding(enterprise()) == "25.000"
    await faulty.assert_conserved()


async def test_a_twin_in_flight_in_a_list_of_200_is_refused_alone(
    held: Office, migrated: Callable[[Package], Migrated]
) -> None:
    wanted = [asked("25", number) for number in range(200)]
    key = commands(*wanted)[77].key
    with migrated(ENERGY).superuser() as elsewhere, elsewhere.transaction():
        elsewhere.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended(%s, 7370500))", [f"p\x1f{key}"]
        )
        answers = await together(held.house, *wanted)
    assert [answer.status for answer in answers] == [201] * 77 + [409] + [201] * 122
    assert codes(answers)[77] == "IDEMPOTENCY_KEY_IN_FLIGHT"
    await held.assert_conserved()


@pytest.mark.parametrize(("takers", "tce"), [(16, "700"), (100, "300")])
async def test_parallel_pledges_of_one_lot_never_exceed_it(
    held: Office, takers: int, tce: str
) -> None:
    sent = [
        held.send("pledges", a_pledge(tce, document_no=f"合同{n}"), a_pledgor())
        for n in range(takers)
    ]
    statuses = [answer.status_code for answer in await asyncio.gather(*sent)]
    granted = 5000 // int(tce)
    assert sorted(statuses) == [201] * granted + [409] * (takers - granted)
    assert len(await pledged(held)) == granted
    await held.assert_conserved()


@pytest.mark.article("art. 19")
async def test_released_in_parts_it_is_free_again(held: Office) -> None:
    pledge = await held.done("pledges", a_pledge("3000"), a_pledgor())
    path = f"pledges/{pledge['pledge_id']}/releases"
    part = await held.done(path, a_release("1000"), a_bank())
    assert (part["remaining"], await held.holding(enterprise())) == ("2000.000", "3000.000")
    assert await held.refused(path, a_release("2000.001"), a_bank()) == (
        409,
        "RELEASE_EXCEEDS_PLEDGE",
    )
    await held.done(path, a_release("2000"), a_bank())
    assert await held.holding(enterprise()) == "5000.000"
    assert await held.refused(path, a_release("0.001"), a_bank()) == (409, "RELEASE_EXCEEDS_PLEDGE")
    assert (await held.kinds())[-3:] == ["pledge.registered", "pledge.released", "pledge.released"]
    await held.assert_conserved()


@pytest.mark.article("art. 19")
async def test_five_releases_at_once_let_go_no_more_than_stands(held: Office) -> None:
    pledge = await held.done("pledges", a_pledge("3000"), a_pledgor())
    path = f"pledges/{pledge['pledge_id']}/releases"
    sent = [held.send(path, a_release("1000"), a_bank()) for _ in range(5)]
    statuses = [answer.status_code for answer in await asyncio.gather(*sent)]
    assert sorted(statuses) == [201] * 3 + [409] * 2
    assert await held.holding(enterprise()) == "5000.000"
    await held.assert_conserved()


async def test_the_accounts_are_locked_before_the_instant_is_read(held: Office) -> None:
    async def prepared(session: Session) -> list[Any]:
        found = await lock_accounts(session, [asked("1", 1), asked("1", 2)])
        return [(one.account.id if one.account else None, one.at) for one in found]

    (first, second) = await held.house.run(prepared)
    assert first[0] == second[0] == enterprise()
    assert (second[1] - first[1]).microseconds == 1


async def test_the_movements_told_are_the_balances(held: Office) -> None:
    pledge = await held.done("pledges", a_pledge("3000"), a_pledgor())
    await held.done(f"pledges/{pledge['pledge_id']}/releases", a_release("1000"), a_bank())
    registered, released = (await held.events())[-2:]
    assert registered["subject"] == released["subject"] == pledge["pledge_id"]
    assert [one["held"] for one in registered["data"]["movements"]] == ["3000.000"]
    assert [one["held"] for one in released["data"]["movements"]] == ["-1000.000"]
    assert {one["posted"] for one in registered["data"]["movements"]} == {"0.000"}
    assert registered["data"]["account"] == f"enterprise:{a_uscc()}:{a_project_code()}"
