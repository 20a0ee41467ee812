"""The one shape in which quota moves, and the fold that is every holding there is. Pure."""

from collections.abc import Iterable
from typing import NamedTuple

from marketkit.units import ASSET_UNITS, Form, SignedQuantity


class Leg(NamedTuple):
    """One account's part of a transfer, in minor units: what is posted to it, what is held."""

    account: str
    asset: str
    lot: str
    posted: int
    held: int


class Movement(Form):
    """A leg as events carry it: decimal strings in the asset's unit."""

    account: str
    asset: str
    lot: str
    posted: SignedQuantity
    held: SignedQuantity

    @classmethod
    def of(cls, leg: Leg) -> "Movement":
        unit = ASSET_UNITS[leg.asset]
        return cls(
            account=leg.account,
            asset=leg.asset,
            lot=leg.lot,
            posted=unit.format(leg.posted),
            held=unit.format(leg.held),
        )

    def leg(self) -> Leg:
        unit = ASSET_UNITS[self.asset]
        posted, held = unit.parse(self.posted, signed=True), unit.parse(self.held, signed=True)
        return Leg(self.account, self.asset, self.lot, posted, held)


def fold(legs: Iterable[Leg]) -> dict[tuple[str, str, str], tuple[int, int]]:
    """(account, asset, lot) → (posted, held): the holdings after these legs, zeros left out."""
    holdings: dict[tuple[str, str, str], tuple[int, int]] = {}
    for leg in legs:
        posted, held = holdings.get(leg[:3], (0, 0))
        holdings[leg[:3]] = (posted + leg.posted, held + leg.held)
    return {place: sums for place, sums in holdings.items() if sums != (0, 0)}
