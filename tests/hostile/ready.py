"""What makes a command ready to succeed: for each the house behind it just before it is sent."""

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from bank_files import Counter, a_csv, a_row
from builders import COUNTY, NOON, Trust, a_caller
from databases import rows
from energy_office import (
    Office,
    a_batch,
    a_pledge,
    a_pledgor,
    a_release,
    an_assignment,
    an_issue,
)
from energy_trade.sales.actions import MARKET
from hostile.examples import REASON, REVERSAL, Claims
from hostile.house import screen
from marketkit.db import Database
from marketkit.signing import b64
from marketkit.units import YUAN
from saleroom.endings import actions as endings
from saleroom.notices.actions import ReasonIn
from saleroom.statements.routes import routes as statements
from stories import Story
from toy_market import ANNOUNCED, CLOSES, CONFIRMS, DAY, OPENS, TICK, Doors, Room

SALE = "/v1/sales/{sale_id}"
ENTRY = f"POST {SALE}/registrations/{{registration_id}}"
SETTLEMENT = f"POST {SALE}/settlements/{{registration_id}}"
SOURCE = "/370500/energy-trade"
OFFER = ("220.00", "4000")


class Ready(NamedTuple):
    """The address of a step once all that it asks for is there, and what is said to ask for it."""

    path: str
    body: Any = None
    # Where its example's person may not.
    who: Claims | None = None


Make = Callable[[Database], Awaitable[Ready]]


async def an_office(house: Database) -> Office:
    """The bureau at noon of 2022-06-01, an enterprise holding 5,000 tce out of a full pool."""
    house.fixed_instant = NOON
    office = Office(house, Trust())
    await office.fill_pool()
    await office.done("increment-batches", a_batch(an_assignment(1, quantity_tce="5000")))
    return office


async def a_draft(house: Database) -> Room:
    room = Room(house, MARKET)
    await room.draft()
    return room


async def an_announced_sale(house: Database) -> Story:
    story = Story(house, MARKET)
    await story.announce()
    await screen(house, 1)
    return story


async def a_sale_to_confirm(house: Database) -> Story:
    """Opened, with one award; the days for which the result is public have passed."""
    story = await an_announced_sale(house)
    await story.bidders(OFFER)
    await story.open()
    story.at(CONFIRMS)
    return story


async def a_sale_to_sign(house: Database) -> Story:
    story = await a_sale_to_confirm(house)
    await story.confirm()
    return story


async def a_sale_to_pay(house: Database) -> Story:
    story = await a_sale_to_sign(house)
    await story.sign(1)
    return story


async def a_sale_to_deliver(house: Database) -> Story:
    story = await a_sale_to_pay(house)
    await story.pay(1)
    return story


async def an_overdue_sale(house: Database) -> Story:
    """Signed and not paid: its last day is over."""
    story = await a_sale_to_pay(house)
    story.at(CONFIRMS + 7 * DAY + TICK)
    return story


def settlement(story: Story, step: str) -> str:
    return f"/v1/sales/{story.sale_id}/settlements/{story.contract(1)}/{step}"


async def an_issue_ready(house: Database) -> Ready:
    return Ready("/v1/issues", an_issue(account_kind="COUNTY", region_code=COUNTY))


async def an_opening_ready(house: Database) -> Ready:
    story = Story(house, MARKET)
    await story.announce()
    await story.reconcile()
    return Ready(f"/v1/sales/{story.sale_id}/openings")


async def a_cancellation_ready(house: Database) -> Ready:
    room = await a_draft(house)
    return Ready(f"/v1/sales/{room.sale_id}/cancellations", REASON)


async def a_reversed_issue_ready(house: Database) -> Ready:
    # Of a county: out of the store of the province the other steps sell.
    issued = await Office(house, Trust()).issue(account_kind="COUNTY", region_code=COUNTY)
    return Ready(f"/v1/issues/{issued['lot']}/reversals", REVERSAL)


async def a_reversed_delivery_ready(house: Database) -> Ready:
    story = await a_sale_to_deliver(house)
    await story.deliver(1)
    return Ready(settlement(story, "delivery-reversals"), REVERSAL)


async def a_reversed_booking_ready(house: Database) -> Ready:
    story = Story(house, MARKET)
    await story.announce()
    await screen(house, 2)
    await story.entrant(2)
    return await _reversed(story, "DEPOSIT")


async def a_reversed_payment_ready(house: Database) -> Ready:
    return await _reversed(await a_sale_to_deliver(house), "PAYMENT")


