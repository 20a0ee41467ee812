"""Two of everything: an enterprise and a county, and the others of whom they must learn nothing."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from builders import COUNTY, OTHER_COUNTY, Trust, a_uscc
from databases import rows
from energy_office import (
    CAPACITIES,
    Office,
    a_bank,
    a_batch,
    a_pledge,
    a_pledgor,
    a_reader,
    a_register,
    a_release,
    a_report,
    a_shutdown,
    a_unit,
    enterprise,
)
from energy_office import an_assignment as assigned
from energy_trade.sales.actions import MARKET
from hostile.examples import Claims
from hostile.house import World, screen
from marketkit.codes import CITY
from marketkit.db import Database
from marketkit.identity import DEPARTMENTS, PEOPLE_ROLES
from stories import Story, a_step
from toy_market import OPENS

MINE, THEIRS, STRANGER = 11, 12, 13
REGIONS = (CITY, COUNTY, OTHER_COUNTY)


class Someone(NamedTuple):
    """Who stands at a door, by a name a failure may be read by."""

    name: str
    claims: Claims | None

    @property
    def roles(self) -> frozenset[str]:
        return frozenset(self.claims["roles"]) if self.claims else frozenset()

    @property
    def region_code(self) -> str:
        return str(self.claims["region_code"]) if self.claims else ""

    @property
    def uscc(self) -> str:
        return str(self.claims["uscc"]) if self.claims else ""

    @property
    def department(self) -> str:
        return str(self.claims.get("department", "")) if self.claims else ""


def of_role(role: str, region_code: str, department: str = "", uscc: str = "") -> Someone:
    claims = {
        "roles": [role],
        "sub": f"{role}-of-{region_code or 'nowhere'}",
        "region_code": region_code,
        "department": department,
        "uscc": uscc,
    }
    return Someone(" ".join(filter(None, (role, region_code, department, uscc))), claims)


def people() -> Iterator[Someone]:
    """Everyone there may be: each role of each region, each department, and four enterprises."""
    yield Someone("nobody", None)
    yield of_role("service", "")
    for role in sorted(PEOPLE_ROLES - {"enterprise"}):
        department = MARKET.department if role == "bureau_officer" else ""
        yield from (of_role(role, region, department) for region in REGIONS)
    yield from (of_role(role, "") for role in ("county_officer", "trading_center", "auditor"))
    for department in sorted({*DEPARTMENTS, ""} - {MARKET.department}):
        yield of_role("bureau_officer", CITY, department)
    for number in (MINE, THEIRS, STRANGER):
        yield of_role("enterprise", "", uscc=a_uscc(number))
    yield of_role("enterprise", CITY)
    yield of_role("creditor", CITY, uscc=bank_of(MINE))


@dataclass
class Town:
    """A sale settled with two buyers of two counties, quota of both, and a sale just open."""

    world: World
    sale_id: str = ""
    mine: dict[str, str] = field(default_factory=dict)
    theirs: dict[str, str] = field(default_factory=dict)

    @classmethod
    async def of(cls, house: Database, trust: Trust) -> "Town":
        story = Story(house, MARKET)
        receipts = await _sold(story)
        world = await World.of(house)
        office = Office(house, trust)
        await _granted(office)
        town = cls(world, story.sale_id)
        for number, county, ids in ((MINE, COUNTY, town.mine), (THEIRS, OTHER_COUNTY, town.theirs)):
            ids |= {
                "account": enterprise(number),
                "registration": story.contract(number),
                "receipt": receipts[number],
                "batch": f"2022-{number}",
                "lot": await _lot_of(house, county),
                "pledge": await _pledged(office, number, county),
            }
        return town

    def ids_of(self, who: Someone) -> tuple[dict[str, str], dict[str, str]]:
        """What is the caller's own, and what another's."""
        is_other = who.region_code == OTHER_COUNTY or who.uscc == a_uscc(THEIRS)
        return (self.theirs, self.mine) if is_other else (self.mine, self.theirs)

    def marks_of(self, who: Someone) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """What stands in rows of the caller's own and nowhere else, and what in another's."""
        marks = {
            id(ids): (a_uscc(number), f'"{county}"', ids["receipt"])
            for number, county, ids in (
                (MINE, COUNTY, self.mine),
                (THEIRS, OTHER_COUNTY, self.theirs),
            )
        }
        own, other = self.ids_of(who)
        return marks[id(own)], marks[id(other)]


async def _sold(story: Story) -> dict[int, str]:
    """The story told to its end; answers the receipt of each buyer's bid."""
    await story.announce()
    await screen(story.house, MINE, COUNTY)
    await screen(story.house, THEIRS, OTHER_COUNTY)
    receipts = {}
    for number in (MINE, THEIRS):
        await story.entrant(number)
    for number in (MINE, THEIRS):
        receipts[number] = await story.bid(number, a_step("220.00", "4000"))
    await story.open()
    await story.confirm()
    for number in (MINE, THEIRS):
        await story.sign(number)
        await story.pay(number)
        await story.deliver(number)
    return receipts


async def _granted(office: Office) -> None:
    """A batch, a unit and a shutdown of each of the two counties."""
    office.house.fixed_instant = OPENS
    await office.fill_pool()
    places = {MINE: COUNTY, THEIRS: OTHER_COUNTY}
    for number, county in places.items():
        line = assigned(number, region_code=county)
        await office.done("increment-batches", a_batch(line, batch=f"2022-{number}"))
        await office.done("shutdowns", a_shutdown(name=f"示例装置{number}", region_code=county))
    last = len(CAPACITIES)
    units = [
        a_unit(n, capacity, region_code=OTHER_COUNTY if n == last else COUNTY)
        for n, capacity in enumerate(CAPACITIES, 1)
    ]
    await office.done("unit-registers", a_register(*units))


def bank_of(number: int) -> str:
    return a_uscc(900 + number)


async def _pledged(office: Office, number: int, county: str) -> str:
    """A pledge to a bank of its own, part of it let go; and coal at a plant of the county."""
    said = a_pledge("1", number, creditor_uscc=bank_of(number))
    pledge_id = (await office.done("pledges", said, a_pledgor(number)))["pledge_id"]
    await office.done(f"pledges/{pledge_id}/releases", a_release("0.5"), a_bank(900 + number))
    officer = a_reader("county_officer", region_code=county)
    answer = await office.send("reports/coal-stock", a_report(), officer)
    assert answer.json()["accepted_count"] == 1
    return str(pledge_id)


async def _lot_of(house: Database, county: str) -> str:
    query = "SELECT lot FROM balance WHERE account = :account ORDER BY lot"
    found: list[Any] = await rows(house, query, account=f"county:{county}")
    return str(found[0].lot)
