"""The people of the market: who they are, their clock, and the quota they begin with."""

import asyncio
import random
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from builders import a_project_code, a_uscc
from lab.crowd import Crowd
from lab.history import Broken, Call
from lab.house import LabHouse
from marketkit.signing import b64
from marketkit.units import SHANGHAI
from saleroom.sealing import KeyPair, new_key_pair
from yaosu.demo.clock import Clock
from yaosu.demo.people import BUREAU, KEY_OFFICERS, Person, county, enterprise
from yaosu.evidence.collect import Asker
from yaosu.keys import GATEWAY, PEOPLE_ISSUER

COUNTY = "370502"
BEGINS = datetime(2022, 4, 11, 9, tzinfo=SHANGHAI)
SYSTEM_ADMIN = Person("system-admin-1", "system_admin")
SECURITY_ADMIN = Person("security-admin-1", "security_admin")


def issue(kind: str, region: str, asset: str, quantity: str) -> dict[str, Any]:
    return {
        "account_kind": kind,
        "region_code": region,
        "asset": asset,
        "quantity": quantity,
        "document_no": "示例〔2022〕1号",
        "effective_on": "2022-04-06",
        "article": "art. 3" if kind == "POOL" else "art. 5",
        "restrictions": {"is_dual_high_barred": True},
    }


@dataclass
class LabSale:
    """A sale as its people know it."""

    sale_id: str
    asset: str
    opens_at: datetime
    closes_at: datetime
    public_key: bytes = b""
    registrations: dict[int, dict[str, Any]] = field(default_factory=dict)
    versions: dict[int, int] = field(default_factory=dict)
    canaries: set[str] = field(default_factory=set)
    held: tuple[datetime, datetime] | None = None
    is_opened: bool = False

    @property
    def path(self) -> str:
        return f"/v1/sales/{self.sale_id}"


@dataclass
class Market:
    """The people of the market, what they know of each other's sales, and the clock they set."""

    house: LabHouse
    crowd: Crowd
    random: random.Random
    bidders: int = 4
    sales: list[LabSale] = field(default_factory=list)
    offset: timedelta = timedelta(0)
    people: dict[str, Person] = field(default_factory=dict)
    officer_keys: dict[str, KeyPair] = field(default_factory=dict)
    officer_ids: list[str] = field(default_factory=list)
    _replays: int = 0

    def enterprise(self, number: int) -> Person:
        return enterprise(a_uscc(number), COUNTY)

    async def do(
        self, kind: str, person: Person, path: str, form: dict[str, Any] | None = None, *, key: str
    ) -> Call:
        self.people[f"{PEOPLE_ISSUER}|{person.sub}"] = person
        return await self.crowd.do(kind, person, path, form, key=key)

    def now(self) -> datetime:
        """The instant of the house, by this machine's clock and the offset it was given."""
        return datetime.fromtimestamp(time.time(), UTC) + self.offset

    # The clock.

    async def begin(self) -> None:
        """Set the clock to 2022; register officers and projects; bring quota into being."""
        await self.move(BEGINS, is_first=True)
        await asyncio.gather(*(self._officer(number) for number in range(5)))
        await asyncio.gather(*(self.screen(number) for number in range(1, self.bidders + 1)))
        await self.issue(issue("PROVINCE", "370000", "ENERGY", "9000000000000.000"), "store")
        await self.issue(issue("POOL", "370500", "ENERGY", "700000.000"), "pool")

    async def move(self, to: datetime, *, is_first: bool = False) -> None:
        asker = Asker(self.house.keys.signer(GATEWAY), self.house_source)
        async with Clock(self.house.inner_urls, asker) as clock:
            if is_first:
                await clock.begin(to, has_begun=False)
            else:
                await clock.move(to)
        await self.learn_offset()

    @property
    def house_source(self) -> str:
        return "/370500/gateway"

    async def learn_offset(self) -> None:
        ((offset,),) = await asyncio.to_thread(
            self.house.rows, "energy", "SELECT clock_offset FROM house"
        )
        self.offset = offset

    # Before a sale.

    async def _officer(self, number: int) -> None:
        person, pair = KEY_OFFICERS[number], new_key_pair()
        form = {"public_key": b64(pair.public_key)}
        call = await self.do("key-officer", person, "/v1/key-officers", form, key="officer")
        if not call.is_done:
            raise Broken("G8", f"a key officer was refused: {call.answer[:200]!r}")
        self.officer_keys[person.sub] = pair
        self.officer_ids.append(call.document()["officer_id"])

    async def screen(self, number: int) -> None:
        form = {
            "uscc": a_uscc(number),
            "project_code": a_project_code(number),
            "name": "示例项目",
            "is_dual_high": False,
        }
        key = f"screening/{number}"
        await self.do("screening", county(COUNTY), "/v1/screenings", form, key=key)

    async def issue(self, form: dict[str, Any], key: str) -> Call:
        """One officer asks for an issue, another confirms it."""
        path = "/v1/issues/requests"
        asked = await self.do("issue-request", BUREAU[0], path, form, key=f"issue/{key}/1")
        if not asked.is_done:
            raise Broken("G8", f"an issue was refused: {asked.answer[:200]!r}")
        confirm = f"{path}/{asked.document()['request_id']}/confirmations"
        return await self.do("issue-confirm", BUREAU[1], confirm, key=f"issue/{key}/2")

    async def replay(self) -> None:
        """What could not be shown is tried again: asked for by one, allowed by another."""
        form = {"source": "/370500/energy-trade", "reason": "示例"}
        self._replays += 1
        key = f"replay/{self._replays}"
        asked = await self.do(
            "replay-request", SYSTEM_ADMIN, "/v1/replays/requests", form, key=f"{key}/1"
        )
        if asked.is_done:
            request_id = asked.document()["request"]["request_id"]
            path = f"/v1/replays/requests/{request_id}/confirmations"
            await self.do("replay", SECURITY_ADMIN, path, key=f"{key}/2")
