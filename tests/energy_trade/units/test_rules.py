from datetime import date

import pytest

from energy_trade.policy import policy_on
from energy_trade.units.rules import (
    Remaining,
    Unit,
    UnitAlreadyRetired,
    UnitNotOnList,
    UnitRegisterIncomplete,
    UnitRetiresTooLate,
    UnitUnknown,
    check_register,
    check_unit,
    check_unit_runs,
    remaining_units,
)

POLICY = policy_on(date(2022, 12, 31))
PLAN_END = date(2025, 12, 31)


def eighteen_units() -> list[Unit]:
    sizes_kw = [66_500] * 17 + [72_500]
    return [Unit(size, PLAN_END) for size in sizes_kw]


@pytest.mark.article("art. 4")
def test_eighteen_units_of_1203_mw_make_the_register() -> None:
    check_register(eighteen_units(), POLICY)


@pytest.mark.article("art. 4")
@pytest.mark.parametrize(
    "units",
    [
        [],
        eighteen_units()[1:],
        [*eighteen_units(), Unit(1, PLAN_END)],
        [*eighteen_units()[:-1], Unit(72_499, PLAN_END)],
        [*eighteen_units()[:-1], Unit(72_501, PLAN_END)],
        [*eighteen_units()[:-2], Unit(139_000, PLAN_END)],
    ],
    ids=["none", "17", "19", "a kW short", "a kW over", "17 of the right capacity"],
)
def test_another_number_or_capacity_is_no_register(units: list[Unit]) -> None:
    with pytest.raises(UnitRegisterIncomplete) as refused:
        check_register(units, POLICY)
    assert (refused.value.code, refused.value.article) == ("UNIT_REGISTER_INCOMPLETE", "art. 4")


@pytest.mark.article("art. 4")
def test_a_unit_of_300_mw_stays() -> None:
    check_unit(Unit(299_999, PLAN_END), POLICY)
    with pytest.raises(UnitNotOnList) as refused:
        check_unit(Unit(300_000, PLAN_END), POLICY)
    assert refused.value.article == "art. 4"


@pytest.mark.article("art. 4")
def test_no_unit_runs_past_the_end_of_2025() -> None:
    with pytest.raises(UnitRetiresTooLate) as refused:
        check_unit(Unit(66_000, date(2026, 1, 1)), POLICY)
    assert refused.value.article == "art. 4"


@pytest.mark.article("art. 4")
def test_a_unit_counts_until_the_day_it_is_retired() -> None:
    units = [
        Unit(100, PLAN_END, retired_on=date(2022, 6, 30)),
        Unit(20, PLAN_END, retired_on=date(2022, 7, 1)),
        Unit(3, PLAN_END),
    ]
    assert remaining_units(units, date(2022, 6, 29)) == Remaining(3, 123)
    assert remaining_units(units, date(2022, 6, 30)) == Remaining(2, 23)
    assert remaining_units(units, date(2022, 7, 1)) == Remaining(1, 3)
    assert remaining_units([], date(2022, 7, 1)) == Remaining(0, 0)


def test_only_a_unit_that_runs_is_shut() -> None:
    check_unit_runs(Unit(1, PLAN_END))
    with pytest.raises(UnitUnknown):
        check_unit_runs(None)
    with pytest.raises(UnitAlreadyRetired):
        check_unit_runs(Unit(1, PLAN_END, retired_on=date(2022, 6, 1)))
