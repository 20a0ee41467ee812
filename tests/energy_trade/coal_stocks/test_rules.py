from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from energy_trade.accounts.rules import EffectiveInFuture
from energy_trade.coal_stocks.rules import (
    CountyReporterRequired,
    ReportDiffers,
    RevisionWrong,
    Stock,
    check_report,
    days_of_coal,
    reporting_county,
)
from energy_trade.policy import policy_on
from marketkit.codes import CITY, COUNTIES, PROVINCE
from marketkit.units import MINOR_MAX

TODAY = date(2022, 6, 1)
POLICY = policy_on(TODAY)
STOCK, OTHER = Stock("示例电厂", 160_000_000, 8_000_000), Stock("示例电厂", 1, 8_000_000)


@pytest.mark.article("art. 7")
@pytest.mark.parametrize(
    ("stock_t", "days", "level"),
    [
        (152_000, "19.00", "BREACH"),
        (160_000, "20.00", "OK"),
        (199_999, "24.99", "OK"),
        (200_000, "25.00", "TARGET"),
        (239_999, "29.99", "TARGET"),
        (240_000, "30.00", "STRETCH"),
        (0, "0.00", "BREACH"),
    ],
)
def test_days_are_stock_by_daily_burn(stock_t: int, days: str, level: str) -> None:
    found = days_of_coal(stock_t * 1_000, 8_000_000, POLICY)
    assert (found.days, found.level) == (days, level)


@pytest.mark.article("art. 7")
def test_a_kilogram_short_of_a_threshold_is_below_it() -> None:
    assert days_of_coal(160_000_000 - 1, 8_000_000, POLICY).level == "BREACH"
    assert days_of_coal(160_000_000 - 1, 8_000_000, POLICY).days == "19.99"


@given(st.integers(0, MINOR_MAX), st.integers(1, MINOR_MAX))
def test_the_days_shown_never_belie_the_level(stock_kg: int, daily_burn_kg: int) -> None:
    found = days_of_coal(stock_kg, daily_burn_kg, POLICY)
    floors = {"BREACH": 0, "OK": 20, "TARGET": 25, "STRETCH": 30}
    ceilings = {"BREACH": 20, "OK": 25, "TARGET": 30, "STRETCH": MINOR_MAX * 100}
    assert floors[found.level] * 100 <= found.days_e2 < ceilings[found.level] * 100


def check(stock: Stock, revision: int, known: dict[int, Stock], on: date = TODAY) -> bool:
    return check_report(stock, revision, known=known, effective_on=on, today=TODAY)


def test_the_same_again_is_nothing_new() -> None:
    assert check(STOCK, 1, {})
    assert not check(STOCK, 1, {1: STOCK})
    assert not check(STOCK, 1, {1: STOCK, 2: OTHER})


def test_another_content_is_a_correction_only_as_the_next_revision() -> None:
    with pytest.raises(ReportDiffers):
        check(OTHER, 1, {1: STOCK})
    assert check(OTHER, 2, {1: STOCK})
    assert check(STOCK, 2, {1: STOCK})
    for revision, known in ((2, {}), (3, {1: STOCK})):
        with pytest.raises(RevisionWrong):
            check(OTHER, revision, known)


def test_no_day_is_reported_before_it_comes() -> None:
    with pytest.raises(EffectiveInFuture):
        check(STOCK, 3, {}, date(2022, 6, 2))


def test_a_county_reports_for_its_own() -> None:
    for region in COUNTIES:
        assert reporting_county(region) == region
    for region in (CITY, PROVINCE, ""):
        with pytest.raises(CountyReporterRequired):
            reporting_county(region)
