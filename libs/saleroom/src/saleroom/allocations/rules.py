"""What money on the escrow account may be: a deposit, a payment, a refund's transfer. Pure."""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple

from marketkit.errors import Conflict, RuleBroken
from saleroom.bookings.rules import Line, check_payer, folded
from saleroom.entries.rules import (
    AlreadyReconciled,
    BookedInFuture,
    DepositAlreadyRecorded,
    RegistrationStateNotAllowed,
    check_deposit,
)
from saleroom.notices.rules import SaleStateNotAllowed
from saleroom.settlements.rules import SettlementStateNotAllowed, check_payment

Use = Literal["DEPOSIT", "PAYMENT"]

_REFUND_NO = re.compile(r"(?<![0-9A-Z])[0-9A-HJKMNP-TV-Z]{26}(?![0-9A-Z])", re.ASCII)


class MoneyDecided(Conflict):
    title = "该笔款项已入账、已决定退回或不是收入款项"


class SubAccountUnknown(RuleBroken):
    title = "子账号不存在"


class RefundUnknown(RuleBroken):
    title = "摘要中没有本系统的退款编号"


class RefundNotAsListed(RuleBroken):
    title = "付款金额、户名或账号与退款清单不一致"


class RefundReturnedAlready(Conflict):
    title = "该笔退款此前已由银行付出"


@dataclass(frozen=True)
class Payee:
    """Whose a sub-account is, and what is still awaited on it."""

    name: str
    sale_state: str
    is_reconciled: bool
    deposit_due_at: datetime
    registration_state: str
    registered_at: datetime
    deposit_state: str
    deposit_due_fen: int
    settlement_state: str | None = None
    due_fen: int = 0
    pay_by: datetime | None = None


class Owed(NamedTuple):
    """What a refund's transfer must say: how much, to whom."""

    total_fen: int
    name: str
    account: str | None
    is_returned: bool


def use_of(line: Line, payee: Payee | None, at: datetime) -> Use:
    """What money that came in is: a deposit or a payment.

    Raises:
        BookedInFuture: the bank cannot have booked it yet.
        SubAccountUnknown: no participant has this number.
        ThirdPartyPayer: another paid than registered; `notice`.
        SettlementStateNotAllowed: a contract that awaits no money.
        PaymentAmountWrong, PaymentLate: `notice`.
        SaleStateNotAllowed, AlreadyReconciled: a sale that takes no deposit.
        RegistrationStateNotAllowed: it was refused or withdrawn.
        DepositAlreadyRecorded: it has one.
        DepositEarly, DepositAmountWrong, DepositLate: `notice`.
    """
    if line.booked_at > at:
        raise BookedInFuture()
    if payee is None:
        raise SubAccountUnknown()
    check_payer(line.other_name, payee.name)
    if payee.settlement_state is not None:
        _check_payment(line, payee, at)
        return "PAYMENT"
    _check_deposit(line, payee, at)
    return "DEPOSIT"


def _check_payment(line: Line, payee: Payee, at: datetime) -> None:
    if payee.settlement_state != "SIGNED":
        raise SettlementStateNotAllowed()
    assert payee.pay_by is not None
    check_payment(
        due_fen=payee.due_fen,
        amount_fen=line.amount_fen,
        booked_at=line.booked_at,
        pay_by=payee.pay_by,
        at=at,
    )


def _check_deposit(line: Line, payee: Payee, at: datetime) -> None:
    if payee.sale_state not in {"ANNOUNCED", "OPEN", "CLOSED"}:
        raise SaleStateNotAllowed()
    if payee.is_reconciled:
        raise AlreadyReconciled()
    if payee.registration_state not in {"REGISTERED", "QUALIFIED"}:
        raise RegistrationStateNotAllowed()
    if payee.deposit_state != "PENDING":
        raise DepositAlreadyRecorded()
    check_deposit(
        due_fen=payee.deposit_due_fen,
        amount_fen=line.amount_fen,
        booked_at=line.booked_at,
        registered_at=payee.registered_at,
        due_at=payee.deposit_due_at,
        at=at,
    )


def check_refund(line: Line, owed: Owed | None, at: datetime) -> None:
    """Return if money that went out is the refund whose number it bears.

    Raises:
        BookedInFuture: the bank cannot have booked it yet.
        RefundUnknown: its memo is no refund's number.
        RefundReturnedAlready: the bank paid it before.
        RefundNotAsListed: another sum, name or account.
    """
    if line.booked_at > at:
        raise BookedInFuture()
    if owed is None:
        raise RefundUnknown()
    if owed.is_returned:
        raise RefundReturnedAlready()
    if (
        line.amount_fen != owed.total_fen
        or folded(line.other_name or "") != folded(owed.name)
        or owed.account not in {None, line.other_account}
    ):
        raise RefundNotAsListed()


def refund_no(memo: str) -> str:
    """The refund's number that a transfer bears, whatever the bank wrote around it; or nothing."""
    found = _REFUND_NO.search(memo)
    return found[0] if found else ""
