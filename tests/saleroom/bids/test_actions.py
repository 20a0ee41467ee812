"""Sealed bids: taken in by the list, each with its instant, receipt or own refusal."""

import asyncio

import pytest
from structlog.testing import capture_logs

from builders import a_uscc
from databases import rows
from marketkit.batch import Command, Verdict, execute
from marketkit.db import Database
from marketkit.errors import Refusal
from marketkit.signing import b64, canonical, sm3, unb64, verify
from marketkit.units import format_instant
from saleroom.bids import actions
from saleroom.bids.actions import PLACE, OwnBid, Receipt, standing_bids
from saleroom.bids.rules import BiddingClosed, BidNotStanding, BidUnknown, PlacedBid
from saleroom.entries import actions as entries
from saleroom.notices.rules import SaleUnknown
from toy_market import (
    CLOSES,
    OPENS,
    TICK,
    TOY,
    Room,
    bidder,
    events_of,
    tampered,
)


@pytest.fixture
async def room(energy_house: Database) -> Room:
    """A sale open for bids, with bidders 1 to 3 qualified and 4 only registered."""
    room = Room(energy_house)
    await room.announce()
    for number in (1, 2, 3):
        await room.enter(number)
    await room.register(4)
    return room.at(OPENS)


def codes(verdicts: list[Verdict]) -> list[str]:
    return [verdict.code if isinstance(verdict, Refusal) else "" for verdict in verdicts]


async def withdraw(room: Room, receipt_id: str, number: int) -> OwnBid:
    return await room.house.run(
        lambda s: actions.withdraw_sealed_bid(s, room.sale_id, receipt_id, bidder(number))
    )


async def standing(room: Room) -> list[tuple[str, int]]:
    found = await room.house.run(lambda s: standing_bids(s, room.sale_id))
    return [(bid.uscc, bid.version) for bid in found]


async def placed(room: Room, number: int, version: int = 1) -> Receipt:
    (receipt,) = await room.place(await room.seal(number, version))
    assert isinstance(receipt, Receipt), receipt
    return receipt


async def test_a_bid_gets_a_receipt_signed_over_all_it_says(room: Room) -> None:
    bid = await room.seal(1)
    (receipt,) = await room.place(bid)
    assert isinstance(receipt, Receipt)
    said = receipt.model_dump(mode="json")
    signature = unb64(said.pop("signature"))
    assert verify(room.house.signer.public, canonical(said), signature)
    assert said["bid_sm3"] == b64(sm3(bid.ciphertext))
    assert said["commitment"] == b64(bid.commitment)
    assert said["received_at"] == format_instant(OPENS)


async def test_all_that_is_told_of_a_bid_is_its_receipt_and_commitment(room: Room) -> None:
    receipt = await placed(room, 1)
    event = (await events_of(room.house))[-1]
    assert event["type"] == "yaosu.energy.sale.sealed_bid_placed.v1"
    assert event["data"] == {"receipt_id": receipt.receipt_id, "commitment": receipt.commitment}
    assert event["actor"] == room.house.source
    assert event["subject"] == event["partitionkey"] == room.sale_id


async def test_bid_at_the_close_is_refused_and_one_just_before_is_not(room: Room) -> None:
    bids = [await room.seal(number) for number in (1, 2)]
    room.at(CLOSES - TICK)
    # The second of a batch gets the close itself.
    assert codes(await room.place(*bids)) == ["", "BIDDING_CLOSED"]
    room.at(CLOSES)
    assert codes(await room.place(bids[1])) == ["BIDDING_CLOSED"]
    assert (await room.sale()).state == "CLOSED"


async def test_a_bid_before_the_opening_is_refused(room: Room) -> None:
    bid = await room.seal(1)
    room.at(OPENS - TICK)
    assert codes(await room.place(bid)) == ["BIDDING_NOT_OPEN"]


