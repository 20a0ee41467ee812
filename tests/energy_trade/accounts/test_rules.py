from datetime import date

import pytest

from builders import COUNTY, a_project_code, a_uscc
from energy_trade.accounts.rules import (
    CITY_RETAINED,
    POOL,
    PROVINCE_STORE,
    EffectiveInFuture,
    check_effective,
    county_holder,
    enterprise_holder,
    issuance_holder,
)
from marketkit.codes import RegionUnknown


def test_accounts_have_natural_ids() -> None:
    assert PROVINCE_STORE.account == "province:370000"
    assert CITY_RETAINED.account == "city:370500"
    assert POOL.account == "pool:370500"
    assert county_holder("370522").account == "county:370522"
    assert issuance_holder("COAL").account == "issuance:COAL"
    holder = enterprise_holder(a_uscc(), a_project_code(), COUNTY)
    assert holder.account == f"enterprise:{a_uscc()}:{a_project_code()}"


def test_an_old_code_of_a_county_is_its_successor_s_account() -> None:
    assert county_holder("370521") == county_holder("370505")


@pytest.mark.parametrize("code", ["370500", "370000", "370602", ""])
def test_only_a_county_of_the_city_has_a_county_s_account(code: str) -> None:
    with pytest.raises(RegionUnknown):
        county_holder(code)


def test_a_document_takes_effect_on_its_day_and_not_before() -> None:
    check_effective(date(2022, 6, 1), date(2022, 6, 1))
    with pytest.raises(EffectiveInFuture):
        check_effective(date(2022, 6, 2), date(2022, 6, 1))
