"""How far each role's word reaches at each door: the other half of what OpenAPI declares.

Whoever adds an endpoint that is not anyone's adds a line here, or the matrix fails.
"""

from typing import Literal, NamedTuple

# city: officers of the whole city; county: officers of one county, of their own;
# own: rows and objects of the caller's region or enterprise; person: no region decides.
Kind = Literal["city", "county", "own", "person"]


class Reach(NamedTuple):
    """What narrows a declared role; `of` says whose-ever object the path's last id names."""

    kind: Kind
    of: str = ""
    is_list: bool = False
    # Roles of this door that no region narrows.
    beyond: frozenset[str] = frozenset()


CITY = Reach("city")
ROWS = Reach("own", is_list=True)
PERSON = Reach("person")
SALE = "/v1/sales/{sale_id}"
ENTRY = SALE + "/registrations/{registration_id}"
SETTLEMENT = SALE + "/settlements/{registration_id}"
PAPER = SALE + "/papers"
OPENING = SALE + "/openings"

REACH: dict[str, Reach] = {
    "GET /v1/accounts": ROWS,
    "GET /v1/accounts/{account}": Reach("own", "account"),
    "GET /v1/accounts/{account}/lots": Reach("own", "account"),
    "GET /v1/lots/{lot}": Reach("own", "lot"),
    "POST /v1/issues/requests": CITY,
    "GET /v1/issues/requests/{request_id}": CITY,
    "POST /v1/issues/requests/{request_id}/confirmations": CITY,
    "POST /v1/issues/{lot}/reversals/requests": CITY,
    "GET /v1/issues/{lot}/reversals/requests/{request_id}": CITY,
    "POST /v1/issues/{lot}/reversals/requests/{request_id}/confirmations": CITY,
    "POST /v1/increment-batches": CITY,
    "GET /v1/increment-batches/{batch}": Reach("own", "batch"),
    "POST /v1/unit-registers": CITY,
    "GET /v1/units": ROWS,
    "POST /v1/shutdowns": CITY,
    "GET /v1/retained-quota": ROWS,
    "GET /v1/screenings": ROWS,
    "POST /v1/screenings": Reach("county"),
    "GET /v1/pledges": ROWS,
    "POST /v1/pledges": Reach("own"),
    "GET /v1/pledges/{pledge_id}": Reach("own", "pledge"),
    "POST /v1/pledges/{pledge_id}/releases": Reach("own", "pledge"),
    "GET /v1/reports/coal-stock": ROWS,
    "POST /v1/reports/coal-stock": Reach("county"),
    "POST /v1/key-officers": PERSON,
    "POST /v1/sales": CITY,
    f"POST {SALE}/drills": CITY,
    f"POST {SALE}/drills/{{drill_id}}/answers": PERSON,
    f"GET {SALE}/drill": Reach("city", beyond=frozenset({"key_officer"})),
    f"POST {SALE}/announcements": CITY,
    f"POST {SALE}/suspensions": CITY,
    f"POST {SALE}/resumptions": CITY,
    f"POST {SALE}/archivings": CITY,
    f"GET {SALE}/draft": CITY,
    f"POST {SALE}/registrations": Reach("own"),
    f"GET {SALE}/registrations": CITY,
    f"POST {ENTRY}/withdrawals": Reach("own", "registration"),
    f"GET {SALE}/registration": ROWS,
    f"POST {ENTRY}/qualifications": CITY,
    f"POST {ENTRY}/deposits": CITY,
    f"POST {SALE}/deposit-reconciliations": CITY,
    f"POST {SALE}/corrections": CITY,
    f"POST {ENTRY}/acceptances": Reach("own", "registration"),
    f"POST {SALE}/sealed-bids": Reach("own"),
    f"GET {SALE}/sealed-bids": ROWS,
    f"POST {SALE}/sealed-bids/{{receipt_id}}/withdrawals": Reach("own", "receipt"),
    f"POST {OPENING}/requests": CITY,
    f"POST {OPENING}/requests/{{request_id}}/confirmations": CITY,
    f"POST {OPENING}/{{opening_id}}/shares": PERSON,
    f"GET {SALE}/opening": Reach("city", beyond=frozenset({"key_officer"})),
    f"POST {SALE}/confirmations": CITY,
    f"POST {SETTLEMENT}/contracts": Reach("own", "registration"),
    f"POST {SETTLEMENT}/payments": CITY,
    f"POST {SETTLEMENT}/deliveries": CITY,
    f"POST {SETTLEMENT}/delivery-reversals/requests": CITY,
    f"GET {SETTLEMENT}/delivery-reversals/requests/{{request_id}}": CITY,
    f"POST {SETTLEMENT}/delivery-reversals/requests/{{request_id}}/confirmations": CITY,
    f"POST {SETTLEMENT}/defaults": CITY,
    f"GET {SALE}/settlements": ROWS,
    f"POST {SALE}/cancellations/requests": CITY,
    f"POST {SALE}/cancellations/requests/{{request_id}}/confirmations": CITY,
    f"GET {PAPER}/bid-receipt/{{paper_id}}.pdf": Reach("own", "receipt"),
    f"GET {PAPER}/bid-receipt/{{paper_id}}": Reach("own", "receipt"),
    **{
        f"GET {PAPER}/{kind}/{{paper_id}}{form}": Reach("own", "registration")
        for kind in ("deposit-receipt", "deal-confirmation", "payment-notice")
        for form in (".pdf", "")
    },
    f"POST {SETTLEMENT}/forfeit-remittances": CITY,
    f"POST {SALE}/reversals/requests": CITY,
    f"POST {SALE}/reversals/requests/{{request_id}}/confirmations": CITY,
    "POST /v1/bank-files": CITY,
    "GET /v1/bank-files": CITY,
    "GET /v1/bank-files/{sm3}": CITY,
    "GET /v1/bank-bookings/unallocated": CITY,
    "POST /v1/bank-bookings/{booking_id}/allocations": CITY,
    "POST /v1/bank-bookings/{booking_id}/returns": CITY,
    **{f"GET /v1/refunds{form}": CITY for form in ("", ".xlsx", ".csv")},
    "GET /v1/escrow-reconciliation": CITY,
    f"GET {SALE}/escrow-reconciliation": CITY,
    # The gateway's own, and the inner port of every service.
    "GET /v1/board/holdings/own": ROWS,
    "GET /v1/parked-events": PERSON,
    "POST /v1/replays/requests": PERSON,
    "POST /v1/replays/requests/{request_id}/confirmations": PERSON,
    "GET /v1/events": PERSON,
    "GET /v1/events/heads": PERSON,
    "GET /v1/checkpoints": PERSON,
    "GET /v1/clock": PERSON,
    "POST /v1/clock": PERSON,
}
