"""One paper of each kind, as its page needs it; name what a test is about."""

from typing import Any

from builders import NOON, a_project_code, a_uscc
from marketkit.signing import b64
from marketkit.units import YUAN, format_instant
from saleroom.papers.rules import (
    BidReceipt,
    DealConfirmation,
    DepositReceipt,
    PaymentNotice,
    in_words,
)

SALE, ID = "01ARZ3NDEKTSV4RRFFQ69G5FAV", "01ARZ3NDEKTSV4RRFFQ69G5FB0"


def a_head(kind: str, number: str, **party: str) -> dict[str, Any]:
    return {
        "kind": kind,
        "id": ID,
        "paper_no": f"{number}〔2022〕{ID}号",
        "issuer": "东营市公共资源交易中心",
        "issued_on": "2022-06-01",
        "sale": {
            "sale_id": SALE,
            "title": "2022年第一批能耗指标市场竞购公告",
            "asset": "ENERGY",
            "unit": "tce",
            "seller": "山东省能耗指标收储库",
            "policy_version": "2022-01-01+00000000",
        },
        "party": {
            "name": "东营示例新材料有限公司",
            "uscc": a_uscc(1),
            "project_code": a_project_code(1),
            **party,
        },
    }


def a_bid_receipt(**party: str) -> BidReceipt:
    return BidReceipt.model_validate(
        a_head("bid-receipt", "报回", **party)
        | {
            "version": 1,
            "received_at": format_instant(NOON.replace(microsecond=123)),
            "commitment": b64(bytes(range(32))),
            "bid_sm3": b64(bytes(range(100, 132))),
            "kid": "0123456789abcdef",
        }
    )


def a_deposit_receipt(**party: str) -> DepositReceipt:
    return DepositReceipt.model_validate(
        a_head("deposit-receipt", "保收", **party)
        | {
            "amount_yuan": "400000.00",
            "amount_in_words": in_words(40_000_000),
            "booked_at": format_instant(NOON),
            "bank_serial": "20220601370500000123",
        }
    )


def a_deal_confirmation(step_count: int = 2, **party: str) -> DealConfirmation:
    """Each step buys 1,000 t at 226.50."""
    deal = {"quantity": "1000.000", "price_yuan": "226.50", "amount_yuan": "226500.00"}
    amount_fen = 22_650_000 * step_count
    return DealConfirmation.model_validate(
        a_head("deal-confirmation", "成确", **party)
        | {
            "format": "SEALED",
            "price_rule": "LOWEST_ACCEPTED",
            "deals": [deal | {"bid_id": f"{ID}-{n + 1}"} for n in range(step_count)],
            "quantity": f"{1000 * step_count}.000",
            "amount_yuan": YUAN.format(amount_fen),
            "amount_in_words": in_words(amount_fen),
            "confirmed_at": format_instant(NOON),
            "pay_by": "2022-06-08T12:00:00+08:00",
        }
    )


def a_payment_notice(due_fen: int = 186_500_000, **party: str) -> PaymentNotice:
    return PaymentNotice.model_validate(
        a_head("payment-notice", "缴通", **party)
        | {
            "quantity": "10000.000",
            "amount_yuan": YUAN.format(due_fen + 40_000_000),
            "deposit_yuan": "400000.00",
            "converted_yuan": "400000.00",
            "refund_yuan": "0.00",
            "due_yuan": YUAN.format(due_fen),
            "due_in_words": in_words(due_fen),
            "pay_by": "2022-06-08T12:00:00+08:00",
        }
    )