async def _reversed(story: Story, use: str) -> Ready:
    query = "SELECT id FROM bank_booking WHERE sale_id = :sale AND use = :use"
    (booking,) = await rows(story.house, query, sale=story.sale_id, use=use)
    said = {"booking_id": booking.id, "document_no": "东公资〔2022〕7号", "reason": "记错单位"}
    return Ready(f"/v1/sales/{story.sale_id}/reversals", said)


async def a_replay_ready(house: Database) -> Ready:
    await rows(
        house,
        "INSERT INTO position (source, partition, epoch, sequence, chain, is_forked) "
        "VALUES (:source, 0, 1, 0, '', false)",
        source=SOURCE,
    )
    return Ready("/v1/replays", {"source": SOURCE, "reason": "已修复（示例）"})


class TwoPeople(NamedTuple):
    """A step of two people; what it tells when done, and what a second confirmation is answered."""

    ready: Make
    refusals: set[str]
    told: str


# By what is asked for.
STEPS: dict[str, TwoPeople] = {
    "/v1/issues": TwoPeople(an_issue_ready, {"ALREADY_CONFIRMED"}, "quota.issued"),
    f"{SALE}/openings": TwoPeople(
        an_opening_ready, {"OPENING_ALREADY_CONFIRMED"}, "sale.opening_confirmed"
    ),
    f"{SALE}/cancellations": TwoPeople(
        a_cancellation_ready, {"ALREADY_CONFIRMED"}, "sale.cancelled"
    ),
    "/v1/issues/{lot}/reversals": TwoPeople(
        a_reversed_issue_ready, {"ALREADY_CONFIRMED"}, "quota.issue_reversed"
    ),
    f"{SALE}/settlements/{{registration_id}}/delivery-reversals": TwoPeople(
        a_reversed_delivery_ready, {"ALREADY_CONFIRMED"}, "sale.delivery_reversed"
    ),
    f"{SALE}/reversals": TwoPeople(
        a_reversed_booking_ready, {"ALREADY_CONFIRMED"}, "sale.deposit_reversed"
    ),
    # It tells nothing: what is tried again are others' events.
    "/v1/replays": TwoPeople(a_replay_ready, {"ALREADY_CONFIRMED"}, ""),
}


async def a_batch_ready(house: Database) -> Ready:
    await an_office(house)
    return Ready("/v1/increment-batches", a_batch(an_assignment(2), batch="2022-2"))


async def a_pledge_ready(house: Database) -> Ready:
    await an_office(house)
    return Ready("/v1/pledges", a_pledge(number=1))


async def a_release_ready(house: Database) -> Ready:
    office = await an_office(house)
    pledge = await office.done("pledges", a_pledge(number=1), a_pledgor(1))
    return Ready(f"/v1/pledges/{pledge['pledge_id']}/releases", a_release())


async def a_drill_answer_ready(house: Database) -> Ready:
    room = await a_draft(house)
    drill_id = await room.begin_drill()
    said = {"answer": b64(await room.drill_answer(0))}
    return Ready(f"/v1/sales/{room.sale_id}/drills/{drill_id}/answers", said, AN_OFFICER)


async def an_announcement_ready(house: Database) -> Ready:
    room = await a_draft(house)
    await room.drill()
    room.at(ANNOUNCED)
    return Ready(f"/v1/sales/{room.sale_id}/announcements")


async def a_qualification_ready(house: Database) -> Ready:
    story = await an_announced_sale(house)
    entered = await story.register(1)
    path = f"/v1/sales/{story.sale_id}/registrations/{entered.registration_id}/qualifications"
    return Ready(path, {"verdict": "QUALIFIED", "reason": None})


async def a_reconciliation_ready(house: Database) -> Ready:
    story = await an_announced_sale(house)
    story.at(CLOSES)
    return Ready(f"/v1/sales/{story.sale_id}/deposit-reconciliations")


async def a_bid_withdrawal_ready(house: Database) -> Ready:
    story = await an_announced_sale(house)
    (receipt_id,) = await story.bidders(OFFER)
    return Ready(f"/v1/sales/{story.sale_id}/sealed-bids/{receipt_id}/withdrawals")


async def a_share_ready(house: Database) -> Ready:
    story = Story(house, MARKET)
    await story.announce()
    session_id = await story.ready()
    said = {"session_id": session_id, "share": b64(await story.wrapped(0))}
    path = f"/v1/sales/{story.sale_id}/openings/{story.opening_id}/shares"
    return Ready(path, said, AN_OFFICER)


async def a_confirmation_ready(house: Database) -> Ready:
    story = await a_sale_to_confirm(house)
    return Ready(f"/v1/sales/{story.sale_id}/confirmations")


async def a_contract_ready(house: Database) -> Ready:
    return Ready(settlement(await a_sale_to_sign(house), "contracts"))


