"""Facts of the drill before an announcement, the same in both trading markets, the sale as key."""

from typing import ClassVar

from marketkit.facts import Fact


class DrillBegun(Fact):
    """Each of a draft's key officers is asked to open something wrapped to its registered key."""

    kind: ClassVar[str] = "sale.drill_begun"
    drill_id: str


class DrillAnswered(Fact):
    """A key officer has opened it."""

    kind: ClassVar[str] = "sale.drill_answered"
    drill_id: str
    officer_id: str
