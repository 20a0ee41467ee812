import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from marketkit.movements import Leg, Movement, fold

legs = st.builds(
    Leg,
    account=st.sampled_from(["a", "b", "c"]),
    asset=st.sampled_from(["ENERGY", "COAL"]),
    lot=st.sampled_from(["l1", "l2"]),
    posted=st.integers(-(10**15), 10**15),
    held=st.integers(-(10**15), 10**15),
)


@given(legs)
def test_a_leg_is_told_in_peoples_units_and_read_back(leg: Leg) -> None:
    told = Movement.of(leg)
    assert told.leg() == leg
    assert Movement.model_validate_json(told.model_dump_json()) == told


def test_a_movement_is_a_decimal_text() -> None:
    leg = Leg("city", "ENERGY", "lot-1", -1_500, 1)
    assert Movement.of(leg).model_dump() == {
        "account": "city",
        "asset": "ENERGY",
        "lot": "lot-1",
        "posted": "-1.500",
        "held": "0.001",
    }
    with pytest.raises(ValidationError):
        Movement(account="a", asset="ENERGY", lot="l", posted="1e3", held="0")


@given(st.lists(legs, max_size=30), st.randoms(use_true_random=False))
def test_holdings_are_the_sum_in_any_order(moved: list[Leg], draw: object) -> None:
    shuffled = list(moved)
    draw.shuffle(shuffled)  # type: ignore[attr-defined]  # a Random
    assert fold(shuffled) == fold(moved)
    for place, (posted, held) in fold(moved).items():
        mine = [leg for leg in moved if leg[:3] == place]
        assert posted == sum(leg.posted for leg in mine)
        assert held == sum(leg.held for leg in mine)
        assert (posted, held) != (0, 0)


def test_what_went_and_came_back_is_left_out() -> None:
    assert fold([Leg("a", "ENERGY", "l", 5, 0), Leg("a", "ENERGY", "l", -5, 0)]) == {}
