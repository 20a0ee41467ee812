from datetime import date
from typing import Any

import pytest

from builders import a_uscc
from energy_trade.accounts.rules import AccountUnknown, EffectiveInFuture
from energy_trade.pledges.rules import (
    CreditorIsHolder,
    PledgeAlreadyRegistered,
    ReleaseExceedsPledge,
    check_pledge,
    pledge_account,
    remaining_after,
)
from marketkit.errors import Refusal

HOLDER, BANK = a_uscc(1), a_uscc(900)
TODAY = date(2022, 6, 1)
CONTRACT = ("enterprise:one", "ENERGY", BANK, "合同1")


def check(**changes: Any) -> None:
    said: dict[str, Any] = {
        "holder_uscc": HOLDER,
        "creditor_uscc": BANK,
        "contract": CONTRACT,
        "registered": set(),
        "effective_on": TODAY,
        "today": TODAY,
    }
    check_pledge(**(said | changes))


@pytest.mark.article("art. 19")
def test_a_pledge_to_a_bank_may_be_registered() -> None:
    check()
    check(registered={(*CONTRACT[:3], "合同2")})


@pytest.mark.article("art. 19")
def test_refusals_come_in_this_order() -> None:
    wrong: list[tuple[type[Refusal], dict[str, Any]]] = [
        (AccountUnknown, {"holder_uscc": None}),
        (EffectiveInFuture, {"effective_on": date(2022, 6, 2)}),
        (CreditorIsHolder, {"creditor_uscc": HOLDER}),
        (PledgeAlreadyRegistered, {"registered": {CONTRACT}}),
    ]
    for place, (refusal, _) in enumerate(wrong):
        with pytest.raises(refusal):
            check(**{name: said for _, each in wrong[place:][::-1] for name, said in each.items()})


@pytest.mark.article("art. 19")
def test_no_more_is_let_go_than_stands() -> None:
    assert remaining_after(3_000_000, 1) == 2_999_999
    assert remaining_after(3_000_000, 3_000_000) == 0
    with pytest.raises(ReleaseExceedsPledge) as caught:
        remaining_after(3_000_000, 3_000_001)
    assert caught.value.article == "art. 19"


def test_the_account_of_a_pledge_is_its_pledgor_s_own() -> None:
    assert pledge_account(HOLDER, "p") == f"enterprise:{HOLDER}:p"
