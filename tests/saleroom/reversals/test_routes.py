"""The door of reversals: two people, a document's number, and the money undecided again."""

import asyncio
from typing import Any

import httpx
import pytest

from contracts.escrow import DepositReversed, PaymentReversed
from databases import rows
from marketkit.db import Database
from saleroom.allocations.routes import routes as allocations
from saleroom.bookings.rules import BankLinesUnresolved
from saleroom.reversals.routes import routes
from stories import Story
from toy_market import CLOSES, TICK, Doors

FORM = {"document_no": "东公资〔2022〕7号", "reason": "记错单位（示例）"}


@pytest.fixture
async def story(energy_house: Database) -> Story:
    story = Story(energy_house)
    await story.announce()
    return story


@pytest.fixture
def doors(story: Story) -> Doors:
    return Doors.of(story.house, routes, allocations)


async def booking_of(story: Story, number: int, use: str) -> str:
    (row,) = await rows(
        story.house,
        "SELECT id FROM bank_booking WHERE registration_id = :id AND use = :use",
        id=story.contract(number),
        use=use,
    )
    return str(row.id)


async def ask(story: Story, doors: Doors, booking_id: str, sub: str = "first") -> httpx.Response:
    return await doors.send(
        "POST",
        f"/v1/sales/{story.sale_id}/reversals/requests",
        FORM | {"booking_id": booking_id},
        token=doors.token("trading_center", sub=sub),
    )


async def confirm(
    story: Story, doors: Doors, asked: httpx.Response, sub: str = "second"
) -> httpx.Response:
    assert asked.status_code == 201, asked.text
    return await doors.send(
        "POST",
        f"/v1/sales/{story.sale_id}/reversals/requests/{asked.json()['request_id']}/confirmations",
        token=doors.token("trading_center", sub=sub),
    )


async def test_a_deposit_booked_for_another_is_taken_back_and_booked_rightly(
    story: Story, doors: Doors
) -> None:
    await story.entrant(1)
    await story.entrant(2, pays=False)
    booking_id = await booking_of(story, 1, "DEPOSIT")
    asked = await ask(story, doors, booking_id)
    assert await story.deposits() == {1: "CONFIRMED", 2: "PENDING"}
    done = await confirm(story, doors, asked)
    assert (done.status_code, done.json()["use"]) == (200, "UNALLOCATED")
    assert await story.deposits() == {1: "PENDING", 2: "PENDING"}
    (told,) = await story.told(DepositReversed)
    assert told.model_dump() == {
        "registration_id": story.contract(1),
        "document_no": FORM["document_no"],
    }
    with pytest.raises(BankLinesUnresolved):
        await story.reconcile()
    booked = await doors.send(
        "POST",
        f"/v1/bank-bookings/{booking_id}/allocations",
        {"registration_id": story.contract(2)},
        token=doors.token("trading_center"),
    )
    assert booked.status_code == 200, booked.text
    assert await story.deposits() == {1: "PENDING", 2: "CONFIRMED"}
    await story.reconcile()


async def test_a_payment_is_taken_back_and_its_deposit_is_a_deposit_again(
    story: Story, doors: Doors
) -> None:
    await story.bidders(("226.50", "4000"))
    await story.open()
    await story.confirm()
    await story.sign(1)
    await story.pay(1)
    booking_id = await booking_of(story, 1, "PAYMENT")
    done = await confirm(story, doors, await ask(story, doors, booking_id))
    assert done.status_code == 200, done.text
    assert (await story.settlement(1)).state == "SIGNED"
    assert await story.deposits() == {1: "CONFIRMED"}
    (told,) = await story.told(PaymentReversed)
    assert told.amount_yuan == (await story.settlement(1)).due_yuan
    again = await doors.send(
        "POST",
        f"/v1/bank-bookings/{booking_id}/allocations",
        {"registration_id": story.contract(1)},
        token=doors.token("trading_center"),
    )
    assert again.json()["use"] == "PAYMENT"
    await story.deliver(1)
    late = await ask(story, doors, booking_id)
    assert (late.status_code, late.json()["code"]) == (409, "REVERSAL_NOT_ALLOWED")
    # Nor once the delivery is reversed: the price stays with the treasury.
    await story.reverse(1, (await story.ask_to_reverse(1)).request_id)
    assert (await story.settlement(1)).state == "PAID"
    late = await ask(story, doors, booking_id)
    assert (late.status_code, late.json()["code"]) == (409, "REVERSAL_NOT_ALLOWED")