async def test_each_bid_of_a_list_gets_its_own_verdict(room: Room) -> None:
    good = [await room.seal(number) for number in (1, 2, 3)]
    verdicts = await room.place(
        good[0],
        await room.seal(4),
        await room.seal(5),
        tampered(good[1], key_sm3=bytes(32)),
        tampered(good[1], ciphertext=b""),
        await room.seal(1, 2),
        await room.seal(1, 2),
        tampered(good[1], version=2),
        good[2],
    )
    assert codes(verdicts) == [
        "", "NOT_QUALIFIED", "NOT_QUALIFIED", "BID_KEY_WRONG", "BID_SIZE_WRONG",
        "", "BID_VERSION_WRONG", "BID_VERSION_WRONG", "",
    ]  # fmt: skip
    assert sorted(await standing(room)) == sorted([(a_uscc(1), 2), (a_uscc(3), 1)])


async def test_one_bad_bid_in_a_list_of_two_hundred_spoils_none(room: Room) -> None:
    numbers = range(10, 210)
    await room.enter_many(numbers)
    bids = [await room.seal(number) for number in numbers]
    bids[77] = tampered(bids[77], key_sm3=bytes(32))
    verdicts = codes(await room.place(*bids))
    assert verdicts.pop(77) == "BID_KEY_WRONG"
    assert set(verdicts) == {""}
    found = await rows(room.house, "SELECT uscc, submitted_at FROM sealed_bid ORDER BY id")
    assert len(found) == 199
    by_uscc = {row.uscc: row.submitted_at for row in found}
    assert [by_uscc.get(a_uscc(number)) for number in numbers] == [
        None if place == 77 else OPENS + place * TICK for place in range(200)
    ]


async def test_bids_of_a_standing_clock_never_tie(room: Room) -> None:
    instants = [(await placed(room, number)).received_at for number in (1, 2, 3)]
    assert instants == [OPENS, OPENS + TICK, OPENS + 2 * TICK]


async def test_a_clock_that_steps_back_moves_no_bid_before_another(room: Room) -> None:
    room.at(OPENS + 10 * TICK)
    first = await placed(room, 1)
    room.at(OPENS)
    second = await placed(room, 2)
    assert second.received_at == first.received_at + TICK


async def test_a_hundred_bids_of_many_transactions_get_a_hundred_instants(room: Room) -> None:
    numbers = range(10, 110)
    await room.enter_many(numbers)
    room.house.fixed_instant = None
    await rows(room.house, "UPDATE sale SET closes_at = '2999-01-01', opens_by = '2999-01-02'")
    bids = [await room.seal(number) for number in numbers]
    # Five transactions at a time wait for the sale; all at once would wait for a connection.
    turn = asyncio.Semaphore(5)

    async def place(bid: PlacedBid) -> list[Verdict]:
        async with turn:
            return await room.place(bid)

    outcomes = await asyncio.gather(*(place(bid) for bid in bids))
    receipts = [receipt for (receipt,) in outcomes if isinstance(receipt, Receipt)]
    assert len(receipts) == 100
    assert len({receipt.received_at for receipt in receipts}) == 100
    placed_events = (await events_of(room.house))[-100:]
    told = [event["data"].get("receipt_id") for event in placed_events]
    by_time = sorted(receipts, key=lambda receipt: receipt.received_at)
    assert [receipt.receipt_id for receipt in by_time] == told


async def test_one_bid_sent_five_times_at_once_has_one_effect(room: Room) -> None:
    bid = await room.seal(1)

    async def send() -> bytes:
        command = Command("person-of-1", "key-1", b"fingerprint", bid, 201)
        (answer,) = await room.house.run(lambda s: execute(s, [command], PLACE))
        return answer.body

    bodies = await asyncio.gather(*(send() for _ in range(5)))
    again = await send()
    assert {body for body in bodies if b"IN_FLIGHT" not in body} == {again}
    assert [row.n for row in await rows(room.house, "SELECT count(*) AS n FROM sealed_bid")] == [1]


