"""What the bank's list of refunds shows, line by line. Pure."""

from typing import Literal

from marketkit.units import SHANGHAI, YUAN, AmountYuan, AmountYuanOrZero, Form, Instant

Which = Literal["open", "returned"]
HEADER = (
    "退款编号", "收款户名", "收款账号", "退款金额", "其中利息", "最迟退款日", "事由", "原流水号",
    "银行付款流水号",
)  # fmt: skip
CAUSES = {"DEPOSIT": "退还保证金", "EXCESS": "退还保证金余额", "STRAY": "退回无法入账款项"}


class RefundOut(Form):
    """One sum that goes back to where it came from; `refund_no` is what the transfer bears."""

    refund_no: str
    cause: str
    sale_id: str | None
    registration_id: str | None
    payee_name: str
    payee_account: str | None
    amount_yuan: AmountYuan
    interest_yuan: AmountYuanOrZero
    total_yuan: AmountYuan
    ordered_at: Instant
    due_at: Instant
    bank_serial: str
    returned_at: Instant | None
    bank_serial_out: str | None


class Refunds(Form):
    items: list[RefundOut]


def sheet_of(refunds: Refunds) -> list[list[str]]:
    """The list as the bank gets it, its header first. An account nobody knows stays empty."""
    return [list(HEADER)] + [
        [
            one.refund_no,
            one.payee_name,
            one.payee_account or "",
            YUAN.format(one.total_yuan),
            YUAN.format(one.interest_yuan),
            one.due_at.astimezone(SHANGHAI).date().isoformat(),
            CAUSES[one.cause],
            one.bank_serial,
            one.bank_serial_out or "",
        ]
        for one in refunds.items
    ]
