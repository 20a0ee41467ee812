"""What a winner owes, by when, and when a contract may take its next step. Pure."""

from datetime import datetime, timedelta

from marketkit.errors import Conflict, NotFound, RuleBroken


class SettlementUnknown(NotFound):
    title = "成交记录不存在"


class SettlementStateNotAllowed(Conflict):
    title = "成交记录当前状态不允许此操作"


class PaymentAmountWrong(RuleBroken):
    title = "付款金额与应付余款不一致"
    article = "notice"


class PaymentLate(RuleBroken):
    title = "付款入账时间晚于付款期限"
    article = "notice"


class PaymentBookedInFuture(RuleBroken):
    title = "银行入账时间晚于当前时间"


class TreasuryReceiptDiffers(Conflict):
    title = "该价款已凭另一缴库凭证入库，须登记同一凭证号"


class PublicityNotEnded(Conflict):
    title = "成交结果公示期未满，不能确认成交"
    article = "notice"


class SigningLate(Conflict):
    title = "签约付款期限已过，不能再签约"
    article = "notice"


class NotYetDefaulted(Conflict):
    title = "付款期限未到，不能认定违约"
    article = "notice"


def due_fen(amount_fen: int, deposit_fen: int) -> int:
    """What is still to be paid when the deposit counts as part of the price."""
    return max(0, amount_fen - deposit_fen)


def converted_fen(amount_fen: int, deposit_fen: int) -> int:
    """How much of the deposit becomes price; the rest goes back."""
    return min(amount_fen, deposit_fen)


def check_payment(
    *, due_fen: int, amount_fen: int, booked_at: datetime, pay_by: datetime, at: datetime
) -> None:
    """Return if the booked money is what the winner still owes, in time.

    Raises:
        PaymentBookedInFuture: the bank cannot have booked it yet.
        PaymentAmountWrong: not to the fen what is due; `notice`.
        PaymentLate: booked after the last instant; `notice`.
    """
    if booked_at > at:
        raise PaymentBookedInFuture()
    if amount_fen != due_fen:
        raise PaymentAmountWrong()
    if booked_at > pay_by:
        raise PaymentLate()


def check_receipt(receipt_no: str, *, remitted: str) -> None:
    """Return if a price that was remitted before a delivery was reversed keeps its receipt.

    Raises:
        TreasuryReceiptDiffers: the price was remitted once, and under another number.
    """
    if remitted != receipt_no:
        raise TreasuryReceiptDiffers()


def check_publicity(cleared_at: datetime, publicity_days: int, at: datetime) -> None:
    """Return if the result has been public for the days the notice says; their end is the end.

    Raises:
        PublicityNotEnded: anyone may still object; `notice`.
    """
    if at < cleared_at + timedelta(days=publicity_days):
        raise PublicityNotEnded()


def check_signing(pay_by: datetime, at: datetime) -> None:
    """Return if the winner may still sign; the last instant itself is in time.

    Whoever could not pay in time any more need not sign: only the default is left.

    Raises:
        SigningLate: the time to sign and pay is over; `notice`.
    """
    if at > pay_by:
        raise SigningLate()


def check_default(pay_by: datetime, at: datetime) -> None:
    """Return if the winner's time has run out; the last instant itself is in time.

    Raises:
        NotYetDefaulted: the winner may still sign and pay; `notice`.
    """
    if at <= pay_by:
        raise NotYetDefaulted()
