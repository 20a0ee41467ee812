"""Who may use province-stored quota (art. 5)."""

import pytest

from energy_trade.pool.rules import DualHighNotAllowed
from energy_trade.screenings.rules import NoCounty, NotScreenedByCounty, check_project, county_of
from marketkit.codes import CITY, COUNTIES, PROVINCE


@pytest.mark.article("art. 5")
@pytest.mark.parametrize("county", COUNTIES)
def test_every_county_level_unit_screens(county: str) -> None:
    assert county_of(county) == county


@pytest.mark.article("art. 5")
@pytest.mark.parametrize("region", [CITY, PROVINCE, "", "370521"])
def test_nobody_else_screens(region: str) -> None:
    with pytest.raises(NoCounty) as refused:
        county_of(region)
    assert refused.value.article == "art. 5"


@pytest.mark.article("art. 5")
@pytest.mark.parametrize(
    ("is_dual_high", "is_barred"), [(False, False), (False, True), (True, False)]
)
def test_a_screened_project_may_buy_what_is_not_barred_to_it(
    is_dual_high: bool, is_barred: bool
) -> None:
    check_project(is_dual_high, is_dual_high_barred=is_barred)


@pytest.mark.article("art. 5")
def test_a_dual_high_project_gets_nothing_of_a_barred_supply() -> None:
    with pytest.raises(DualHighNotAllowed) as refused:
        check_project(True, is_dual_high_barred=True)
    assert refused.value.article == "art. 5"


@pytest.mark.article("art. 5")
@pytest.mark.parametrize("is_barred", [False, True])
def test_a_project_no_county_screened_gets_nothing(is_barred: bool) -> None:
    with pytest.raises(NotScreenedByCounty):
        check_project(None, is_dual_high_barred=is_barred)
