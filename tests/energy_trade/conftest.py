import pytest

from builders import NOON
from energy_office import Office
from marketkit.db import Database


@pytest.fixture
def office(energy_house: Database) -> Office:
    """The energy bureau at noon of 2022-06-01."""
    energy_house.fixed_instant = NOON
    return Office(energy_house)
