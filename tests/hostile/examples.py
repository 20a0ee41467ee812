"""One good request of every command: whoever adds a command adds a line here."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from builders import COUNTY, a_project_code, a_uscc
from energy_office import (
    a_batch,
    a_pledge,
    a_register,
    a_release,
    a_report,
    a_shutdown,
    a_stock,
    an_issue,
)
from hostile.house import World
from marketkit.signing import b64
from saleroom.sealing import new_key_pair
from toy_market import OPENS, a_draft

Claims = dict[str, Any]
Body = Callable[[World], Any]

CENTER: Claims = {"roles": ["trading_center"]}
BUREAU: Claims = {"roles": ["bureau_officer"], "department": "energy"}
OFFICER: Claims = {"roles": ["key_officer"], "sub": "officer-9"}
ANYONE: Claims = {}
BANK: Claims = {"roles": ["creditor"], "sub": "bank-1", "region_code": "", "uscc": a_uscc(900)}


def an_enterprise(number: int) -> Claims:
    return {
        "roles": ["enterprise"],
        "sub": f"person-of-{number}",
        "region_code": "",
        "uscc": a_uscc(number),
    }


@dataclass(frozen=True)
class Example:
    """A request that is right in form, and what the world answers to it.

    `ids` name which of the world's ids stand in the path. `zeroes` are the fields, by pointer,
    whose quantity may be nothing.
    """

    who: Claims
    answer: int
    body: Body | None = None
    ids: dict[str, str] = field(default_factory=dict)
    path: dict[str, str] = field(default_factory=dict)
    zeroes: frozenset[str] = frozenset()


def given(body: Any) -> Body:
    return lambda world: body


def a_trial(name: str, body: Any) -> Example:
    return Example(ANYONE, 200, given(body), path={"name": name})


A_CLEARING = {
    "supply": "1000.000",
    "floor_price_yuan": "200.00",
    "lot_size": "1.000",
    "price_rule": "LOWEST_ACCEPTED",
    "tie_rule": "TIME",
    "undersubscribed": "SELL",
    "purchase_limit": "1000.000",
    "seed": "00ff",
    "bids": [
        {
            "bid_id": "one",
            "bidder": "企业一",
            "price_yuan": "201.00",
            "quantity": "5.000",
            "submitted_at": "2022-11-08T09:00:00+08:00",
            "min_accept_quantity": "1.000",
        }
    ],
}
MONEY = {
    "amount_yuan": "40000.00",
    "booked_at": OPENS.isoformat(),
    "bank_serial": "S-1",
    "payer_name": "企业2",
    "payer_account": "6222000000000000001",
}
A_SCREENING = {
    "uscc": a_uscc(7),
    "project_code": a_project_code(7),
    "name": "示例项目",
    "is_dual_high": False,
}
AN_ENTRY = {"project_code": a_project_code(3), "name": "企业3", "quantity_max": "1000.000"}
A_REVERSAL = {"booking_id": "one", "document_no": "东公资〔2022〕7号", "reason": "记错单位"}
REASON = {"reason": "材料有误"}
REVERSAL = {"document_no": "鲁发改冲〔2022〕1号（示例）", "reason": "数量有误（示例）"}


def a_notice(world: World) -> Any:
    said = a_draft().model_dump(mode="json") | {"purchase_limit": "1000.000"}
    return said | {"key_officers": list(world.room.officers)}


SALE = "POST /v1/sales/{sale_id}"
ENTRY = SALE + "/registrations/{registration_id}"
SETTLEMENT = SALE + "/settlements/{registration_id}"

ENERGY: dict[str, list[Example]] = {
    "POST /v1/trials/{name}": [
        a_trial("sale.clearing", A_CLEARING),
        a_trial("party.uscc", {"code": a_uscc(1)}),
        replace(
            a_trial("energy.coal_stock", {"stock_t": "152000.000", "daily_burn_t": "8000.000"}),
            zeroes=frozenset({"/stock_t"}),
        ),
        a_trial(
            "energy.shutdown_split", {"case": "IN_CITY", "asset": "ENERGY", "quantity": "80000.000"}
        ),
    ],
    "POST /v1/issues/requests": [Example(BUREAU, 201, given(an_issue(effective_on="2022-06-01")))],
    "POST /v1/issues/requests/{request_id}/confirmations": [Example(BUREAU, 404)],
    "POST /v1/issues/{lot}/reversals/requests": [Example(BUREAU, 404, given(REVERSAL))],
    "POST /v1/issues/{lot}/reversals/requests/{request_id}/confirmations": [Example(BUREAU, 404)],
    "POST /v1/increment-batches": [Example(BUREAU, 409, given(a_batch()))],
    "POST /v1/unit-registers": [Example(BUREAU, 201, given(a_register()))],
    "POST /v1/shutdowns": [
        Example(BUREAU, 201, given(a_shutdown()), zeroes=frozenset({"/coal_t", "/energy_tce"}))
    ],
    "POST /v1/screenings": [
        Example({"roles": ["county_officer"], "region_code": COUNTY}, 201, given(A_SCREENING))
    ],
    "POST /v1/pledges": [Example(an_enterprise(1), 404, given(a_pledge(number=1)))],
    "POST /v1/pledges/{pledge_id}/releases": [Example(BANK, 404, given(a_release()))],
    "POST /v1/reports/coal-stock": [
        Example(
            {"roles": ["county_system"], "region_code": COUNTY},
            200,
            given(a_report(a_stock(revision=1))),
            zeroes=frozenset({"/rows/0/stock_t"}),
        )
    ],
    "POST /v1/key-officers": [
        Example(OFFICER, 200, given({"public_key": b64(new_key_pair().public_key)}))
    ],
    "POST /v1/sales": [
        Example(
            CENTER, 201, a_notice, zeroes=frozenset({"/deposit_ratio_bp", "/deposit_interest_bp"})
        )
    ],
    f"{SALE}/drills": [Example(CENTER, 201, ids={"sale_id": "draft_id"})],
    f"{SALE}/drills/{{drill_id}}/answers": [Example(OFFICER, 404, given({"answer": "AAAA"}))],
    f"{SALE}/announcements": [Example(CENTER, 422, ids={"sale_id": "draft_id"})],
    f"{SALE}/registrations": [Example(an_enterprise(3), 201, given(AN_ENTRY))],
    f"{ENTRY}/withdrawals": [Example(an_enterprise(2), 200)],
    f"{ENTRY}/qualifications": [
        Example(BUREAU, 409, given({"verdict": "REFUSED", "reason": "材料不全"}))
    ],
    f"{ENTRY}/deposits": [
        Example(
            CENTER,
            200,
            given(MONEY | {"payer_name": "企业4"}),
            ids={"registration_id": "paying_id"},
        )
    ],
    f"{SALE}/deposit-reconciliations": [Example(CENTER, 409)],
    f"{SALE}/sealed-bids": [Example(an_enterprise(1), 201, lambda world: world.sealed)],
    f"{SALE}/sealed-bids/{{receipt_id}}/withdrawals": [Example(an_enterprise(1), 404)],
    f"{SALE}/openings/requests": [Example(CENTER, 409)],
    f"{SALE}/openings/requests/{{request_id}}/confirmations": [Example(CENTER, 409)],
    f"{SALE}/openings/{{opening_id}}/shares": [
        Example(OFFICER, 404, given({"session_id": "one", "share": "AAAA"}))
    ],
    f"{SALE}/confirmations": [Example(BUREAU, 409)],
    f"{SETTLEMENT}/contracts": [Example(an_enterprise(1), 404)],
    f"{SETTLEMENT}/payments": [Example(CENTER, 404, given(MONEY))],
    f"{SETTLEMENT}/deliveries": [Example(BUREAU, 404, given({"treasury_receipt_no": "国库1"}))],
    f"{SETTLEMENT}/delivery-reversals/requests": [Example(BUREAU, 404, given(REVERSAL))],
    f"{SETTLEMENT}/delivery-reversals/requests/{{request_id}}/confirmations": [
        Example(BUREAU, 404)
    ],
    f"{SETTLEMENT}/defaults": [Example(CENTER, 404)],
    f"{SETTLEMENT}/forfeit-remittances": [
        Example(BUREAU, 404, given({"treasury_receipt_no": "国库2"}))
    ],
    f"{SALE}/reversals/requests": [Example(CENTER, 404, given(A_REVERSAL))],
    f"{SALE}/reversals/requests/{{request_id}}/confirmations": [Example(CENTER, 404)],
    "POST /v1/bank-bookings/{booking_id}/allocations": [
        Example(CENTER, 404, given({"registration_id": "one"}))
    ],
    "POST /v1/bank-bookings/{booking_id}/returns": [Example(CENTER, 404)],
    f"{SALE}/cancellations/requests": [Example(CENTER, 201, given(REASON))],
    f"{SALE}/suspensions": [Example(CENTER, 200, given(REASON))],
    f"{SALE}/resumptions": [Example(CENTER, 200)],
    f"{SALE}/corrections": [Example(CENTER, 201, given({"text": "更正（示例）"}))],
    f"{ENTRY}/acceptances": [
        Example(
            an_enterprise(1), 200, given({"correction": 1}), ids={"registration_id": "entered_id"}
        )
    ],
    f"{SALE}/archivings": [Example(CENTER, 409)],
    f"{SALE}/cancellations/requests/{{request_id}}/confirmations": [Example(CENTER, 200)],
}

ADMINISTRATOR: Claims = {"roles": ["system_admin"], "sub": "administrator-1"}
SECOND_ADMINISTRATOR: Claims = {"roles": ["security_admin"], "sub": "administrator-2"}
REPLAYS = "POST /v1/replays/requests"

GATEWAY: dict[str, list[Example]] = {
    REPLAYS: [
        Example(ADMINISTRATOR, 404, given({"source": "/370500/nobody", "reason": "已修复（示例）"}))
    ],
    f"{REPLAYS}/{{request_id}}/confirmations": [Example(SECOND_ADMINISTRATOR, 404)],
    "POST /v1/dev-tokens": [
        Example(
            ANYONE,
            200,
            given(
                {
                    "sub": "officer-1",
                    "roles": ["bureau_officer"],
                    "region_code": "370500",
                    "department": "energy",
                    "uscc": a_uscc(1),
                }
            ),
        )
    ],
}