async def test_a_failure_among_many_fails_alone_and_makes_nobody_late(room: Room) -> None:
    bids = [await room.seal(number) for number in (1, 2, 3)]
    # A byte PostgreSQL cannot store in text brings the whole statement down.
    bids[1] = tampered(bids[1], uscc="\x00")
    commands = [Command("p", f"k{n}", b"f", bid, 201) for n, bid in enumerate(bids)]
    with capture_logs():
        answers = await room.house.run(lambda s: execute(s, commands, PLACE))
    assert [answer.status for answer in answers] == [201, 500, 201]
    found = await rows(room.house, "SELECT submitted_at FROM sealed_bid ORDER BY submitted_at")
    assert [row.submitted_at for row in found] == [OPENS, OPENS + 2 * TICK]


async def test_a_bid_is_replaced_as_a_whole(room: Room) -> None:
    first = await placed(room, 1)
    await placed(room, 1, version=2)
    assert await standing(room) == [(a_uscc(1), 2)]
    with pytest.raises(BidNotStanding):
        await withdraw(room, first.receipt_id, 1)


async def test_a_withdrawn_bid_does_not_stand_and_may_be_followed_by_another(room: Room) -> None:
    await placed(room, 1)
    second = await placed(room, 1, version=2)
    withdrawn = await withdraw(room, second.receipt_id, 1)
    assert not withdrawn.is_standing
    assert await standing(room) == []
    event = (await events_of(room.house))[-1]
    assert event["data"] == {"receipt_id": second.receipt_id}
    assert event["actor"] == room.house.source
    with pytest.raises(BidNotStanding):
        await withdraw(room, second.receipt_id, 1)
    await placed(room, 1, version=3)
    assert await standing(room) == [(a_uscc(1), 3)]


async def test_nobody_withdraws_from_the_close_on(room: Room) -> None:
    receipts = [await placed(room, number) for number in (1, 2)]
    room.at(CLOSES - 2 * TICK)
    await withdraw(room, receipts[0].receipt_id, 1)
    room.at(CLOSES)
    with pytest.raises(BiddingClosed):
        await withdraw(room, receipts[1].receipt_id, 2)
    assert await standing(room) == [(a_uscc(2), 1)]


async def test_the_bid_of_another_is_unknown(room: Room) -> None:
    receipt = await placed(room, 1)
    with pytest.raises(BidUnknown):
        await withdraw(room, receipt.receipt_id, 2)
    room.sale_id = "01AAAAAAAAAAAAAAAAAAAAAAAA"
    with pytest.raises(SaleUnknown):
        await withdraw(room, receipt.receipt_id, 1)


async def test_a_participant_who_left_leaves_no_bid_behind(room: Room) -> None:
    await placed(room, 1)
    await placed(room, 2)
    (entered,) = await rows(
        room.house, "SELECT id FROM registration WHERE uscc = :uscc", uscc=a_uscc(1)
    )
    await room.house.run(
        lambda s: entries.withdraw_registration(s, TOY, room.sale_id, entered.id, bidder(1))
    )
    assert await standing(room) == [(a_uscc(2), 1)]
    assert codes(await room.place(await room.seal(1, 2))) == ["NOT_QUALIFIED"]


async def test_before_the_opening_nothing_told_names_a_bidder(room: Room) -> None:
    """All that leaves the owner's tables up to the close, and no name or quantity in it."""
    entered = await room.enter(7, "777.000")
    await room.pay_deposit(entered)
    receipt = await placed(room, 7)
    await withdraw(room, receipt.receipt_id, 7)
    await room.house.run(
        lambda s: entries.withdraw_registration(
            s, TOY, room.sale_id, entered.registration_id, bidder(7)
        )
    )
    room.at(CLOSES)
    await room.house.run(lambda s: entries.reconcile_deposits(s, room.sale_id))
    outside = await rows(room.house, "SELECT event FROM outbox UNION ALL SELECT event FROM log")
    said = b"\n".join(bytes(row.event) for row in outside).decode()
    assert said.count("sale.sealed_bid_placed.v1") >= 1
    canaries = (a_uscc(7), "企业7", "person-of-7", "777.000", "31080.00", "210.00")
    assert [canary for canary in canaries if canary in said] == []
