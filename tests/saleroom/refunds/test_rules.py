"""The list the bank gets: a row a refund, in the bank's words."""

from builders import NOON
from marketkit.units import YUAN
from saleroom.refunds.rules import HEADER, RefundOut, Refunds, sheet_of


def a_refund(**changes: object) -> RefundOut:
    said: dict[str, object] = {
        "refund_no": "01M85BJR204TW3R95ZX2FJHYE5",
        "cause": "DEPOSIT",
        "sale_id": "sale",
        "registration_id": "one",
        "payee_name": "东营示例有限公司",
        "payee_account": "6222000000000000123",
        "amount_yuan": "400000.00",
        "interest_yuan": "46.03",
        "total_yuan": "400046.03",
        "ordered_at": NOON,
        "due_at": NOON,
        "bank_serial": "S1",
        "returned_at": None,
        "bank_serial_out": None,
    }
    return RefundOut.model_validate(said | changes)


def test_a_refund_is_one_row() -> None:
    header, row = sheet_of(Refunds(items=[a_refund()]))
    assert header == list(HEADER)
    assert row == [
        "01M85BJR204TW3R95ZX2FJHYE5",
        "东营示例有限公司",
        "6222000000000000123",
        "400046.03",
        "46.03",
        "2022-06-01",
        "退还保证金",
        "S1",
        "",
    ]


def test_an_account_nobody_knows_is_left_to_be_filled_in() -> None:
    _, row = sheet_of(Refunds(items=[a_refund(payee_account=None, cause="STRAY")]))
    assert (row[2], row[6]) == ("", "退回无法入账款项")
    assert a_refund().total_yuan == YUAN.parse("400046.03")
