from datetime import date

import pytest

from energy_trade.policy import policy_on
from energy_trade.pool.rules import (
    DualHighNotAllowed,
    EnergyPoolExceeded,
    check_assignment,
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
