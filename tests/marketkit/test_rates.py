"""Row 88: a bucket for each principal."""

import pytest

from marketkit import rates
from marketkit.rates import BURST_S, Rates, TooManyRequests

PER_S = 20
BURST = int(PER_S * BURST_S)


def let_in(asked: Rates, who: str, count: int, now_s: float) -> int:
    """How many of so many requests at one instant are let in."""
    found = 0
    for _ in range(count):
        try:
            asked.check(who, now_s)
        except TooManyRequests:
            continue
        found += 1
    return found


def test_a_burst_is_let_in_and_then_the_steady_rate() -> None:
    asked = Rates(PER_S)
    assert let_in(asked, "one", 1000, 0.0) == BURST
    assert let_in(asked, "one", 1000, 1.0) == PER_S
    assert let_in(asked, "one", 1000, 100.0) == BURST


def test_one_s_haste_is_nobody_else_s() -> None:
    asked = Rates(PER_S)
    let_in(asked, "one", 1000, 0.0)
    assert let_in(asked, "two", 1000, 0.0) == BURST


def test_who_waits_as_told_is_let_in() -> None:
    asked = Rates(PER_S)
    let_in(asked, "one", 1000, 0.0)
    with pytest.raises(TooManyRequests) as refused:
        asked.check("one", 0.0)
    assert refused.value.status == 429
    assert refused.value.retry_after_s == 1
    asked.check("one", float(refused.value.retry_after_s))


def test_who_is_refused_loses_nothing_by_asking() -> None:
    asked, patient = Rates(PER_S), Rates(PER_S)
    for each in (asked, patient):
        let_in(each, "one", BURST, 0.0)
    let_in(asked, "one", 10_000, 0.5)
    let_in(patient, "one", PER_S // 2, 0.5)
    assert let_in(asked, "one", 1000, 1.0) == let_in(patient, "one", 1000, 1.0) == PER_S // 2


def test_who_has_waited_is_forgotten() -> None:
    asked = Rates(PER_S)
    for number in range(3 * rates.REMEMBERED_MAX):
        asked.check(f"person-{number}", float(number))
        assert len(asked._full_at_s) <= rates.REMEMBERED_MAX
