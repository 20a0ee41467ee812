from datetime import date
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from energy_trade.policy import Asset, ShutdownCase, policy_on
from energy_trade.shutdowns.rules import (
    CoalSourceForbidden,
    PlanNotConsented,
    SplitCaseUndefined,
    check_coal_source,
    check_consented,
    split_shutdown,
)

POLICY = policy_on(date(2022, 12, 31))

CASES: dict[str, tuple[tuple[str, Asset, int], tuple[int, int, int]]] = {
    "§1 art. 4, one over a million at 50/25/25": (
        ("CROSS_CITY", "ENERGY", 1_000_001),
        (500_001, 250_000, 250_000),
    ),
    "§1 art. 4, three kgce": (("CROSS_CITY", "ENERGY", 3), (1, 1, 1)),
    "§1 art. 4, 80,001 kgce at 50/50": (("IN_CITY", "ENERGY", 80_001), (0, 40_001, 40_000)),
    "§1.9 province-dispatched plant, coal": (
        ("PROV_DISPATCH_PLANT", "COAL", 300_000_000),
        (300_000_000, 0, 0),
    ),
    "§1.9 province-dispatched plant, energy": (
        ("PROV_DISPATCH_PLANT", "ENERGY", 90_000_001),
        (0, 45_000_001, 45_000_000),
    ),
    "§1.9 cross-city coking": (
        ("CROSS_CITY", "ENERGY", 123_456_789),
        (61_728_395, 30_864_197, 30_864_197),
    ),
    "§1.9 in-city cross-county, energy": (
        ("IN_CITY", "ENERGY", 80_000_000),
        (0, 40_000_000, 40_000_000),
    ),
    "§1.9 in-city cross-county, coal": (("IN_CITY", "COAL", 10_001), (0, 5_001, 5_000)),
    "one kg cross-city goes to the province": (("CROSS_CITY", "COAL", 1), (1, 0, 0)),
    "two kg cross-city: the half is the province's, the tie the city's": (
        ("CROSS_CITY", "COAL", 2),
        (1, 1, 0),
    ),
}


@pytest.mark.article("art. 4")
@pytest.mark.parametrize(("asked", "shares"), CASES.values(), ids=CASES.keys())
def test_worked_cases_of_the_split(
    asked: tuple[str, Asset, int], shares: tuple[int, int, int]
) -> None:
    case, asset, quantity = asked
    split = split_shutdown(case, asset, quantity, POLICY)
    assert (split.province, split.city, split.county) == shares


@pytest.mark.article("art. 4")
@pytest.mark.parametrize(
    ("case", "asset", "paid"),
    [
        ("PROV_DISPATCH_PLANT", "COAL", {"province"}),
        ("PROV_DISPATCH_PLANT", "ENERGY", set()),
        ("CROSS_CITY", "COAL", {"province"}),
        ("CROSS_CITY", "ENERGY", {"province"}),
        ("IN_CITY", "COAL", {"city"}),
        ("IN_CITY", "ENERGY", {"city"}),
    ],
)
def test_the_table_says_whose_share_is_paid_for(case: str, asset: Asset, paid: set[str]) -> None:
    compensated = split_shutdown(case, asset, 1, POLICY).compensated
    assert compensated == {tier: tier in paid for tier in ("province", "city", "county")}


@pytest.mark.article("art. 4")
@pytest.mark.parametrize("case", get_args(ShutdownCase))
@pytest.mark.parametrize("asset", get_args(Asset))
def test_only_coal_of_a_province_dispatched_plant_is_no_local_source(
    case: str, asset: Asset
) -> None:
    split = split_shutdown(case, asset, 1_000, POLICY)
    assert split.usable_locally == ((case, asset) != ("PROV_DISPATCH_PLANT", "COAL"))


@pytest.mark.article("art. 4")
@given(
    case=st.sampled_from(get_args(ShutdownCase)),
    asset=st.sampled_from(get_args(Asset)),
    quantity=st.integers(1, 2**63 - 1),
)
def test_shares_make_the_whole_and_lie_within_one_of_the_ratio(
    case: str, asset: Asset, quantity: int
) -> None:
    split = split_shutdown(case, asset, quantity, POLICY)
    shares = (split.province, split.city, split.county)
    row = POLICY.shutdown_split.value[case][asset]  # type: ignore[index]  # sampled from the cases
    assert sum(shares) == quantity
    for share, bp in zip(shares, (row.province, row.city, row.county), strict=True):
        assert abs(share * 10_000 - quantity * bp) < 10_000


@pytest.mark.article("art. 4")
@pytest.mark.parametrize("case", ["", "SAME_COUNTY", "in_city", "IN_CITY ", "CROSS_PROVINCE", "\0"])
def test_a_case_outside_the_table_waits_for_a_ruling(case: str) -> None:
    with pytest.raises(SplitCaseUndefined) as refused:
        split_shutdown(case, "ENERGY", 1, POLICY)
    assert (refused.value.code, refused.value.article) == ("SPLIT_CASE_UNDEFINED", "art. 4")


@pytest.mark.article("art. 4")
def test_coal_of_a_province_dispatched_plant_replaces_no_local_coal() -> None:
    freed = split_shutdown("PROV_DISPATCH_PLANT", "COAL", 1, POLICY)
    with pytest.raises(CoalSourceForbidden) as refused:
        check_coal_source(freed.usable_locally, POLICY)
    assert (refused.value.code, refused.value.article) == ("COAL_SOURCE_FORBIDDEN", "art. 4")
    check_coal_source(split_shutdown("CROSS_CITY", "COAL", 1, POLICY).usable_locally, POLICY)


@pytest.mark.article("art. 4")
def test_a_county_s_share_waits_for_consent() -> None:
    with pytest.raises(PlanNotConsented) as refused:
        check_consented(needs_city_consent=True, policy=POLICY)
    assert (refused.value.code, refused.value.article) == ("PLAN_NOT_CONSENTED", "art. 4")
    check_consented(needs_city_consent=False, policy=POLICY)
