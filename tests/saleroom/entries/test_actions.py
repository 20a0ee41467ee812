"""Who enters: registration, qualification, withdrawal, deposit, reconciliation, refunds."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

import pytest

from builders import a_uscc
from databases import rows
from marketkit.db import Database
from marketkit.errors import InputInvalid
from saleroom.bookings.rules import BankSerialUsed
from saleroom.entries import actions
from saleroom.entries.actions import RegistrationOut
from saleroom.entries.rules import (
    AlreadyReconciled,
    AlreadyRegistered,
    DepositAlreadyRecorded,
    DepositAmountWrong,
    DepositLate,
    QuantityNotOffered,
    ReconciliationTooEarly,
    RegistrationClosed,
    RegistrationStateNotAllowed,
    RegistrationUnknown,
)
from saleroom.notices.actions import SaleRef
from saleroom.notices.rules import SaleStateNotAllowed, SaleUnknown
from toy_market import (
    ANNOUNCED,
    CLOSES,
    DAY,
    DEPOSIT_DUE,
    OPENS,
    REGISTRATION_CLOSES,
    TICK,
    TOY,
    UNWELCOME,
    NotWelcome,
    Room,
    bidder,
    events_of,
    put_sale,
)

UNKNOWN = "01AAAAAAAAAAAAAAAAAAAAAAAA"
NOT_TAKEN_IN = (
    "DRAFT", "SUSPENDED", "OPENED", "CLEARED", "CONFIRMED", "SETTLED", "ARCHIVED", "FAILED",
    "CANCELLED",
)  # fmt: skip


@pytest.fixture
async def room(energy_house: Database) -> Room:
    room = Room(energy_house)
    await room.announce()
    return room


async def withdraw(room: Room, entered: RegistrationOut, number: int) -> RegistrationOut:
    return await room.house.run(
        lambda s: actions.withdraw_registration(
            s, TOY, room.sale_id, entered.registration_id, bidder(number)
        )
    )


async def reconcile(room: Room) -> SaleRef:
    return await room.house.run(lambda s: actions.reconcile_deposits(s, room.sale_id))


async def kinds(room: Room) -> list[str]:
    found = [event["type"].split(".")[3] for event in await events_of(room.house)]
    return found[found.index("announced") + 1 :]


async def test_a_registration_says_what_deposit_is_due(room: Room) -> None:
    entered = await room.register(1, "1000.000")
    assert entered.state == "REGISTERED"
    assert entered.deposit_state == "PENDING"
    assert entered.deposit_due_yuan == 4_000_000  # 200.00 × 1,000 × 20 %
    assert entered.uscc == a_uscc(1)
    event = (await events_of(room.house))[-1]
    assert event["type"] == "yaosu.energy.sale.registered.v1"
    assert event["data"] == {"registration_id": entered.registration_id}
    assert event["actor"] == room.house.source


async def test_registration_ends_at_its_very_instant(room: Room) -> None:
    room.at(REGISTRATION_CLOSES - TICK)
    await room.register(1)
    room.at(REGISTRATION_CLOSES)
    with pytest.raises(RegistrationClosed):
        await room.register(2)


@pytest.mark.parametrize(
    ("quantity", "refusal"),
    [("10000.001", QuantityNotOffered), ("0.500", QuantityNotOffered), ("1.0001", InputInvalid)],
)
async def test_a_quantity_that_is_not_offered_is_refused(
    room: Room, quantity: str, refusal: type[Exception]
) -> None:
    with pytest.raises(refusal):
        await room.register(1, quantity)


async def test_the_market_says_who_may_not_buy(room: Room) -> None:
    with pytest.raises(NotWelcome):
        await room.register(UNWELCOME)
    assert await kinds(room) == []


async def test_an_enterprise_enters_once_even_five_times_at_once(room: Room) -> None:
    outcomes = await asyncio.gather(*(room.register(1) for _ in range(5)), return_exceptions=True)
    assert sum(isinstance(outcome, RegistrationOut) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, AlreadyRegistered) for outcome in outcomes) == 4
    assert await kinds(room) == ["registered"]


async def test_twenty_enterprises_at_once_all_enter(room: Room) -> None:
    entered = await asyncio.gather(*(room.register(number) for number in range(20)))
    assert len({one.registration_id for one in entered}) == 20


@pytest.mark.parametrize("verdict", ["QUALIFIED", "REFUSED"])
async def test_a_participant_is_judged_once(room: Room, verdict: str) -> None:
    entered = await room.register(1)
    judged = await room.qualify(entered.registration_id, verdict)
    assert judged.state == verdict
    for again in ("QUALIFIED", "REFUSED"):
        with pytest.raises(RegistrationStateNotAllowed):
            await room.qualify(entered.registration_id, again)
    assert (await events_of(room.house))[-1]["data"]["verdict"] == verdict


async def test_a_deposit_in_time_is_confirmed(room: Room) -> None:
    entered = await room.enter(1)
    room.at(CLOSES + DAY)
    paid = await room.pay_deposit(entered, booked_at=DEPOSIT_DUE.isoformat())
    assert paid.deposit_state == "CONFIRMED"
    event = (await events_of(room.house))[-1]
    assert event["data"] == {"registration_id": entered.registration_id}


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({"amount_yuan": "39999.99"}, DepositAmountWrong),
        ({"amount_yuan": "40000.01"}, DepositAmountWrong),
        ({"booked_at": (DEPOSIT_DUE + TICK).isoformat()}, DepositLate),
    ],
    ids=str,
)
async def test_another_deposit_is_refused_and_stays_pending(
    room: Room, changes: dict[str, Any], refusal: type[Exception]
) -> None:
    entered = await room.enter(1)
    room.at(CLOSES)
    with pytest.raises(refusal):
        await room.pay_deposit(entered, **changes)
    (row,) = await rows(room.house, "SELECT state, amount_fen FROM deposit")
    assert tuple(row) == ("PENDING", 0)


async def test_a_deposit_noted_five_times_at_once_is_noted_once(room: Room) -> None:
    entered = await room.enter(1)
    room.at(OPENS)
    outcomes = await asyncio.gather(
        *(room.pay_deposit(entered) for _ in range(5)), return_exceptions=True
    )
    assert sum(isinstance(outcome, RegistrationOut) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, DepositAlreadyRecorded) for outcome in outcomes) == 4
    assert (await kinds(room)).count("deposit_confirmed") == 1


async def test_one_booking_of_the_bank_is_one_deposit(room: Room) -> None:
    entered = [await room.enter(number) for number in (1, 2)]
    room.at(OPENS)
    await room.pay_deposit(entered[0], bank_serial="20221017-1")
    with pytest.raises(BankSerialUsed):
        await room.pay_deposit(entered[1], bank_serial="20221017-1")


async def test_who_leaves_before_the_close_gets_the_deposit_back(room: Room) -> None:
    entered = await room.enter(1)
    room.at(OPENS)
    await room.pay_deposit(entered)
    left = await withdraw(room, entered, 1)
    assert (left.state, left.deposit_state) == ("WITHDRAWN", "REFUNDED")
    (row,) = await rows(room.house, "SELECT refund_due_at FROM deposit")
    assert row.refund_due_at == OPENS + 7 * DAY
    refunded = (await events_of(room.house))[-1]
    assert refunded["type"] == "yaosu.energy.sale.deposit_refunded.v1"
    assert refunded["data"]["amount_yuan"] is None
    assert refunded["actor"] == room.house.source
    with pytest.raises(RegistrationStateNotAllowed):
        await withdraw(room, entered, 1)


async def test_who_is_refused_gets_the_deposit_back(room: Room) -> None:
    entered = await room.register(1)
    room.at(OPENS)
    await room.pay_deposit(entered)
    refused = await room.qualify(entered.registration_id, "REFUSED")
    assert (refused.state, refused.deposit_state) == ("REFUSED", "REFUNDED")


async def test_nobody_leaves_from_the_close_on(room: Room) -> None:
    entered = await room.enter(1)
    other = await room.enter(2)
    room.at(CLOSES - TICK)
    await withdraw(room, other, 2)
    room.at(CLOSES)
    with pytest.raises(SaleStateNotAllowed):
        await withdraw(room, entered, 1)


async def test_the_registration_of_another_is_unknown(room: Room) -> None:
    entered = await room.register(1)
    with pytest.raises(RegistrationUnknown) as foreign:
        await withdraw(room, entered, 2)
    missing = entered.model_copy(update={"registration_id": UNKNOWN})
    with pytest.raises(RegistrationUnknown) as unknown:
        await withdraw(room, missing, 2)
    assert foreign.value.detail == unknown.value.detail
    room.sale_id = UNKNOWN
    with pytest.raises(SaleUnknown):
        await withdraw(room, entered, 1)


@pytest.mark.parametrize("state", NOT_TAKEN_IN)
async def test_no_step_of_an_entry_is_taken_in_another_state(room: Room, state: str) -> None:
    entered = await room.register(1)
    await put_sale(room.house, state)
    room.at(CLOSES)
    steps: list[Callable[[], Awaitable[object]]] = [
        lambda: withdraw(room, entered, 1),
        lambda: room.qualify(entered.registration_id),
        lambda: room.pay_deposit(entered),
        lambda: reconcile(room),
    ]
    before = await kinds(room)
    for step in steps:
        with pytest.raises(SaleStateNotAllowed):
            await step()
    assert await kinds(room) == before


async def test_nobody_is_judged_from_the_close_on(room: Room) -> None:
    entered = await room.register(1)
    room.at(CLOSES)
    with pytest.raises(SaleStateNotAllowed):
        await room.qualify(entered.registration_id)


@pytest.mark.parametrize("instant", [ANNOUNCED, CLOSES - TICK])
async def test_deposits_are_not_reconciled_before_the_close(room: Room, instant: datetime) -> None:
    room.at(instant)
    with pytest.raises(SaleStateNotAllowed):
        await reconcile(room)


async def test_deposits_are_reconciled_once_and_then_none_is_taken_in(room: Room) -> None:
    entered = await room.enter(1)
    room.at(CLOSES)
    await reconcile(room)
    with pytest.raises(AlreadyReconciled):
        await reconcile(room)
    with pytest.raises(AlreadyReconciled):
        await room.pay_deposit(entered)
    assert (await kinds(room))[-1] == "deposits_reconciled"


async def test_deposits_still_due_are_not_reconciled(room: Room) -> None:
    # After a suspension the due instant may lie past the close.
    await rows(room.house, "UPDATE sale SET deposit_due_at = :at", at=CLOSES + DAY)
    room.at(CLOSES + DAY - TICK)
    with pytest.raises(ReconciliationTooEarly):
        await reconcile(room)
    room.at(CLOSES + DAY)
    await reconcile(room)
