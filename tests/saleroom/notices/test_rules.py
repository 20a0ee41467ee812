"""What a notice may say, and when it may be announced."""

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from energy_trade.policy import policy_on
from marketkit.errors import InputInvalid
from marketkit.units import day_of
from saleroom.notices.rules import (
    DrillNotPassed,
    FairReview,
    FairReviewMissing,
    FollowedQuantityExceeded,
    FollowedSaleWrong,
    Notice,
    TermsOutOfBounds,
    TimetableWrong,
    check_drill,
    check_follows,
    check_notice,
    check_order,
    quantity_minor,
    read_fair_review,
)
from toy_market import (
    ANNOUNCED,
    CLOSES,
    DAY,
    DEPOSIT_DUE,
    OPENS,
    OPENS_BY,
    REGISTRATION_CLOSES,
    TICK,
    a_review,
)

RULES = policy_on(date(2022, 10, 10)).sale
REVIEW = FairReview.model_validate(a_review())
NOTICE = Notice(
    asset="ENERGY",
    format="SEALED",
    supply_minor=10_000_000,
    lot_minor=1_000,
    floor_fen=20_000,
    price_rule="LOWEST_ACCEPTED",
    tie_rule="TIME",
    undersubscribed="SELL",
    purchase_limit_minor=None,
    bidders_min=1,
    deposit_ratio_bp=2_000,
    deposit_interest_bp=0,
    pay_days=7,
    publicity_days=7,
    registration_closes_at=REGISTRATION_CLOSES,
    opens_at=OPENS,
    closes_at=CLOSES,
    deposit_due_at=DEPOSIT_DUE,
    opens_by=OPENS_BY,
    fair_review=REVIEW,
)


def check(**changes: Any) -> None:
    check_notice(replace(NOTICE, **changes), RULES, ANNOUNCED, day_of(ANNOUNCED))


@pytest.mark.article("art. 5")
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"floor_fen": 200_000},
        {"deposit_ratio_bp": 1_000},
        {"deposit_ratio_bp": 3_000},
        {"deposit_interest_bp": 200},
        {"bidders_min": 10},
        {"pay_days": 30},
        {"publicity_days": 7},
        {"publicity_days": 28},
        {"purchase_limit_minor": 10_000_000},
        {"purchase_limit_minor": 1_000},
        {"tie_rule": "PRO_RATA", "price_rule": "PAY_AS_BID", "undersubscribed": "CANCEL"},
        {"registration_closes_at": CLOSES, "deposit_due_at": CLOSES},
    ],
    ids=str,
)
def test_a_notice_within_its_bounds_may_be_announced(changes: dict[str, Any]) -> None:
    check(**changes)


@pytest.mark.article("art. 5")
@pytest.mark.parametrize(
    ("changes", "article"),
    [
        ({"format": "ASCENDING"}, "art. 5"),
        ({"price_rule": "HIGHEST"}, "art. 5"),
        ({"tie_rule": "LUCK"}, "art. 5"),
        ({"undersubscribed": "WAIT"}, "art. 5"),
        ({"asset": "LAND"}, "art. 5"),
        ({"floor_fen": 19_999}, "art. 5"),
        ({"floor_fen": 200_001}, "art. 5"),
        ({"deposit_ratio_bp": 999}, "art. 5"),
        ({"deposit_ratio_bp": 3_001}, "art. 5"),
        ({"deposit_interest_bp": 201}, "art. 5"),
        ({"bidders_min": 11}, "art. 5"),
        ({"pay_days": 31}, "art. 5"),
        ({"publicity_days": 6}, "art. 5"),
        ({"publicity_days": 29}, "art. 5"),
        ({"purchase_limit_minor": 999}, "notice"),
        ({"purchase_limit_minor": 20_000_000}, "art. 5"),
        ({"lot_minor": 3_000}, "notice"),
        ({"lot_minor": 20_000_000}, "notice"),
    ],
    ids=str,
)
def test_a_term_out_of_bounds_is_refused_with_its_article(
    changes: dict[str, Any], article: str
) -> None:
    with pytest.raises(TermsOutOfBounds) as refused:
        check(**changes)
    assert refused.value.article == article
    assert refused.value.detail


