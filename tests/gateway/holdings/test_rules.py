import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.holdings.rules import grouped, unit_of
from marketkit.units import TCE


@pytest.mark.parametrize(
    ("decimal", "read"),
    [
        ("0.000", "0.000"),
        ("999", "999"),
        ("1000", "1,000"),
        ("1234567.890", "1,234,567.890"),
        ("-1234.5", "-1,234.5"),
        ("-0.001", "-0.001"),
    ],
)
def test_thousands_are_set_apart(decimal: str, read: str) -> None:
    assert grouped(decimal) == read


@given(st.integers(-(2**63), 2**63 - 1))
def test_nothing_but_commas_is_added(minor: int) -> None:
    assert grouped(TCE.format(minor)).replace(",", "") == TCE.format(minor)


def test_an_asset_without_a_unit_is_an_error() -> None:
    with pytest.raises(LookupError):
        unit_of("GOLD")
