from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from energy_trade.policy import policy_on
from energy_trade.pool.rules import (
    IN_POOL,
    AssignmentNotKept,
    DualHighNotAllowed,
    EnergyPoolExceeded,
    Line,
    PoolTermsNotAllowed,
    QuotaKindMismatch,
    additions,
    check_assignment,
    check_issue,
    check_pool_lot,
    check_stock,
    draw,
    pool_left_kgce,
)
from marketkit.units import TCE, Kgce

POLICY = policy_on(date(2022, 12, 31))


def tce(text: str) -> Kgce:
    return Kgce(TCE.parse(text))


@pytest.mark.article("art. 3")
def test_the_pool_is_78_wan_tce() -> None:
    assert pool_left_kgce(Kgce(0), POLICY) == 780_000_000


@pytest.mark.article("art. 3")
def test_78_wan_pool_exactly_what_is_left_is_granted_then_one_kgce_refused() -> None:
    check_assignment(tce("779000"), tce("1000"), is_dual_high=False, policy=POLICY)
    assert pool_left_kgce(tce("780000"), POLICY) == 0
    with pytest.raises(EnergyPoolExceeded) as refused:
        check_assignment(tce("780000"), Kgce(1), is_dual_high=False, policy=POLICY)
    assert (refused.value.code, refused.value.status) == ("ENERGY_POOL_EXCEEDED", 409)
    assert refused.value.article == "art. 3"


@pytest.mark.article("art. 3")
def test_a_dual_high_project_gets_nothing_however_full_the_pool() -> None:
    for assigned in ("0", "780000"):
        with pytest.raises(DualHighNotAllowed) as refused:
            check_assignment(tce(assigned), Kgce(1), is_dual_high=True, policy=POLICY)
        assert (refused.value.code, refused.value.status) == ("DUAL_HIGH_NOT_ALLOWED", 422)
        assert refused.value.article == "art. 3"


def a_line(number: int = 0, quantity_tce: str = "1000", region_code: str = "370502") -> Line:
    return Line(str(number), "code", "示例项目", region_code, tce(quantity_tce))


def listed(*lines: Line) -> dict[tuple[str, str], Line]:
    return {line.project: line for line in lines}


@pytest.mark.article("art. 3")
def test_no_more_is_assigned_than_was_issued_into_the_pool() -> None:
    check_stock(tce("1000"), tce("400"), tce("600"), POLICY)
    with pytest.raises(EnergyPoolExceeded):
        check_stock(tce("1000"), tce("400"), tce("600.001"), POLICY)


@pytest.mark.article("art. 3")
def test_exactly_78_wan_tce_may_be_issued_into_the_pool() -> None:
    check_issue(tce("779999.999"), Kgce(1), POLICY)
    with pytest.raises(EnergyPoolExceeded) as refused:
        check_issue(tce("780000"), Kgce(1), POLICY)
    assert refused.value.article == "art. 3"


@pytest.mark.article("art. 3")
def test_all_lots_of_the_pool_are_alike() -> None:
    check_pool_lot("ENERGY", IN_POOL, POLICY)
    with pytest.raises(QuotaKindMismatch):
        check_pool_lot("COAL", IN_POOL, POLICY)
    for change in (
        {"is_dual_high_barred": False},
        {"is_locally_usable": False},
        {"needs_city_consent": True},
        {"valid_until_on": date(2022, 12, 31)},
    ):
        with pytest.raises(PoolTermsNotAllowed):
            check_pool_lot("ENERGY", replace(IN_POOL, **change), POLICY)


@pytest.mark.article("art. 3")
def test_a_new_version_adds_new_projects_and_growth_only() -> None:
    old = listed(a_line(1), a_line(2, "500"))
    new = [a_line(3, "70"), a_line(2, "500.001"), a_line(1)]
    assert additions(old, new, POLICY) == [(new[0], tce("70")), (new[1], Kgce(1))]
    assert additions({}, new, POLICY) == [(line, line.quantity_kgce) for line in new]


@pytest.mark.article("art. 3")
@pytest.mark.parametrize(
    "wanted", [[a_line(2)], [a_line(1, "999.999")], [a_line(1, region_code="370522")]]
)
def test_what_was_assigned_is_not_taken_back_by_a_list(wanted: list[Line]) -> None:
    with pytest.raises(AssignmentNotKept) as refused:
        additions(listed(a_line(1)), wanted, POLICY)
    assert (refused.value.status, refused.value.article) == (409, "art. 3")


def test_lots_are_drawn_in_their_order() -> None:
    assert draw([("a", 5), ("b", 5)], [3, 4, 3]) == [[("a", 3)], [("a", 2), ("b", 2)], [("b", 3)]]


@given(st.lists(st.integers(1, 10**12), min_size=1), st.data())
def test_a_draw_gives_each_all_it_asked_and_no_lot_more_than_it_has(
    lots: list[int], data: st.DataObject
) -> None:
    left = sum(lots)
    asked: list[int] = []
    while left and len(asked) < 20:
        asked.append(data.draw(st.integers(1, left)))
        left -= asked[-1]
    drawn = draw([(str(n), lot) for n, lot in enumerate(lots)], asked)
    assert [sum(part for _, part in parts) for parts in drawn] == asked
    for number, lot in enumerate(lots):
        assert sum(part for parts in drawn for name, part in parts if name == str(number)) <= lot
    assert all(part > 0 for parts in drawn for _, part in parts)
