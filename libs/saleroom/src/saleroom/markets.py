"""What a trading service tells the saleroom of itself: its bounds, who may buy, who sells.

Pure data and functions handed in; the saleroom asks nobody else what a market is.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Protocol

from pydantic import Field, model_validator

from contracts.sale import Format, PriceRule, TieRule, Undersubscribed
from marketkit.policy import Rule, Rules
from marketkit.units import AmountYuanOrZero, PriceYuan
from saleroom.sealing import STEPS_MAX


class Bounds(Rules):
    """What a notice may fix, and what stands where it fixes nothing."""

    least: int
    usual: int
    most: int

    @model_validator(mode="after")
    def _ordered(self) -> "Bounds":
        if not self.least <= self.usual <= self.most:
            raise ValueError("least, usual and most are out of order")
        return self


class PriceBounds(Rules):
    """The same for a price of a whole unit, in fen inside."""

    least: PriceYuan
    usual: PriceYuan
    most: PriceYuan

    @model_validator(mode="after")
    def _ordered(self) -> "PriceBounds":
        if not self.least <= self.usual <= self.most:
            raise ValueError("least, usual and most are out of order")
        return self


# TOML has lists only; the first of several stands where a notice says nothing.
_Choice = Field(strict=False, min_length=1)


class SaleRules(Rules):
    """The bounds within which a notice fixes its terms; prices by asset."""

    formats: Rule[Annotated[tuple[Format, ...], _Choice]]
    price_rules: Rule[Annotated[tuple[PriceRule, ...], _Choice]]
    tie_rules: Rule[Annotated[tuple[TieRule, ...], _Choice]]
    undersubscribed: Rule[Annotated[tuple[Undersubscribed, ...], _Choice]]
    base_price: Rule[dict[str, PriceYuan]]
    floor_price: Rule[dict[str, PriceBounds]]
    deposit_ratio: Rule[Bounds]
    deposit_interest: Rule[Bounds]
    announcement_days: Rule[Bounds]
    correction_days: Rule[Annotated[int, Field(ge=0)]]
    publicity_days: Rule[Bounds]
    deposit_refund_days: Rule[Annotated[int, Field(ge=0)]]
    payment_days: Rule[Bounds]
    purchase_limit: Rule[Bounds]
    bidders_min: Rule[Bounds]
    steps_max: Rule[Annotated[int, Field(ge=1, le=STEPS_MAX)]]
    service_fee: Rule[AmountYuanOrZero]


class SalePolicy(Protocol):
    """A market's policy, as far as the saleroom reads it."""

    @property
    def version(self) -> str: ...

    @property
    def sale(self) -> SaleRules: ...


@dataclass(frozen=True)
class Buyer:
    """An enterprise with the one project it would buy for."""

    uscc: str
    project_code: str


@dataclass(frozen=True)
class Market:
    """One trading service, as the saleroom sees it.

    `check_eligible` gets a session, the buyer and whether the supply is barred to 两高 projects; it
    raises the market's own refusal. `source_account` names the account whose quota of an asset is
    sold; `check_supply` gets its lots and the policy, and raises the market's own refusal of what
    may not be sold; `region_of` names the region under which a buyer's account is opened.
    """

    name: str
    department: str
    seller: str
    policy_on: Callable[[date], SalePolicy]
    source_account: Callable[[str], str]
    check_supply: Callable[..., None]
    check_eligible: Callable[..., Awaitable[None]]
    region_of: Callable[..., Awaitable[str]]
