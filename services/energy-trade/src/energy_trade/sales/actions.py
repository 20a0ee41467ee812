"""The market of energy quota, as the saleroom sees it: who may buy, and out of whose store."""

from collections.abc import Iterable

from energy_trade.policy import Policy, policy_on
from energy_trade.screenings.actions import screening_of
from energy_trade.screenings.rules import NotScreenedByCounty, check_project
from energy_trade.shutdowns.rules import check_coal_source, check_consented
from marketkit.codes import PROVINCE
from marketkit.db import Session
from marketkit.ledger import Lot
from saleroom.markets import Buyer, Market


def check_supply(lots: Iterable[Lot], policy: Policy) -> None:
    """Return if these lots may be sold to local projects.

    Raises:
        CoalSourceForbidden: art. 4, coal freed by a province-dispatched public power plant.
        PlanNotConsented: art. 4, what a county retained waits for the city's consent.
    """
    for lot in lots:
        check_coal_source(lot.is_locally_usable, policy)
        check_consented(lot.needs_city_consent, policy)


async def check_eligible(session: Session, buyer: Buyer, is_dual_high_barred: bool) -> None:
    """Return if the enterprise may buy for its project.

    Raises:
        NotScreenedByCounty: art. 5, no county has screened this project of this enterprise.
        DualHighNotAllowed: art. 5, a 两高 project and a supply that is not for such.
    """
    screening = await screening_of(session, buyer.uscc, buyer.project_code)
    check_project(
        screening.is_dual_high if screening else None, is_dual_high_barred=is_dual_high_barred
    )


async def region_of(session: Session, buyer: Buyer) -> str:
    """The county under which the buyer's account is opened: the one that screened its project.

    Raises:
        NotScreenedByCounty: art. 5.
    """
    screening = await screening_of(session, buyer.uscc, buyer.project_code)
    if screening is None:
        raise NotScreenedByCounty()
    return screening.region_code


def source_account(asset: str) -> str:
    """What is sold is what the province has stored (art. 5), whatever the asset."""
    return f"province:{PROVINCE}"


MARKET = Market(
    name="energy",
    department="energy",
    seller="山东省能耗指标收储库",
    policy_on=policy_on,
    source_account=source_account,
    check_supply=check_supply,
    check_eligible=check_eligible,
    region_of=region_of,
)
