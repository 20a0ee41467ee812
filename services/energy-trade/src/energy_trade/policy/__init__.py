"""What the documents set for energy quota: one typed field for each rule, one file for each day."""

from datetime import date
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, Field, model_validator

from marketkit.policy import PolicyVersion, Rule, Rules, in_force, load_versions
from marketkit.units import QuantityTce
from saleroom.markets import SaleRules

ShutdownCase = Literal["PROV_DISPATCH_PLANT", "CROSS_CITY", "IN_CITY"]
Asset = Literal["ENERGY", "COAL"]
Tier = Literal["province", "city", "county"]

Bp = Annotated[int, Field(ge=0, le=10_000)]
Count = Annotated[int, Field(ge=1)]
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


class CoalStock(Rules):
    """How many days' coal a power plant has at least, should have, and strives for."""

    floor: Rule[Count]
    target: Rule[Count]
    stretch: Rule[Count]

    @model_validator(mode="after")
    def _rising(self) -> "CoalStock":
        if not self.floor.value < self.target.value < self.stretch.value:
            raise ValueError("the levels do not rise")
        return self


class Policy(PolicyVersion):
    """Everything in force for energy quota from one day on."""

    energy_pool: Rule[QuantityTce]
    energy_pool_open_to_dual_high: Rule[bool]
    shutdown_split: Rule[SplitTable]
    shutdown_restrictions: Rule[TierRestrictions]
    unit_register: UnitRegister
    coal_stock: CoalStock
    sale: SaleRules


VERSIONS = load_versions(__name__, Policy)


def policy_on(day: date, region: str | None = None) -> Policy:
    """The rules in force on a day, a region's own before the common ones.

    Raises:
        PolicyDateTooEarly: The day lies before the first policy file.
    """
    return in_force(VERSIONS, day, region)
