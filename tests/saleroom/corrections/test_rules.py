"""What of a published notice may still change."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from contracts.sale import Timetable
from marketkit.policy import Rule
from saleroom.corrections.rules import (
    CorrectionAlreadyAccepted,
    CorrectionIn,
    CorrectionNotCurrent,
    TimetableIn,
    check_acceptance,
    put_off,
)
from saleroom.notices.rules import TimetableWrong
from toy_market import (
    ANNOUNCED,
    CLOSES,
    DAY,
    DEPOSIT_DUE,
    OPENS,
    OPENS_BY,
    REGISTRATION_CLOSES,
    TICK,
)

THREE_DAYS = Rule[int](value=3, unit="day", article="art. 5")
PLANNED = Timetable(
    registration_closes_at=REGISTRATION_CLOSES,
    opens_at=OPENS,
    closes_at=CLOSES,
    deposit_due_at=DEPOSIT_DUE,
    opens_by=OPENS_BY,
    pay_days=7,
    publicity_days=7,
)


def corrected(at: datetime = ANNOUNCED, **changes: datetime) -> Timetable:
    return put_off(PLANNED, TimetableIn(**changes), at, THREE_DAYS)


def test_what_is_not_named_stays() -> None:
    assert corrected() == PLANNED
    later = corrected(opens_by=OPENS_BY + DAY)
    assert later == PLANNED.model_copy(update={"opens_by": OPENS_BY + DAY})


@pytest.mark.article("art. 5")
def test_others_have_three_days_to_accept_before_bidding_ends() -> None:
    last = CLOSES - 3 * DAY
    assert corrected(last) == PLANNED
    with pytest.raises(TimetableWrong) as refused:
        corrected(last + TICK)
    assert refused.value.article == "art. 5"
    changes = {"closes_at": CLOSES + DAY, "deposit_due_at": DEPOSIT_DUE + DAY}
    assert corrected(last + TICK, **changes).closes_at == CLOSES + DAY


@pytest.mark.article("notice")
@pytest.mark.parametrize("name", TimetableIn.model_fields)
def test_no_instant_comes_sooner_or_is_put_off_to_itself(name: str) -> None:
    for to in (getattr(PLANNED, name), getattr(PLANNED, name) - TICK):
        with pytest.raises(TimetableWrong) as refused:
            corrected(**{name: to})
        assert refused.value.article == "notice"


@pytest.mark.article("notice")
def test_what_has_passed_is_not_put_off() -> None:
    assert corrected(OPENS - TICK, opens_at=OPENS + DAY).opens_at == OPENS + DAY
    for at in (OPENS, OPENS + TICK):
        with pytest.raises(TimetableWrong):
            corrected(at, opens_at=OPENS + DAY)


@pytest.mark.article("notice")
def test_instants_still_follow_each_other() -> None:
    with pytest.raises(TimetableWrong):
        corrected(closes_at=OPENS_BY)
    assert corrected(closes_at=OPENS_BY, opens_by=OPENS_BY + DAY).closes_at == OPENS_BY


@given(days=st.dictionaries(st.sampled_from(sorted(TimetableIn.model_fields)), st.integers(-9, 9)))
def test_a_correction_takes_no_time_from_anybody(days: dict[str, int]) -> None:
    changes = {name: getattr(PLANNED, name) + timedelta(days=n) for name, n in days.items()}
    try:
        later = corrected(**changes)
    except TimetableWrong:
        return
    assert all(getattr(later, name) >= getattr(PLANNED, name) for name in TimetableIn.model_fields)
    assert later.opens_at < later.closes_at < later.opens_by


@pytest.mark.parametrize(
    "changes",
    [
        {"floor_price_yuan": "300.00"},
        {"supply": "1.000"},
        {"tie_rule": "RANDOM"},
        {"pay_days": 30},
        {"publicity_days": 28},
    ],
    ids=str,
)
def test_terms_that_decide_what_a_bid_is_worth_do_not_change(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        CorrectionIn.model_validate({"text": "更正", **changes})


def test_the_last_correction_is_accepted_once() -> None:
    check_acceptance(2, accepted=0, published=2)
    with pytest.raises(CorrectionAlreadyAccepted):
        check_acceptance(2, accepted=2, published=2)


@pytest.mark.article("notice")
@pytest.mark.parametrize(("correction", "published"), [(1, 2), (3, 2), (1, 0)])
def test_no_other_correction_is_accepted(correction: int, published: int) -> None:
    with pytest.raises(CorrectionNotCurrent):
        check_acceptance(correction, accepted=0, published=published)
