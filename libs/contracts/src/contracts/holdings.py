"""Facts of accounts and lots, the same in every market: who holds, and where quota came from."""

from typing import ClassVar, Literal

from marketkit.facts import Fact
from marketkit.movements import Movement
from marketkit.units import Day, Quantity

OwnerKind = Literal["PROVINCE", "CITY", "COUNTY", "ENTERPRISE", "CREDITOR", "ISSUANCE"]


class AccountOpened(Fact):
    """An account, by its natural id; told before anything moves on it, the account as key."""

    kind: ClassVar[str] = "account.opened"
    account: str
    owner_kind: OwnerKind
    region_code: str
    uscc: str | None = None
    project_code: str | None = None


class LotCreated(Fact):
    """A lot: its origin and what may be done with it, for ever; the lot as key."""

    kind: ClassVar[str] = "lot.created"
    lot: str
    asset: str
    article: str
    document_no: str
    origin_kind: str
    origin_id: str
    origin_region_code: str
    effective_on: Day
    is_dual_high_barred: bool
    is_locally_usable: bool
    needs_city_consent: bool
    valid_until_on: Day | None = None
    parent_lot: str | None = None


class QuotaIssued(Fact):
    """Quota brought into being on an account by a document and two people."""

    kind: ClassVar[str] = "quota.issued"
    account: str
    asset: str
    quantity: Quantity
    document_no: str
    effective_on: Day
    movements: list[Movement]


class IssueReversed(Fact):
    """An issue was wrong: by a document and two people its lot is nowhere any more."""

    kind: ClassVar[str] = "quota.issue_reversed"
    lot: str
    account: str
    asset: str
    quantity: Quantity
    article: str
    document_no: str
    reason: str
    movements: list[Movement]
