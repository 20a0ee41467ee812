"""When the record of a deposit or a payment may still be taken back. Pure."""

from marketkit.errors import Conflict


class ReversalNotAllowed(Conflict):
    title = "该笔款项当前状态不能冲正"


def check_deposit_reversal(sale_state: str, deposit_state: str, *, is_reconciled: bool) -> None:
    """Return if no bid was judged by this deposit yet.

    Raises:
        ReversalNotAllowed: deposits are reconciled, or this one is no longer just held.
    """
    is_before = sale_state in {"ANNOUNCED", "OPEN", "CLOSED", "SUSPENDED"}
    if not is_before or is_reconciled or deposit_state != "CONFIRMED":
        raise ReversalNotAllowed()


def check_payment_reversal(settlement_state: str | None, *, is_remitted: bool) -> None:
    """Return if the price has not gone on to the treasury, for a delivery since reversed either.

    Raises:
        ReversalNotAllowed: the contract is not just paid, or its price is remitted.
    """
    if settlement_state != "PAID" or is_remitted:
        raise ReversalNotAllowed()
