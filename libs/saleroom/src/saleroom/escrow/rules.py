"""Where the money of the escrow account lies at an instant, and what does not agree. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

from marketkit.errors import Conflict

TITLES = {
    "SUM_MISMATCH": "收入合计与各项去向合计不等",
    "MONEY_MISMATCH": "该单位入账款项与其保证金、价款记录不等",
    "MONEY_UNALLOCATED": "款项尚未处理",
    "OUT_UNKNOWN": "银行付出款项没有对应的退款或缴库",
    "REFUND_MISMATCH": "银行付出的退款与退款清单金额不等",
    "REFUND_OVERDUE": "退款已逾期",
    "RECEIPT_MISMATCH": "已交割的价款与缴库凭证金额不等",
    "CREDIT_MISMATCH": "台账入账数量与成交、交割记录不等",
    "FORFEIT_NOT_REMITTED": "没收的保证金尚未缴库",
}
# From its announcement to its opening who takes part in a sale is known to few.
SEALED = ("ANNOUNCED", "OPEN", "CLOSED", "SUSPENDED")


class ForfeitRemittedAlready(Conflict):
    title = "没收的保证金已缴库"


class Booked(NamedTuple):
    """One booking of the bank: `used_at` is when it became what it is, if it did."""

    id: str
    direction: str
    use: str
    amount_fen: int
    booked_at: datetime
    used_at: datetime | None
    memo: str = ""
    bank_serial: str = ""


class Owing(NamedTuple):
    """Money that goes back, and the bank's transfer of it."""

    refund_no: str
    amount_fen: int
    interest_fen: int
    ordered_at: datetime
    due_at: datetime
    returned_at: datetime | None
    bank_serial_out: str | None = None
    cause: str = "DEPOSIT"


class Receipt(NamedTuple):
    """The treasury's receipt of a PRICE or a FORFEIT."""

    receipt_no: str
    cause: str
    amount_fen: int
    received_at: datetime


class Contract(NamedTuple):
    state: str
    amount_fen: int
    quantity_minor: int
    paid_at: datetime | None
    ended_at: datetime | None


@dataclass
class Party:
    """All that is recorded of one participant's money."""

    sale_id: str
    registration_id: str
    deposit_state: str
    deposit_fen: int
    contract: Contract | None = None
    bookings: list[Booked] = field(default_factory=list)
    refunds: list[Owing] = field(default_factory=list)
    receipts: list[Receipt] = field(default_factory=list)
    credited_minor: int = 0


@dataclass
class Sums:
    """Where money lies, in fen; all but `received` and `interest` are parts of what came in."""

    received: int = 0
    deposits: int = 0
    prices: int = 0
    forfeits: int = 0
    unallocated: int = 0
    to_return: int = 0
    returned: int = 0
    remitted: int = 0
    interest: int = 0
    paid_out: int = 0

    @property
    def placed(self) -> int:
        return (
            self.deposits + self.prices + self.forfeits + self.unallocated
            + self.to_return + self.returned + self.remitted
        )  # fmt: skip


class Mismatch(NamedTuple):
    """One thing that does not agree: what was expected, what was found, in fen or minor units."""

    code: str
    expected: int
    found: int
    sale_id: str = ""
    registration_id: str = ""
    booking_id: str = ""
    refund_no: str = ""


def sums_of(
    parties: Iterable[Party], strays: Sequence[Booked], returns: Sequence[Owing], until: datetime
) -> Sums:
    """Where the money lies that the bank had booked before `until`.

    Args:
        parties: Participants, with the bookings that are theirs.
        strays: Bookings that are no participant's deposit or payment, of whichever direction.
        returns: Refunds of such bookings.
        until: The first instant that no longer counts.
    """
    sums = Sums()
    for party in parties:
        _add_party(sums, party, until)
    for booked in strays:
        if booked.booked_at >= until:
            continue
        if booked.direction == "OUT":
            sums.paid_out += booked.amount_fen
            continue
        sums.received += booked.amount_fen
        if booked.use != "RETURN" or not _was(booked.used_at, until):
            sums.unallocated += booked.amount_fen
    _add_refunds(sums, returns, until)
    return sums


def _was(at: datetime | None, until: datetime) -> bool:
    return at is not None and at < until


