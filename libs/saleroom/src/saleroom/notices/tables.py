"""Rows of sales, the key officers, and the wrapped shares of each sale's key."""

from datetime import datetime

from sqlalchemy import CheckConstraint, LargeBinary, Text
from sqlmodel import Field

from marketkit.db import Minor, UtcInstant
from saleroom.schema import Table


class Sale(Table, table=True):
    """One sale: its terms, timetable, state. Locked by whoever changes anything of it.

    `returned_minor` is what came back of its supply: unsold, defaulted, or all of it.
    """

    __table_args__ = (
        CheckConstraint("supply_minor > 0 AND lot_minor > 0 AND floor_fen > 0", name="positive"),
        CheckConstraint("returned_minor >= 0 AND returned_minor <= supply_minor", name="returned"),
        CheckConstraint("opens_at < closes_at AND closes_at < opens_by", name="timetable"),
    )
    id: str = Field(primary_key=True)
    market: str
    title: str
    body: str = Field(sa_type=Text)
    format: str
    state: str = Field(index=True)
    asset: str
    source_account: str
    supply_minor: int = Field(sa_type=Minor)
    lot_minor: int = Field(sa_type=Minor)
    floor_fen: int = Field(sa_type=Minor)
    price_rule: str
    tie_rule: str
    undersubscribed: str
    purchase_limit_minor: int | None = Field(default=None, sa_type=Minor)
    bidders_min: int
    deposit_ratio_bp: int
    deposit_interest_bp: int = 0
    is_dual_high_barred: bool
    pay_days: int
    publicity_days: int
    steps_max: int
    registration_closes_at: datetime = Field(sa_type=UtcInstant)
    opens_at: datetime = Field(sa_type=UtcInstant)
    closes_at: datetime = Field(sa_type=UtcInstant)
    deposit_due_at: datetime = Field(sa_type=UtcInstant)
    opens_by: datetime = Field(sa_type=UtcInstant)
    fair_review: str = Field(sa_type=Text)
    policy_version: str
    drafted_at: datetime = Field(sa_type=UtcInstant)
    announced_at: datetime | None = Field(default=None, sa_type=UtcInstant)
    follows_sale_id: str | None = Field(default=None, foreign_key="sale.id", index=True)
    returned_minor: int = Field(default=0, sa_type=Minor)
    correction_count: int = 0
    suspended_at: datetime | None = Field(default=None, sa_type=UtcInstant)
    state_before: str | None = None
    reconciled_at: datetime | None = Field(default=None, sa_type=UtcInstant)
    confirmed_at: datetime | None = Field(default=None, sa_type=UtcInstant)
    public_key: bytes | None = Field(default=None, sa_type=LargeBinary)
    key_sm3: bytes | None = Field(default=None, sa_type=LargeBinary)
    draw_secret_sha256: bytes | None = Field(default=None, sa_type=LargeBinary)
    draw_secret_ciphertext: bytes | None = Field(default=None, sa_type=LargeBinary)


class SaleOfficer(Table, table=True):
    """A key officer a sale is for: the last drill's challenge, then the share; both wrapped.

    `drill_key` is the key the challenge was wrapped to; of its answer there is only the SHA-256.
    """

    sale_id: str = Field(primary_key=True, foreign_key="sale.id")
    officer_id: str = Field(primary_key=True, foreign_key="key_officer.id")
    wrapped_share: bytes | None = Field(default=None, sa_type=LargeBinary)
    drill_id: str | None = None
    drill_key: bytes | None = Field(default=None, sa_type=LargeBinary)
    drill_challenge: bytes | None = Field(default=None, sa_type=LargeBinary)
    drill_answer_sha256: bytes | None = Field(default=None, sa_type=LargeBinary)
    drilled_at: datetime | None = Field(default=None, sa_type=UtcInstant)

    def drilled_with(self, public_key: bytes) -> datetime | None:
        """When the officer answered the last drill, if that was with this key."""
        return self.drilled_at if self.drill_key == public_key else None


class KeyOfficer(Table, table=True):
    """A key officer and the public key to which shares of sales yet to be announced are wrapped."""

    id: str = Field(primary_key=True)
    sub: str = Field(unique=True)
    public_key: bytes = Field(sa_type=LargeBinary)
    registered_at: datetime = Field(sa_type=UtcInstant)
