"""What a capacity shutdown frees, for whom, and what may be done with it. Pure."""

from dataclasses import dataclass

from pydantic import model_validator

from energy_trade.accounts.rules import QuantityTceOrTOrZero, Restrictions
from energy_trade.policy import Asset, Policy, Tier
from marketkit.codes import CountyCode
from marketkit.errors import Conflict, RuleBroken
from marketkit.units import Day, Form, QuantityTceOrZero, Text, split

TIERS: tuple[Tier, ...] = ("province", "city", "county")


class SplitCaseUndefined(RuleBroken):
    title = "该关停情形不在指标分配表内，须人工裁定"


class CoalSourceForbidden(RuleBroken):
    title = "省直调公用电厂关停腾出的煤炭指标不得作为本地新上耗煤项目的替代源"


class PlanNotConsented(RuleBroken):
    title = "县区留存指标的使用计划未经市级同意，不得使用"


class ShutdownAlreadyRecorded(Conflict):
    title = "同一文件下的该项关停已登记"
    article = "art. 4"


class ShutdownIn(Form):
    """What was shut, by which document, and what it freed."""

    case: Text
    name: Text
    industry: Text
    region_code: CountyCode
    document_no: Text
    effective_on: Day
    energy_tce: QuantityTceOrZero
    coal_t: QuantityTceOrTOrZero
    unit_id: Text | None = None

    @model_validator(mode="after")
    def _frees_something(self) -> "ShutdownIn":
        if not self.energy_tce and not self.coal_t:
            raise ValueError("能耗指标与煤炭指标不得同时为零")
        return self

    @property
    def freed(self) -> dict[Asset, int]:
        freed: dict[Asset, int] = {"ENERGY": self.energy_tce, "COAL": self.coal_t}
        return {asset: quantity for asset, quantity in freed.items() if quantity}


@dataclass(frozen=True)
class Split:
    """Shares of what a shutdown freed, in kgce or kg; they make the whole to the last one."""

    province: int
    city: int
    county: int
    share_bp: dict[Tier, int]
    compensated: dict[Tier, bool]
    usable_locally: bool

    def of(self, tier: Tier) -> int:
        return {"province": self.province, "city": self.city, "county": self.county}[tier]


def split_shutdown(case: str, asset: Asset, quantity_minor: int, policy: Policy) -> Split:
    """What province, city and county of origin get of the energy or coal a shutdown freed.

    Largest remainder; an equal remainder goes to the higher tier.

    Args:
        case: A case of the table; whatever is not in it waits for a ruling.
        quantity_minor: kgce of `ENERGY`, kg of `COAL`.

    Raises:
        SplitCaseUndefined: art. 4, the case stands outside the table.
    """
    rule = policy.shutdown_split
    by_asset = {str(name): row for name, row in rule.value.items()}.get(case)
    if by_asset is None:
        raise SplitCaseUndefined(article=rule.article)
    shares = by_asset[asset]
    weights = [shares.province, shares.city, shares.county]
    province, city, county = split(quantity_minor, weights)
    return Split(
        province=province,
        city=city,
        county=county,
        share_bp=dict(zip(TIERS, weights, strict=True)),
        compensated={tier: tier in shares.compensated for tier in TIERS},
        usable_locally=shares.usable_locally,
    )


def restrictions_of(tier: Tier, split: Split, policy: Policy) -> Restrictions:
    """What may be done with one tier's share, art. 4."""
    rule = policy.shutdown_restrictions.value
    return Restrictions(
        is_dual_high_barred=tier in rule.dual_high_barred,
        is_locally_usable=split.usable_locally,
        needs_city_consent=tier in rule.needs_city_consent,
    )


def check_coal_source(usable_locally: bool, policy: Policy) -> None:
    """Return if freed coal may replace the coal of a new local project.

    Args:
        usable_locally: As its split said, kept on the lot.

    Raises:
        CoalSourceForbidden: art. 4, freed by a province-dispatched public power plant.
    """
    if not usable_locally:
        raise CoalSourceForbidden(article=policy.shutdown_split.article)


def check_consented(needs_city_consent: bool, policy: Policy) -> None:
    """Return if quota may be used as far as the city's consent goes.

    Raises:
        PlanNotConsented: art. 4, a county's share waits for its plan and the city's consent.
    """
    if needs_city_consent:
        raise PlanNotConsented(article=policy.shutdown_restrictions.article)
