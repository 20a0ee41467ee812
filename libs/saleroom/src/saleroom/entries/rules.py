"""Who may enter a sale, and when a deposit counts. Pure: no clock, no database."""

from datetime import datetime

from marketkit.errors import Conflict, NotFound, RuleBroken
from marketkit.units import day_of


class RegistrationUnknown(NotFound):
    title = "报名不存在"


class RegistrationClosed(Conflict):
    title = "报名已截止或尚未开始"
    article = "notice"


class AlreadyRegistered(Conflict):
    title = "该单位已报名本场交易"
    article = "notice"


class RegistrationStateNotAllowed(Conflict):
    title = "报名当前状态不允许此操作"


class RefusalReasonMissing(RuleBroken):
    title = "资格审查不通过须说明理由"


class QuantityNotOffered(RuleBroken):
    title = "最高申购数量须为交易单位的整数倍，且不超过出让数量与购买上限"
    article = "notice"


class DepositAlreadyRecorded(Conflict):
    title = "保证金已登记"


class DepositAmountWrong(RuleBroken):
    title = "保证金金额与应缴金额不一致"
    article = "notice"


class DepositEarly(RuleBroken):
    title = "保证金入账日早于报名日"


class DepositLate(RuleBroken):
    title = "保证金到账时间晚于截止时间"
    article = "notice"


class BookedInFuture(RuleBroken):
    title = "银行入账时间晚于当前时间"


class ReconciliationTooEarly(Conflict):
    title = "保证金截止时间未到，不能确认对账"
    article = "notice"


class AlreadyReconciled(Conflict):
    title = "保证金已完成对账"


def deposit_due_fen(floor_fen: int, quantity_minor: int, scale: int, ratio_bp: int) -> int:
    """Floor price × quantity × ratio, rounded up to the fen: never less than the notice asks."""
    return -(-floor_fen * quantity_minor * ratio_bp // (scale * 10_000))


def check_quantity(
    quantity_minor: int, *, lot_minor: int, supply_minor: int, limit_minor: int | None
) -> None:
    """Return if a participant may register for so much.

    Raises:
        QuantityNotOffered: no whole lots, or more than is offered to one; `notice`.
    """
    most = supply_minor if limit_minor is None else min(supply_minor, limit_minor)
    if quantity_minor % lot_minor or not 0 < quantity_minor <= most:
        raise QuantityNotOffered()


def check_registration_time(state: str, closes_at: datetime, at: datetime) -> None:
    """Return if registrations are taken in.

    Raises:
        RegistrationClosed: `at` is not before the close, or the sale is not announced or open.
    """
    if state not in {"ANNOUNCED", "OPEN"} or at >= closes_at:
        raise RegistrationClosed()


def check_verdict(verdict: str, reason: str | None) -> None:
    """Return if a participant is told why it may not bid.

    Raises:
        RefusalReasonMissing: refused without a reason.
    """
    if verdict == "REFUSED" and not reason:
        raise RefusalReasonMissing()


def check_deposit(
    *,
    due_fen: int,
    amount_fen: int,
    booked_at: datetime,
    registered_at: datetime,
    due_at: datetime,
    at: datetime,
) -> None:
    """Return if the booked money is this participant's deposit, in time.

    Raises:
        BookedInFuture: the bank cannot have booked it yet.
        DepositEarly: booked before the day it registered, from which it would bear interest.
        DepositAmountWrong: not to the fen what is due; `notice`.
        DepositLate: booked after the deposit was due; `notice`.
    """
    if booked_at > at:
        raise BookedInFuture()
    if day_of(booked_at) < day_of(registered_at):
        raise DepositEarly()
    if amount_fen != due_fen:
        raise DepositAmountWrong()
    if booked_at > due_at:
        raise DepositLate()
