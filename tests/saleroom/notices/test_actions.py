"""A sale on paper, announced, suspended, resumed, archived; and its clock."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from builders import a_booking, a_lot, a_project_code, an_issue
from contracts.sale import DeliveryReversed
from databases import rows
from marketkit.db import Database, Session, new_id
from marketkit.errors import InputInvalid
from marketkit.ledger import InsufficientFreeQuantity
from marketkit.movements import Leg, Movement
from marketkit.outbox import EVENT_BYTES_MAX
from marketkit.signing import b64, sm3
from marketkit.units import MINOR_MAX
from saleroom.notices import actions, rules
from saleroom.notices.actions import ReasonIn, SaleRef
from saleroom.notices.rules import (
    SALE_LOTS_MAX,
    FairReviewMissing,
    SaleStateNotAllowed,
    SaleUnknown,
    TermsOutOfBounds,
    TimetableWrong,
    TooManyLots,
)
from saleroom.shares import KeyOfficersWrong, join_shares, unwrap_share
from toy_market import (
    ANNOUNCED,
    CLOSES,
    DAY,
    DEPOSIT_DUE,
    OPENS,
    OPENS_BY,
    REGISTRATION_CLOSES,
    STORE,
    TICK,
    TOY,
    Room,
    a_draft,
    events_of,
    put_sale,
)

ALL_STATES = (
    "DRAFT", "ANNOUNCED", "OPEN", "CLOSED", "OPENED", "CLEARED", "CONFIRMED", "SETTLED",
    "ARCHIVED", "SUSPENDED", "FAILED", "CANCELLED",
)  # fmt: skip
Step = Callable[[Session, str], Awaitable[SaleRef]]

REASON = ReasonIn(reason="设备检修")


async def announce(session: Session, sale_id: str) -> SaleRef:
    return await actions.announce_sale(session, TOY, sale_id)


async def suspend(session: Session, sale_id: str) -> SaleRef:
    return await actions.suspend_sale(session, sale_id, REASON)


STEPS: dict[str, tuple[Step, set[str]]] = {
    "announce": (announce, {"DRAFT"}),
    "suspend": (suspend, {"ANNOUNCED", "OPEN"}),
    "resume": (actions.resume_sale, {"SUSPENDED"}),
    "archive": (actions.archive_sale, {"SETTLED", "FAILED", "CANCELLED"}),
}


@pytest.fixture
def room(energy_house: Database) -> Room:
    return Room(energy_house)


async def run(room: Room, step: Step) -> SaleRef:
    return await room.house.run(lambda s: step(s, room.sale_id))


async def kinds(house: Database) -> list[str]:
    return [
        event["type"].removeprefix("yaosu.energy.").removesuffix(".v1")
        for event in await events_of(house)
    ]


async def test_a_draft_holds_nothing_and_says_little(room: Room) -> None:
    await room.draft()
    (event,) = await events_of(room.house)
    assert event["type"] == "yaosu.energy.sale.drafted.v1"
    assert event["data"] == {"title": "能耗指标竞购公告", "format": "SEALED"}
    assert await rows(room.house, "SELECT 1 FROM hold") == []


async def test_a_draft_whose_instants_do_not_follow_each_other_is_refused(room: Room) -> None:
    with pytest.raises(TimetableWrong):
        await room.draft(closes_at=OPENS.isoformat())


async def test_a_draft_of_an_unknown_asset_is_refused(room: Room) -> None:
    with pytest.raises(InputInvalid):
        await room.draft(asset="GOLD")


async def test_an_announcement_holds_the_supply_and_publishes_the_key(room: Room) -> None:
    await room.announce()
    sale = await room.sale()
    assert (sale.state, sale.announced_at) == ("ANNOUNCED", ANNOUNCED)
    held = await rows(room.house, "SELECT account, quantity, remaining, key FROM hold")
    assert [tuple(row) for row in held] == [(STORE, 10_000_000, 10_000_000, sale.id)]
    event = (await events_of(room.house))[-1]
    assert event["type"] == "yaosu.energy.sale.announced.v1"
    assert event["partitionkey"] == sale.id
    assert event["policyversion"] == sale.policy_version
    assert sale.public_key is not None
    assert event["data"]["key"]["public_key"] == b64(sale.public_key)
    assert event["data"]["key"]["key_sm3"] == b64(sm3(sale.public_key))
    assert [(m["account"], m["held"]) for m in event["data"]["movements"]] == [(STORE, "10000.000")]


async def test_three_of_the_five_officers_hold_the_key_and_the_database_does_not(
    room: Room,
) -> None:
    await room.announce()
    sale = await room.sale()
    assert sale.public_key is not None
    wrapped = await rows(room.house, "SELECT officer_id, wrapped_share FROM sale_officer")
    shares = [
        unwrap_share(
            bytes(row.wrapped_share),
            private_key=room.officers[row.officer_id].private_key,
            sale_id=sale.id,
            officer=row.officer_id,
        )
        for row in wrapped
    ]
    private_key = join_shares(shares[1:4], sale.public_key)
    for table in ("sale", "sale_officer", "key_officer", "outbox", "stored_answer"):
        stored = await rows(room.house, f"SELECT to_json(t)::text AS row FROM {table} t")
        assert not any(
            secret in row.row
            for row in stored
            for secret in (private_key.hex(), b64(private_key), *(share.hex() for share in shares))
        )


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({"deposit_ratio_bp": 9_000}, TermsOutOfBounds),
        ({"fair_review": None}, FairReviewMissing),
        ({"supply": "20000.001", "lot_size": "0.001"}, InsufficientFreeQuantity),
        ({"key_officers": []}, KeyOfficersWrong),
    ],
    ids=lambda value: str(value),
)
async def test_a_refused_announcement_changes_nothing(
    room: Room, changes: dict[str, Any], refusal: type[Exception]
) -> None:
    await room.draft()
    draft = a_draft(**({"key_officers": list(room.officers)} | changes))
    sale = await room.house.run(lambda s: actions.draft_sale(s, TOY, draft))
    room.sale_id = sale.sale_id
    if draft.key_officers:
        await room.drill()
    room.at(ANNOUNCED)
    before = await kinds(room.house)
    with pytest.raises(refusal):
        await run(room, announce)
    assert await kinds(room.house) == before
    assert await rows(room.house, "SELECT 1 FROM hold") == []
    assert (await room.sale()).public_key is None


async def test_four_officers_or_two_with_one_key_are_not_enough(room: Room) -> None:
    await room.draft()
    room.at(ANNOUNCED)
    officers = list(room.officers)
    four = await room.house.run(lambda s: actions.draft_sale(s, TOY, a_draft(officers[:4])))
    with pytest.raises(KeyOfficersWrong):
        await room.house.run(lambda s: announce(s, four.sale_id))
    await rows(
        room.house, "UPDATE key_officer SET public_key = (SELECT min(public_key) FROM key_officer)",
        "market",
    )  # fmt: skip
    with pytest.raises(KeyOfficersWrong):
        await run(room, announce)


async def test_supply_out_of_barred_lots_bars_dual_high_buyers(room: Room) -> None:
    await room.draft()
    await rows(
        room.house,
        "UPDATE balance SET posted = 0",
        "market",
    )
    await room.house.run(
        lambda s: an_issue(s, 10_000_000, STORE, lot=a_lot(is_dual_high_barred=True))
    )
    await room.drill()
    await room.announce_draft()
    assert (await room.sale()).is_dual_high_barred
    assert (await events_of(room.house))[-1]["data"]["terms"]["is_dual_high_barred"] is True


async def test_supply_of_more_lots_than_a_delivery_can_tell_is_not_announced(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    await room.draft()
    await rows(room.house, "UPDATE balance SET posted = 0", "market")

    async def issued(session: Session) -> None:
        for _ in range(4):
            one = a_booking("ISSUE", new_id())
            await an_issue(session, 2_500_000, STORE, booking=one)

    await room.house.run(issued)
    await room.drill()
    monkeypatch.setattr(rules, "SALE_LOTS_MAX", 3)
    with pytest.raises(TooManyLots) as refused:
        await room.announce_draft()
    assert (refused.value.code, refused.value.detail) == ("TOO_MANY_LOTS", "共4批，至多3批")
    assert await rows(room.house, "SELECT 1 FROM hold") == []
    monkeypatch.setattr(rules, "SALE_LOTS_MAX", 4)
    await room.announce_draft()
    assert (await room.sale()).state == "ANNOUNCED"


def test_a_delivery_out_of_as_many_lots_as_there_may_be_is_one_event() -> None:
    most = MINOR_MAX
    account = f"enterprise:{'9' * 18}:{a_project_code()}"
    legs = [
        leg
        for _ in range(SALE_LOTS_MAX)
        for leg in (
            Leg("gov_reserve:province", "ENERGY", new_id(), -most, -most),
            Leg(account, "ENERGY", new_id(), most, 0),
        )
    ]
    reversed_ = DeliveryReversed(
        registration_id=new_id(),
        account=account,
        quantity="1.000",
        asset="ENERGY",
        document_no="文" * 200,
        reason="由" * 200,
        movements=[Movement.of(leg) for leg in legs],
    )
    assert len(reversed_.model_dump_json().encode()) < EVENT_BYTES_MAX - 2_000


@pytest.mark.parametrize("state", ALL_STATES)
@pytest.mark.parametrize("step", STEPS)
async def test_each_step_is_allowed_in_its_states_only(room: Room, step: str, state: str) -> None:
    await room.draft()
    await room.drill()
    await put_sale(room.house, state)
    room.at(ANNOUNCED)
    action, allowed = STEPS[step]
    if state in allowed:
        await run(room, action)
        assert (await room.sale()).state != state
    else:
        before = await kinds(room.house)
        with pytest.raises(SaleStateNotAllowed):
            await run(room, action)
        assert await kinds(room.house) == before


@pytest.mark.parametrize("step", STEPS)
async def test_a_step_of_an_unknown_sale_is_refused(room: Room, step: str) -> None:
    room.sale_id = "01AAAAAAAAAAAAAAAAAAAAAAAA"
    with pytest.raises(SaleUnknown):
        await run(room, STEPS[step][0])


async def test_a_suspension_moves_every_later_instant_by_its_length(room: Room) -> None:
    await room.announce()
    room.at(OPENS + DAY)
    await run(room, suspend)
    room.at(OPENS + 4 * DAY)
    await run(room, actions.resume_sale)
    sale = await room.sale()
    assert sale.state == "OPEN"
    assert sale.opens_at == OPENS
    later = (sale.registration_closes_at, sale.deposit_due_at, sale.closes_at, sale.opens_by)
    planned = (REGISTRATION_CLOSES, DEPOSIT_DUE, CLOSES, OPENS_BY)
    assert later == tuple(at + 3 * DAY for at in planned)
    assert (await kinds(room.house))[-3:] == [
        "sale.opened_for_bids", "sale.suspended", "sale.resumed",
    ]  # fmt: skip


async def test_a_suspended_sale_does_not_close(room: Room) -> None:
    await room.announce()
    room.at(OPENS)
    await run(room, suspend)
    room.at(CLOSES + DAY)
    await room.house.run(actions.advance_due, "worker")
    assert (await room.sale()).state == "SUSPENDED"


async def test_the_clock_opens_and_closes_a_sale_at_its_very_instant(room: Room) -> None:
    await room.announce()
    steps = [
        (OPENS - TICK, "ANNOUNCED"), (OPENS, "OPEN"), (CLOSES - TICK, "OPEN"), (CLOSES, "CLOSED"),
    ]  # fmt: skip
    for instant, state in steps:
        room.at(instant)
        for _ in range(2):
            await room.house.run(actions.advance_due, "worker")
        assert (await room.sale()).state == state
    assert await kinds(room.house) == [
        "sale.drafted", "sale.drill_begun", *["sale.drill_answered"] * 5,
        "sale.announced", "sale.opened_for_bids", "sale.closed",
    ]  # fmt: skip


async def test_a_clock_that_stood_still_tells_both_steps(room: Room) -> None:
    await room.announce()
    room.at(CLOSES + DAY)
    await room.house.run(actions.advance_due, "worker")
    assert (await kinds(room.house))[-2:] == ["sale.opened_for_bids", "sale.closed"]
    assert (await events_of(room.house))[-1]["data"]["closed_at"].startswith("2022-10-21T09:00:00")


async def test_ten_clocks_tell_each_step_once(room: Room) -> None:
    await room.announce()
    room.at(OPENS)
    await asyncio.gather(*(room.house.run(actions.advance_due, "worker") for _ in range(10)))
    assert (await kinds(room.house)).count("sale.opened_for_bids") == 1


async def test_an_announcement_asked_for_five_times_at_once_happens_once(room: Room) -> None:
    await room.draft()
    await room.drill()
    room.at(ANNOUNCED)
    outcomes = await asyncio.gather(
        *(run(room, announce) for _ in range(5)), return_exceptions=True
    )
    assert sum(isinstance(outcome, SaleRef) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, SaleStateNotAllowed) for outcome in outcomes) == 4
    assert (await kinds(room.house)).count("sale.announced") == 1
    (row,) = await rows(room.house, "SELECT sum(held) AS held FROM balance")
    assert row.held == 10_000_000
