"""The escrow account is compared with treasury and ledger; a forfeit's receipt is recorded."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from typing import Any

from sqlmodel import col, func, select

from contracts import escrow
from marketkit.db import Session, instant
from marketkit.errors import InputInvalid
from marketkit.ledger import MovementRow, Transfer
from marketkit.outbox import tell
from marketkit.units import SHANGHAI, YUAN, AmountYuanOrZero, Day, Form, day_of
from saleroom.bookings.actions import keep_receipt
from saleroom.bookings.tables import BankBooking, Refund, TreasuryReceipt
from saleroom.deliveries.actions import DeliveryIn
from saleroom.entries.tables import Deposit, Registration
from saleroom.escrow.rules import (
    SEALED,
    TITLES,
    Booked,
    Contract,
    ForfeitRemittedAlready,
    Mismatch,
    Owing,
    Party,
    Receipt,
    Sums,
    mismatches_of,
    sums_of,
)
from saleroom.notices.rules import SaleStateNotAllowed, SaleUnknown
from saleroom.notices.tables import Sale
from saleroom.settlements.actions import SettlementOut, settled, settlement_out
from saleroom.settlements.rules import SettlementStateNotAllowed
from saleroom.settlements.tables import Settlement

# What a booking is when it is a participant's.
OWN = ("DEPOSIT", "PAYMENT")


class MismatchOut(Form):
    """One thing that does not agree; amounts in yuan, a credit's in the asset's minor unit."""

    code: str
    title: str
    sale_id: str | None
    registration_id: str | None
    booking_id: str | None
    refund_no: str | None
    expected: str
    found: str


class Reconciliation(Form):
    """Where the escrow account's money lies at the end of a day, and what does not agree.

    `received` is the sum of deposits held, prices and forfeits in escrow, unallocated, to be
    returned, returned and remitted. `is_partial`: without sales that are not opened yet.
    """

    as_of_on: Day
    sale_id: str | None
    is_partial: bool
    received_yuan: AmountYuanOrZero
    deposits_yuan: AmountYuanOrZero
    prices_yuan: AmountYuanOrZero
    forfeits_yuan: AmountYuanOrZero
    unallocated_yuan: AmountYuanOrZero
    to_return_yuan: AmountYuanOrZero
    returned_yuan: AmountYuanOrZero
    remitted_yuan: AmountYuanOrZero
    interest_yuan: AmountYuanOrZero
    paid_out_yuan: AmountYuanOrZero
    is_matched: bool
    mismatches: list[MismatchOut]


async def remit_forfeit(
    session: Session, sale_id: str, registration_id: str, form: DeliveryIn
) -> SettlementOut:
    """Record the treasury's receipt of a forfeited deposit.

    Raises:
        SaleUnknown, SettlementUnknown: no such sale or contract.
        SettlementStateNotAllowed: nothing is forfeited.
        ForfeitRemittedAlready: it has its receipt.
        TreasuryReceiptUsed: the receipt stands elsewhere.
    """
    sale, settlement, deposit, at = await settled(session, sale_id, registration_id)
    if settlement.state != "DEFAULTED":
        raise SettlementStateNotAllowed()
    query = select(TreasuryReceipt.receipt_no).where(
        TreasuryReceipt.registration_id == registration_id, TreasuryReceipt.cause == "FORFEIT"
    )
    if (await session.exec(query)).first() is not None:
        raise ForfeitRemittedAlready()
    receipt = TreasuryReceipt(
        receipt_no=form.treasury_receipt_no,
        registration_id=registration_id,
        sale_id=sale.id,
        cause="FORFEIT",
        amount_fen=deposit.amount_fen,
        received_at=at,
    )
    await keep_receipt(session, receipt)
    fact = escrow.ForfeitRemitted(
        registration_id=registration_id,
        amount_yuan=YUAN.edge(deposit.amount_fen),
        treasury_receipt_no=form.treasury_receipt_no,
    )
    await tell(session, fact, key=sale.id, policy_version=sale.policy_version, at=at)
    return settlement_out(sale, settlement, deposit)


async def reconcile_escrow(
    session: Session, sale_id: str | None, as_of_on: date | None, *, sees_sealed: bool
) -> Reconciliation:
    """The account, or one sale's part of it, at the end of a day, today if none is named.

    Raises:
        InputInvalid: a day to come.
        SaleUnknown: no such sale.
        SaleStateNotAllowed: who asks may not know yet who takes part.
    """
    today = day_of(await instant(session))
    day = as_of_on or today
    if day > today:
        raise InputInvalid("对账日期晚于今日")
    until = datetime.combine(day + timedelta(days=1), time(), SHANGHAI)
    sealed = await _sealed(session, sale_id)
    if sale_id is not None and sealed and not sees_sealed:
        raise SaleStateNotAllowed()
    hidden = set() if sees_sealed else sealed
    parties = await _parties(session, sale_id, hidden, until)
    strays = await _strays(session, sale_id, hidden)
    returns = await _returns(session, sale_id, hidden)
    sums = sums_of(parties, strays, returns, until)
    found = mismatches_of(parties, strays, returns, until)
    return _out(day, sale_id, sums, found, is_partial=bool(hidden))


async def _sealed(session: Session, sale_id: str | None) -> set[str]:
    if sale_id is not None and await session.get(Sale, sale_id) is None:
        raise SaleUnknown()
    query = select(Sale.id).where(col(Sale.state).in_(SEALED))
    found = set((await session.exec(query)).all())
    return found if sale_id is None else found & {sale_id}


def _within(table: Any, sale_id: str | None, hidden: set[str]) -> list[Any]:
    """Rows of one sale; or of all but hidden sales, and but those of no sale: whose are they?"""
    if sale_id is not None:
        return [table.sale_id == sale_id]
    return [col(table.sale_id).is_not(None), col(table.sale_id).not_in(hidden)] if hidden else []


async def _parties(
    session: Session, sale_id: str | None, hidden: set[str], until: datetime
) -> list[Party]:
    entered = await session.exec(
        select(Registration, Deposit, Settlement)
        .join(Deposit, col(Deposit.registration_id) == col(Registration.id))
        .outerjoin(Settlement, col(Settlement.registration_id) == col(Registration.id))
        .where(*_within(Registration, sale_id, hidden))
        .order_by(col(Registration.id))
    )
    bookings = await _by_party(session, BankBooking, sale_id, hidden)
    refunds = await _by_party(session, Refund, sale_id, hidden)
    receipts = await _by_party(session, TreasuryReceipt, sale_id, hidden)
    credited = await _credited(session, sale_id, until)
    return [
        Party(
            sale_id=one.sale_id,
            registration_id=one.id,
            deposit_state=deposit.state,
            deposit_fen=deposit.amount_fen,
            contract=_contract(settlement) if settlement else None,
            bookings=[_booked(row) for row in bookings[one.id] if row.use in OWN],
            refunds=[_owing(row) for row in refunds[one.id] if row.cause != "STRAY"],
            receipts=[
                Receipt(row.receipt_no, row.cause, row.amount_fen, row.received_at)
                for row in receipts[one.id]
            ],
            credited_minor=credited.get(
                (one.sale_id, f"enterprise:{one.uscc}:{one.project_code}"), 0
            ),
        )
        for one, deposit, settlement in entered.all()
    ]


async def _by_party(
    session: Session, table: Any, sale_id: str | None, hidden: set[str]
) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = defaultdict(list)
    for row in (await session.exec(select(table).where(*_within(table, sale_id, hidden)))).all():
        found[row.registration_id or ""].append(row)
    return found


async def _credited(
    session: Session, sale_id: str | None, until: datetime
) -> dict[tuple[str, str], int]:
    """By sale and account, what the ledger posted to buyers for sales and took back of it."""
    query = (
        select(Transfer.key, MovementRow.account, func.sum(MovementRow.posted))
        .join(Transfer, col(Transfer.id) == col(MovementRow.transfer_id))
        .where(
            col(MovementRow.account).startswith("enterprise:"),
            Transfer.booked_at < until,
            Transfer.key == sale_id if sale_id else col(Transfer.kind).in_(("SALE", "REVERSAL")),
        )
        .group_by(col(Transfer.key), col(MovementRow.account))
    )
    return {(key, account): int(sum_) for key, account, sum_ in (await session.exec(query)).all()}


async def _strays(session: Session, sale_id: str | None, hidden: set[str]) -> list[Booked]:
    query = select(BankBooking).where(
        col(BankBooking.use).not_in(OWN), *_within(BankBooking, sale_id, hidden)
    )
    found = await session.exec(query.order_by(col(BankBooking.booked_at), col(BankBooking.id)))
    return [_booked(row) for row in found.all()]


async def _returns(session: Session, sale_id: str | None, hidden: set[str]) -> list[Owing]:
    query = select(Refund).where(Refund.cause == "STRAY", *_within(Refund, sale_id, hidden))
    return [_owing(row) for row in (await session.exec(query.order_by(col(Refund.id)))).all()]


def _booked(row: BankBooking) -> Booked:
    return Booked(**{name: getattr(row, name) for name in Booked._fields})


def _owing(row: Refund) -> Owing:
    named = {name: getattr(row, name) for name in Owing._fields if name != "refund_no"}
    return Owing(refund_no=row.id, **named)


def _contract(row: Settlement) -> Contract:
    return Contract(**{name: getattr(row, name) for name in Contract._fields})


def _out(
    day: date, sale_id: str | None, sums: Sums, found: Sequence[Mismatch], *, is_partial: bool
) -> Reconciliation:
    return Reconciliation(
        as_of_on=day,
        sale_id=sale_id,
        is_partial=is_partial,
        **{f"{name}_yuan": YUAN.edge(amount) for name, amount in vars(sums).items()},
        is_matched=not found,
        mismatches=[_mismatch_out(one) for one in found],
    )


def _mismatch_out(one: Mismatch) -> MismatchOut:
    is_quantity = one.code == "CREDIT_MISMATCH"
    return MismatchOut(
        code=one.code,
        title=TITLES[one.code],
        sale_id=one.sale_id or None,
        registration_id=one.registration_id or None,
        booking_id=one.booking_id or None,
        refund_no=one.refund_no or None,
        expected=str(one.expected) if is_quantity else YUAN.format(one.expected),
        found=str(one.found) if is_quantity else YUAN.format(one.found),
    )