async def a_payment_ready(house: Database) -> Ready:
    story = await a_sale_to_pay(house)
    said = {
        "amount_yuan": YUAN.format((await story.settlement(1)).due_yuan),
        "booked_at": CONFIRMS.isoformat(),
        "bank_serial": "price-1",
    }
    return Ready(settlement(story, "payments"), said)


async def a_delivery_ready(house: Database) -> Ready:
    story = await a_sale_to_deliver(house)
    return Ready(settlement(story, "deliveries"), {"treasury_receipt_no": "国库1"})


async def a_default_ready(house: Database) -> Ready:
    return Ready(settlement(await an_overdue_sale(house), "defaults"))


async def a_remittance_ready(house: Database) -> Ready:
    story = await an_overdue_sale(house)
    await story.default(1)
    return Ready(settlement(story, "forfeit-remittances"), {"treasury_receipt_no": "罚没1"})


async def an_archiving_ready(house: Database) -> Ready:
    room = await a_draft(house)
    asker, other, form = a_caller(sub="first"), a_caller(sub="second"), ReasonIn(reason="有误")
    asked = await house.run(lambda s: endings.ask_to_cancel(s, room.sale_id, asker, form))
    await house.run(lambda s: endings.cancel_sale(s, MARKET, room.sale_id, asked.request_id, other))
    return Ready(f"/v1/sales/{room.sale_id}/archivings")


async def a_bank_file_ready(house: Database) -> Ready:
    story = await an_announced_sale(house)
    entered = await story.register(1)
    story.at(OPENS)
    return Ready("/v1/bank-files", a_csv(a_row(entered)))


async def _a_stray(house: Database) -> tuple[str, str]:
    """Money with a mistyped sub-account: its booking, and whose it is."""
    story = await an_announced_sale(house)
    entered = await story.register(1)
    story.at(OPENS)
    counter = Counter(Doors.of(house, statements))
    (verdict,) = await counter.verdicts(a_csv(a_row(entered, 子账号="1")))
    return str(verdict["booking_id"]), entered.registration_id


async def an_allocation_ready(house: Database) -> Ready:
    booking_id, registration_id = await _a_stray(house)
    path = f"/v1/bank-bookings/{booking_id}/allocations"
    return Ready(path, {"registration_id": registration_id})


async def a_return_ready(house: Database) -> Ready:
    booking_id, _ = await _a_stray(house)
    return Ready(f"/v1/bank-bookings/{booking_id}/returns")


AN_OFFICER: Claims = {"roles": ["key_officer"], "sub": "officer-0"}

# Those that need one person and do not succeed in the world of `house.py`: what they do once is
# told as this, or stands in this table.
ALONE: dict[str, tuple[Make, str]] = {
    "POST /v1/increment-batches": (a_batch_ready, "increment_batch.published"),
    "POST /v1/pledges": (a_pledge_ready, "pledge.registered"),
    "POST /v1/pledges/{pledge_id}/releases": (a_release_ready, "pledge.released"),
    f"POST {SALE}/drills/{{drill_id}}/answers": (a_drill_answer_ready, "sale.drill_answered"),
    f"POST {SALE}/announcements": (an_announcement_ready, "sale.announced"),
    f"{ENTRY}/qualifications": (a_qualification_ready, "sale.qualified"),
    f"POST {SALE}/deposit-reconciliations": (a_reconciliation_ready, "sale.deposits_reconciled"),
    f"POST {SALE}/sealed-bids/{{receipt_id}}/withdrawals": (
        a_bid_withdrawal_ready,
        "sale.sealed_bid_withdrawn",
    ),
    f"POST {SALE}/openings/{{opening_id}}/shares": (a_share_ready, "session_share"),
    f"POST {SALE}/confirmations": (a_confirmation_ready, "sale.confirmed"),
    f"{SETTLEMENT}/contracts": (a_contract_ready, "sale.contract_signed"),
    f"{SETTLEMENT}/payments": (a_payment_ready, "payment.recorded"),
    f"{SETTLEMENT}/deliveries": (a_delivery_ready, "sale.delivered"),
    f"{SETTLEMENT}/defaults": (a_default_ready, "sale.defaulted"),
    f"{SETTLEMENT}/forfeit-remittances": (a_remittance_ready, "forfeit.remitted"),
    f"POST {SALE}/archivings": (an_archiving_ready, "sale.archived"),
    "POST /v1/bank-files": (a_bank_file_ready, "bank_file.kept"),
    "POST /v1/bank-bookings/{booking_id}/allocations": (
        an_allocation_ready,
        "sale.deposit_confirmed",
    ),
    "POST /v1/bank-bookings/{booking_id}/returns": (a_return_ready, "stray.return_decided"),
}
