"""Facts of energy quota beside its sales: the pool, shutdowns and their splits, screenings."""

from typing import ClassVar

from marketkit.facts import Fact
from marketkit.movements import Movement
from marketkit.units import Day, Form, Quantity, QuantityTce


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