def test_no_limit_is_a_limit_of_all_that_is_offered() -> None:
    half = RULES.purchase_limit.value.model_copy(update={"usual": 5_000, "most": 5_000})
    rule = RULES.purchase_limit.model_copy(update={"value": half})
    rules = RULES.model_copy(update={"purchase_limit": rule})
    check_notice(
        replace(NOTICE, purchase_limit_minor=5_000_000), rules, ANNOUNCED, day_of(ANNOUNCED)
    )
    with pytest.raises(TermsOutOfBounds):
        check_notice(NOTICE, rules, ANNOUNCED, day_of(ANNOUNCED))


@pytest.mark.article("art. 5")
def test_a_notice_stands_for_seven_to_twenty_eight_days() -> None:
    later = {"closes_at": CLOSES + 21 * DAY, "opens_by": OPENS_BY + 21 * DAY}
    check(opens_at=ANNOUNCED + 7 * DAY)
    check(opens_at=ANNOUNCED + 28 * DAY, **later)
    for opens_at in (ANNOUNCED + 7 * DAY - TICK, ANNOUNCED + 28 * DAY + TICK):
        with pytest.raises(TimetableWrong) as refused:
            check(opens_at=opens_at, **later)
        assert refused.value.article == "art. 5"


@pytest.mark.parametrize(
    "changes",
    [
        {"closes_at": OPENS},
        {"opens_by": CLOSES},
        {"registration_closes_at": CLOSES + TICK},
        {"deposit_due_at": CLOSES + TICK},
    ],
    ids=str,
)
def test_instants_out_of_order_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(TimetableWrong) as refused:
        check_order(replace(NOTICE, **changes))
    assert refused.value.article == "notice"


@pytest.mark.parametrize("name", ["registration_closes_at", "deposit_due_at"])
def test_what_is_over_when_the_notice_appears_is_refused(name: str) -> None:
    check(**{name: ANNOUNCED + TICK})
    with pytest.raises(TimetableWrong):
        check(**{name: ANNOUNCED})


@pytest.mark.parametrize(
    "finding", ["has_locality_condition", "has_ownership_condition", "has_designated_supplier"]
)
def test_a_finding_of_the_fair_review_stops_the_announcement(finding: str) -> None:
    with pytest.raises(FairReviewMissing) as refused:
        check(fair_review=FairReview.model_validate(a_review(**{finding: True})))
    assert refused.value.article == "measure 2"


def test_no_fair_review_or_one_of_tomorrow_stops_the_announcement() -> None:
    tomorrow = (day_of(ANNOUNCED) + timedelta(days=1)).isoformat()
    for review in (None, FairReview.model_validate(a_review(reviewed_on=tomorrow))):
        with pytest.raises(FairReviewMissing):
            check(fair_review=review)


def test_a_stored_checklist_is_read_back() -> None:
    assert read_fair_review(REVIEW.model_dump_json()) == REVIEW
    assert read_fair_review("") is None
    assert read_fair_review("{}") is None


@pytest.mark.parametrize(
    ("asset", "text"),
    [("LAND", "1"), ("ENERGY", "0"), ("ENERGY", "1.0001"), ("ENERGY", "1e3"), ("ENERGY", "-1")],
)
def test_a_quantity_its_unit_cannot_say_is_no_quantity(asset: str, text: str) -> None:
    with pytest.raises(InputInvalid):
        quantity_minor(asset, text)


def test_a_quantity_is_read_in_the_minor_unit_of_its_asset() -> None:
    assert quantity_minor("ENERGY", "1234.567") == 1_234_567
    assert quantity_minor("COAL", "0.001") == 1


@pytest.mark.article("notice")
def test_a_drill_is_passed_when_the_last_of_the_five_has_answered() -> None:
    answered = [ANNOUNCED - TICK * number for number in range(5)]
    assert check_drill(answered) == ANNOUNCED
    for number in range(5):
        with pytest.raises(DrillNotPassed):
            check_drill([None if at == number else one for at, one in enumerate(answered)])


@pytest.mark.article("notice")
@pytest.mark.parametrize(
    ("supply_minor", "is_alike", "left_minor", "refusal"),
    [
        (1, False, 10, FollowedSaleWrong),
        (11, True, 10, FollowedQuantityExceeded),
        (1, True, 0, FollowedQuantityExceeded),
        (1, True, -5, FollowedQuantityExceeded),
    ],
)
def test_what_may_not_follow(
    supply_minor: int, is_alike: bool, left_minor: int, refusal: type[Exception]
) -> None:
    check_follows(10, is_alike=True, left_minor=10)
    with pytest.raises(refusal):
        check_follows(supply_minor, is_alike=is_alike, left_minor=left_minor)
