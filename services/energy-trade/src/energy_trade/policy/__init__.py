"""What the documents set for energy quota: one typed field for each rule, one file for each day."""

from datetime import date
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, Field, model_validator

from marketkit.policy import PolicyVersion, Rule, Rules, in_force, load_versions
from marketkit.units import AmountYuanOrZero, PriceYuan, QuantityTce

ShutdownCase = Literal["PROV_DISPATCH_PLANT", "CROSS_CITY", "IN_CITY"]
Asset = Literal["ENERGY", "COAL"]
Tier = Literal["province", "city", "county"]

Bp = Annotated[int, Field(ge=0, le=10_000)]
Count = Annotated[int, Field(ge=1)]
Days = Annotated[int, Field(ge=0)]
Kw = Annotated[int, Field(ge=1)]


class Shares(Rules):
    """How one asset of one case is split, in basis points, and which tiers' shares are paid for."""

    province: Bp
    city: Bp
    county: Bp
    compensated: Annotated[tuple[Tier, ...], Field(strict=False)]
    usable_locally: bool

    @model_validator(mode="after")
    def _whole(self) -> "Shares":
        if self.province + self.city + self.county != 10_000:
            raise ValueError("the shares do not make 10000 bp")
        return self


SharesByAsset = dict[Asset, Shares]


def _check_complete(table: dict[ShutdownCase, SharesByAsset]) -> dict[ShutdownCase, SharesByAsset]:
    if set(table) != set(get_args(ShutdownCase)):
        raise ValueError("every case of the table must be given")
    if any(set(row) != set(get_args(Asset)) for row in table.values()):
        raise ValueError("every case must say both assets")
    return table


SplitTable = Annotated[dict[ShutdownCase, SharesByAsset], AfterValidator(_check_complete)]


class TierRestrictions(Rules):
    """The tiers whose shares may not go to 两高 projects, or not before the city consents."""

    dual_high_barred: Annotated[tuple[Tier, ...], Field(strict=False)]
    needs_city_consent: Annotated[tuple[Tier, ...], Field(strict=False)]


class UnitRegister(Rules):
    """The running coal units that must be retired: how many, how large, until when."""

    count: Rule[Count]
    capacity: Rule[Kw]
    unit_capacity_below: Rule[Kw]
    retired_by: Rule[date]


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


class SaleTerms(Rules):
    """The bounds within which a notice fixes its terms."""

    formats: Rule[Annotated[tuple[Literal["SEALED"], ...], Field(strict=False)]]
    price_rules: Rule[
        Annotated[
            tuple[Literal["LOWEST_ACCEPTED", "HIGHEST_REJECTED", "PAY_AS_BID"], ...],
            Field(strict=False),
        ]
    ]
    tie_rules: Rule[
        Annotated[tuple[Literal["TIME", "RANDOM", "PRO_RATA"], ...], Field(strict=False)]
    ]
    undersubscribed: Rule[Annotated[tuple[Literal["SELL", "CANCEL"], ...], Field(strict=False)]]
    base_price: Rule[dict[Asset, PriceYuan]]
    floor_price: Rule[dict[Asset, PriceBounds]]
    deposit_ratio: Rule[Bounds]
    announcement_days: Rule[Bounds]
    publicity_days: Rule[Bounds]
    deposit_refund_days: Rule[Days]
    payment_days: Rule[Bounds]
    purchase_limit: Rule[Bounds]
    bidders_min: Rule[Bounds]
    steps_max: Rule[Count]
    service_fee: Rule[AmountYuanOrZero]


class Policy(PolicyVersion):
    """Everything in force for energy quota from one day on."""

    energy_pool: Rule[QuantityTce]
    energy_pool_open_to_dual_high: Rule[bool]
    shutdown_split: Rule[SplitTable]
    shutdown_restrictions: Rule[TierRestrictions]
    unit_register: UnitRegister
    sale: SaleTerms


VERSIONS = load_versions(__name__, Policy)


def policy_on(day: date, region: str | None = None) -> Policy:
    """The rules in force on a day, a region's own before the common ones.

    Raises:
        PolicyDateTooEarly: The day lies before the first policy file.
    """
    return in_force(VERSIONS, day, region)