def _add_party(sums: Sums, party: Party, until: datetime) -> None:
    for booked in party.bookings:
        if booked.booked_at < until:
            sums.received += booked.amount_fen
            # It came in before, and was recorded as somebody's after.
            sums.unallocated += 0 if _was(booked.used_at, until) else booked.amount_fen
    refunds = [one for one in party.refunds if one.ordered_at < until]
    _add_refunds(sums, refunds, until)
    if not any(_was(one.used_at, until) for one in party.bookings if one.use == "DEPOSIT"):
        return
    contract = party.contract
    if contract is not None and _was(contract.paid_at, until):
        _add_remittable(sums, party, "PRICE", contract.amount_fen, until)
    elif contract and contract.state == "DEFAULTED" and _was(contract.ended_at, until):
        _add_remittable(sums, party, "FORFEIT", party.deposit_fen, until)
    elif not refunds and party.deposit_state != "PENDING":
        sums.deposits += party.deposit_fen


def _add_remittable(sums: Sums, party: Party, cause: str, amount_fen: int, until: datetime) -> None:
    remitted = sum(
        one.amount_fen for one in party.receipts if one.cause == cause and one.received_at < until
    )
    sums.remitted += remitted
    if cause == "PRICE":
        sums.prices += amount_fen - remitted
    else:
        sums.forfeits += amount_fen - remitted


def _add_refunds(sums: Sums, refunds: Iterable[Owing], until: datetime) -> None:
    for one in refunds:
        if one.ordered_at >= until:
            continue
        if _was(one.returned_at, until):
            sums.returned += one.amount_fen
            sums.interest += one.interest_fen
        else:
            sums.to_return += one.amount_fen


def mismatches_of(
    parties: Sequence[Party], strays: Sequence[Booked], returns: Sequence[Owing], until: datetime
) -> list[Mismatch]:
    """Each thing that does not agree, participant by participant, then the rest, then the whole.

    A refund is overdue from the day after the one on which it was due.
    """
    found = [one for party in parties for one in _of_party(party, until)]
    outgoing = {one.bank_serial: one for one in strays if one.direction == "OUT"}
    every = [(party, one) for party in parties for one in party.refunds]
    for party, refund in [*every, *((None, one) for one in returns)]:
        found += _of_refund(party, refund, outgoing, until)
    receipts = {(one.receipt_no, one.amount_fen) for party in parties for one in party.receipts}
    found += _of_strays(strays, receipts, until)
    sums = sums_of(parties, strays, returns, until)
    if sums.received != sums.placed:
        found.append(Mismatch("SUM_MISMATCH", sums.received, sums.placed))
    return found


def _of_party(party: Party, until: datetime) -> Iterator[Mismatch]:
    own = Sums()
    _add_party(own, party, until)
    where = {"sale_id": party.sale_id, "registration_id": party.registration_id}
    if own.received != own.placed:
        yield Mismatch("MONEY_MISMATCH", own.received, own.placed, **where)
    contract = party.contract
    is_delivered = contract is not None and contract.state == "DELIVERED"
    delivered = is_delivered and contract is not None and _was(contract.ended_at, until)
    price = contract.amount_fen if delivered and contract else 0
    received = sum(
        one.amount_fen for one in party.receipts if one.cause == "PRICE" and one.received_at < until
    )
    if price != received:
        yield Mismatch("RECEIPT_MISMATCH", price, received, **where)
    quantity = contract.quantity_minor if delivered and contract else 0
    if quantity != party.credited_minor:
        yield Mismatch("CREDIT_MISMATCH", quantity, party.credited_minor, **where)
    if own.forfeits:
        yield Mismatch("FORFEIT_NOT_REMITTED", own.forfeits, 0, **where)


def _of_refund(
    party: Party | None, refund: Owing, outgoing: dict[str, Booked], until: datetime
) -> Iterator[Mismatch]:
    owed = refund.amount_fen + refund.interest_fen
    where = {"refund_no": refund.refund_no}
    if party is not None:
        where |= {"sale_id": party.sale_id, "registration_id": party.registration_id}
    if _was(refund.returned_at, until):
        paid = outgoing.get(refund.bank_serial_out or "")
        if paid is None or paid.amount_fen != owed:
            yield Mismatch("REFUND_MISMATCH", owed, paid.amount_fen if paid else 0, **where)
    elif refund.due_at < until - timedelta(days=1):
        yield Mismatch("REFUND_OVERDUE", owed, 0, **where)


def _of_strays(
    strays: Sequence[Booked], receipts: set[tuple[str, int]], until: datetime
) -> Iterator[Mismatch]:
    for one in strays:
        if one.booked_at >= until or one.use != "UNALLOCATED":
            continue
        if one.direction == "IN":
            yield Mismatch("MONEY_UNALLOCATED", 0, one.amount_fen, booking_id=one.id)
        elif (one.memo, one.amount_fen) not in receipts:
            yield Mismatch("OUT_UNKNOWN", 0, one.amount_fen, booking_id=one.id)