async def test_what_is_recorded_anew_needs_to_be_asked_about_anew(
    story: Story, doors: Doors
) -> None:
    await story.entrant(1)
    booking_id = await booking_of(story, 1, "DEPOSIT")
    first, second = [await ask(story, doors, booking_id) for _ in range(2)]
    assert (await confirm(story, doors, first)).status_code == 200
    assert story.house.fixed_instant is not None
    story.at(story.house.fixed_instant + TICK)
    again = await doors.send(
        "POST",
        f"/v1/bank-bookings/{booking_id}/allocations",
        {"registration_id": story.contract(1)},
        token=doors.token("trading_center"),
    )
    assert again.status_code == 200, again.text
    stale = await confirm(story, doors, second)
    assert (stale.status_code, stale.json()["code"]) == (409, "REVERSAL_NOT_ALLOWED")
    assert await story.deposits() == {1: "CONFIRMED"}


async def test_one_person_is_not_two(story: Story, doors: Doors) -> None:
    await story.entrant(1)
    asked = await ask(story, doors, await booking_of(story, 1, "DEPOSIT"))
    alone = await confirm(story, doors, asked, sub="first")
    assert (alone.status_code, alone.json()["code"]) == (403, "SAME_PERSON")
    assert await story.deposits() == {1: "CONFIRMED"}


async def test_confirmed_five_times_at_once_it_is_taken_back_once(
    story: Story, doors: Doors
) -> None:
    await story.entrant(1)
    asked = await ask(story, doors, await booking_of(story, 1, "DEPOSIT"))
    answers = await asyncio.gather(*(confirm(story, doors, asked) for _ in range(5)))
    assert [answer.status_code for answer in answers].count(200) == 1
    assert {answer.json().get("code") for answer in answers} <= {
        "REVERSAL_NOT_ALLOWED", "ALREADY_CONFIRMED", "BUSY", "DEPOSIT_BOOKED",
    }  # fmt: skip
    assert len(await story.told(DepositReversed)) == 1


async def test_what_has_gone_on_since_it_was_asked_is_not_taken_back(
    story: Story, doors: Doors
) -> None:
    await story.entrant(1)
    asked = await ask(story, doors, await booking_of(story, 1, "DEPOSIT"))
    await story.reconcile()
    late = await confirm(story, doors, asked)
    assert (late.status_code, late.json()["code"]) == (409, "REVERSAL_NOT_ALLOWED")
    assert await story.deposits() == {1: "CONFIRMED"}
    assert story.house.fixed_instant == CLOSES


async def test_unknown_bookings_sales_and_requests(story: Story, doors: Doors) -> None:
    await story.entrant(1)
    unknown = await ask(story, doors, "x")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "BANK_BOOKING_UNKNOWN")
    token = doors.token("trading_center")
    form = FORM | {"booking_id": await booking_of(story, 1, "DEPOSIT")}
    elsewhere = await doors.send("POST", "/v1/sales/x/reversals/requests", form, token=token)
    assert (elsewhere.status_code, elsewhere.json()["code"]) == (404, "SALE_UNKNOWN")
    path = f"/v1/sales/{story.sale_id}/reversals/requests/x/confirmations"
    request = await doors.send("POST", path, token=token)
    assert (request.status_code, request.json()["code"]) == (404, "REQUEST_UNKNOWN")


@pytest.mark.parametrize(
    ("path", "body"),
    [("", FORM | {"booking_id": "x"}), ("/x/confirmations", None)],
)
async def test_only_the_trading_centre_takes_records_back(
    story: Story, doors: Doors, path: str, body: Any
) -> None:
    address = f"/v1/sales/{story.sale_id}/reversals/requests{path}"
    assert await doors.refusals("POST", address, "trading_center", body) == {
        "UNAUTHENTICATED", "ROLE_NOT_ALLOWED",
    }  # fmt: skip
