"""Facts of energy quota beside its sales: pool, shutdowns, screenings, pledges, coal stocks."""

from typing import ClassVar, Literal

from marketkit.facts import Fact
from marketkit.movements import Movement
from marketkit.units import (
    Day,
    Form,
    Quantity,
    QuantityTce,
    QuantityTonne,
    QuantityTonneOrZero,
)

CoalStockLevel = Literal["BREACH", "OK", "TARGET", "STRETCH"]


class UnitRegistered(Fact):
    """One running extraction-condensing coal unit of the register (art. 4), the unit as key."""

    kind: ClassVar[str] = "unit.registered"
    unit_id: str
    name: str
    region_code: str
    capacity_mw: Quantity
    retire_by: Day
    replacement_measure: str


class UnitRetired(Fact):
    kind: ClassVar[str] = "unit.retired"
    unit_id: str
    retired_on: Day
    shutdown_id: str


class ShutdownRecorded(Fact):
    """Capacity was shut: what, where, by which document (art. 4); the shutdown as key."""

    kind: ClassVar[str] = "shutdown.recorded"
    case: str
    name: str
    industry: str
    region_code: str
    document_no: str
    effective_on: Day
    energy_tce: Quantity
    coal_t: Quantity


class SplitPosted(Fact):
    """What a shutdown freed went to province, city and county by the table of art. 4."""

    kind: ClassVar[str] = "split.posted"
    case: str
    asset: str
    province: Quantity
    city: Quantity
    county: Quantity
    compensated: list[str]
    usable_locally: bool
    movements: list[Movement]


class Assignment(Form):
    """One project's part of a batch of the 14th five-year plan's increment."""

    uscc: str
    project_code: str
    name: str
    quantity_tce: QuantityTce


class IncrementBatchPublished(Fact):
    """A version of the list of projects that get part of the pool (art. 3), the batch as key."""

    kind: ClassVar[str] = "increment_batch.published"
    batch: str
    batch_version: int
    assignments: list[Assignment]


class QuotaAssigned(Fact):
    """A project got quota out of the pool (art. 3)."""

    kind: ClassVar[str] = "quota.assigned"
    account: str
    quantity_tce: QuantityTce
    movements: list[Movement]


class ProjectScreened(Fact):
    """A county found a project eligible to use province-stored quota (art. 5), project as key."""

    kind: ClassVar[str] = "project.screened"
    uscc: str
    project_code: str
    region_code: str
    is_dual_high: bool


class PledgeRegistered(Fact):
    """An enterprise pledged quota to a creditor (art. 19): it is held; the pledge as key."""

    kind: ClassVar[str] = "pledge.registered"
    account: str
    creditor_uscc: str
    asset: str
    quantity: Quantity
    document_no: str
    effective_on: Day
    movements: list[Movement]


class PledgeReleased(Fact):
    """The creditor let go of part of a pledge, or of all that remained of it."""

    kind: ClassVar[str] = "pledge.released"
    account: str
    creditor_uscc: str
    asset: str
    quantity: Quantity
    remaining: Quantity
    document_no: str
    effective_on: Day
    movements: list[Movement]


class CoalStockReported(Fact):
    """A power plant's coal on one day, as its county said (art. 7); a revision corrects.

    The plant is named within its region; both together are the key.
    """

    kind: ClassVar[str] = "coal_stock.reported"
    plant_id: str
    name: str
    region_code: str
    effective_on: Day
    revision: int
    stock_t: QuantityTonneOrZero
    daily_burn_t: QuantityTonne
    days: Quantity
    level: CoalStockLevel


class CoalStockAlerted(Fact):
    """A report that lies below the floor (art. 7), told with it."""

    kind: ClassVar[str] = "coal_stock.alerted"
    plant_id: str
    name: str
    region_code: str
    effective_on: Day
    revision: int
    days: Quantity
    floor_days: int
