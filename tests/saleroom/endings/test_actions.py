"""A sale ends without a deal: cancelled by two people, or not opened in time."""

import asyncio

import pytest

from builders import a_caller
from databases import rows
from marketkit.countersign import AlreadyConfirmed, RequestOut, RequestUnknown, SamePerson
from marketkit.db import Database
from marketkit.identity import Caller
from saleroom.endings import actions
from saleroom.entries.rules import RegistrationClosed
from saleroom.notices import actions as notices
from saleroom.notices.actions import ReasonIn, SaleRef
from saleroom.notices.rules import SaleStateNotAllowed
from toy_market import CLOSES, DAY, OPENS, OPENS_BY, STORE, TICK, TOY, Room, events_of, put_sale

FIRST, SECOND = (a_caller("trading_center", sub=sub) for sub in ("first", "second"))
REASON = ReasonIn(reason="标的调整")


@pytest.fixture
async def room(energy_house: Database) -> Room:
    """An open sale; 1 has paid a deposit, 2 has not."""
    room = Room(energy_house)
    await room.announce()
    paid = await room.enter(1)
    await room.enter(2)
    room.at(OPENS)
    await room.pay_deposit(paid)
    return room


async def ask(room: Room) -> RequestOut:
    return await room.house.run(lambda s: actions.ask_to_cancel(s, room.sale_id, FIRST, REASON))


async def confirm(room: Room, request_id: str, caller: Caller = SECOND) -> SaleRef:
    return await room.house.run(
        lambda s: actions.cancel_sale(s, TOY, room.sale_id, request_id, caller)
    )


async def check_all_is_given_back(room: Room, last: str) -> None:
    (balance,) = await rows(
        room.house, "SELECT posted, held FROM balance WHERE account = :account", account=STORE
    )
    assert tuple(balance) == (20_000_000, 0)
    deposits = await rows(room.house, "SELECT state, refund_due_at FROM deposit ORDER BY state")
    assert [row.state for row in deposits] == ["PENDING", "REFUNDED"]
    assert deposits[1].refund_due_at == room.house.fixed_instant + 7 * DAY  # type: ignore[operator]  # the room's clock is fixed
    refunded, ended = (await events_of(room.house))[-2:]
    assert refunded["type"] == "yaosu.energy.sale.deposit_refunded.v1"
    assert refunded["data"]["amount_yuan"] is None
    assert ended["type"] == f"yaosu.energy.sale.{last}.v1"
    assert [(m["account"], m["held"]) for m in ended["data"]["movements"]] == [
        (STORE, "-10000.000")
    ]


async def test_two_people_cancel_a_sale_and_all_is_given_back(room: Room) -> None:
    request = await ask(room)
    cancelled = await confirm(room, request.request_id)
    assert cancelled.state == "CANCELLED"
    await check_all_is_given_back(room, "cancelled")
    assert (await events_of(room.house))[-1]["data"]["reason"] == "标的调整"


async def test_one_person_cannot_cancel(room: Room) -> None:
    request = await ask(room)
    with pytest.raises(SamePerson):
        await confirm(room, request.request_id, FIRST)
    assert (await room.sale()).state == "OPEN"


async def test_a_request_for_one_sale_cancels_no_other(room: Room) -> None:
    request = await ask(room)
    other = Room(room.house)
    await other.draft()
    with pytest.raises(RequestUnknown):
        await confirm(other, request.request_id)


async def test_a_cancellation_confirmed_five_times_at_once_happens_once(room: Room) -> None:
    request = await ask(room)
    outcomes = await asyncio.gather(
        *(confirm(room, request.request_id) for _ in range(5)), return_exceptions=True
    )
    assert sum(isinstance(outcome, SaleRef) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, AlreadyConfirmed) for outcome in outcomes) == 4
    await check_all_is_given_back(room, "cancelled")


@pytest.mark.parametrize(
    "state", ["OPENED", "CLEARED", "CONFIRMED", "SETTLED", "ARCHIVED", "FAILED", "CANCELLED"]
)
async def test_what_is_opened_or_ended_is_not_cancelled(room: Room, state: str) -> None:
    request = await ask(room)
    await put_sale(room.house, state)
    with pytest.raises(SaleStateNotAllowed):
        await ask(room)
    with pytest.raises(SaleStateNotAllowed):
        await confirm(room, request.request_id)


async def fail_unopened(room: Room) -> None:
    await room.house.run(lambda s: actions.fail_unopened(s, TOY), "worker")


async def test_a_sale_not_opened_in_time_has_failed(room: Room) -> None:
    room.at(CLOSES)
    await room.house.run(notices.advance_due, "worker")
    room.at(OPENS_BY - TICK)
    await fail_unopened(room)
    assert (await room.sale()).state == "CLOSED"
    room.at(OPENS_BY)
    for _ in range(2):
        await fail_unopened(room)
    assert (await room.sale()).state == "FAILED"
    await check_all_is_given_back(room, "failed")
    assert (await events_of(room.house))[-1]["data"]["reason"] == "NOT_OPENED_IN_TIME"


async def test_an_ended_sale_may_be_archived_and_takes_no_entry(room: Room) -> None:
    request = await ask(room)
    await confirm(room, request.request_id)
    with pytest.raises(RegistrationClosed):
        await room.register(3)
    archived = await room.house.run(lambda s: notices.archive_sale(s, room.sale_id))
    assert archived.state == "ARCHIVED"


async def test_a_cancelled_draft_gives_back_nothing(energy_house: Database) -> None:
    room = Room(energy_house)
    await room.draft()
    request = await ask(room)
    await confirm(room, request.request_id)
    assert (await events_of(room.house))[-1]["data"]["movements"] == []
