"""The list of hostile rows is whole, and each place it names is there."""

import re
from pathlib import Path

import pytest

from hostile.register import MET, NOT_YET

TESTS = Path(__file__).parents[1]
ROWS = range(1, 93)


def test_every_row_is_met_or_says_why_not() -> None:
    assert sorted([*MET, *NOT_YET]) == list(ROWS)
    assert all(NOT_YET.values())


@pytest.mark.parametrize("number", MET)
def test_where_a_row_is_met_it_is(number: int) -> None:
    assert MET[number]
    for place in MET[number]:
        file, _, name = place.partition("::")
        text = TESTS.joinpath(file).read_text("utf-8")
        if name:
            assert re.search(rf"\n *(async )?def {name}\(", text), place
        else:
            # As data: `Row(7, …)`, or a case whose name begins with the number.
            assert re.search(rf'\bRow\(\s*{number},|"{number} [a-z0-9]', text), place
