"""What the workload does: series of small sales played to their delivery, and takes of quota.

A sale's closings come every few seconds of the house's clock; its prices are canaries.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from builders import a_project_code, a_uscc
from lab.crowd import Crowd
from lab.history import Broken, Call
from lab.house import LabHouse
from marketkit.signing import b64, unb64
from marketkit.units import SHANGHAI, TCE, YUAN, format_instant
from saleroom.drills import Drill
from saleroom.sealing import BidPlace, KeyPair, Step, new_key_pair, seal_bid
from saleroom.shares import Opening, rewrap_share
from yaosu.demo.clock import Clock
from yaosu.demo.people import BUREAU, CENTER, KEY_OFFICERS, Person, county, enterprise
from yaosu.evidence.collect import Asker
from yaosu.keys import GATEWAY, PEOPLE_ISSUER

COUNTY = "370502"
BEGINS = datetime(2022, 4, 11, 9, tzinfo=SHANGHAI)
ANNOUNCED_FOR = timedelta(days=7, hours=1)
PUBLIC_FOR = timedelta(days=7, hours=1)
CANARY = "7391"
WAIT_S = 60.0
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
    """The people of the market and what they do, again and again, until told to stop."""

    house: LabHouse
    crowd: Crowd
    random: random.Random
    bidders: int = 4
    sales: list[LabSale] = field(default_factory=list)
    offset: timedelta = timedelta(0)
    people: dict[str, Person] = field(default_factory=dict)
    closings: int = 0
    before_opening: Callable[[Sequence[LabSale]], Awaitable[None]] | None = None
    over_closing: Callable[[LabSale], Awaitable[None]] | None = None
    _officer_keys: dict[str, KeyPair] = field(default_factory=dict)
    _officer_ids: list[str] = field(default_factory=list)
    _round: int = 0
    _canaries: int = 0
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
        await self._move(BEGINS, is_first=True)
        await asyncio.gather(*(self._officer(number) for number in range(5)))
        await asyncio.gather(*(self._screen(number) for number in range(1, self.bidders + 1)))
        await self.issue(issue("PROVINCE", "370000", "ENERGY", "9000000000000.000"), "store")
        await self.issue(issue("POOL", "370500", "ENERGY", "700000.000"), "pool")

    async def _move(self, to: datetime, *, is_first: bool = False) -> None:
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
        self._officer_keys[person.sub] = pair
        self._officer_ids.append(call.document()["officer_id"])

    async def _screen(self, number: int) -> None:
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

    # One series of sales.

    async def play_round(self, count: int, *, gap_s: float = 1.0, window_s: float = 3.0) -> None:
        """Announce `count` sales that close one after the other, and bring each to its end."""
        self._round += 1
        sales = await self._announce_all(count, gap_s, window_s)
        await asyncio.gather(*(self._enter(sale, n) for sale in sales for n in self._numbers()))
        if not sales:
            return
        await self._move(sales[0].opens_at)
        await asyncio.gather(*(self._bidding(sale) for sale in sales))
        self.closings += len(sales)
        if self.before_opening is not None:
            await self.before_opening(sales)
        cleared = await asyncio.gather(*(self._open(sale) for sale in sales))
        await self._move(self.now() + PUBLIC_FOR)
        ended = [sale for sale, is_cleared in zip(sales, cleared, strict=True) if is_cleared]
        await asyncio.gather(*(self._settle(sale) for sale in ended))

    def _numbers(self) -> range:
        return range(1, self.bidders + 1)

    async def _announce_all(self, count: int, gap_s: float, window_s: float) -> list[LabSale]:
        opens_at = self.now() + ANNOUNCED_FOR
        wanted = [
            self._announce(
                f"r{self._round}/s{n}",
                "ENERGY",
                opens_at,
                opens_at + timedelta(seconds=window_s + gap_s * n),
            )
            for n in range(count)
        ]
        sales = [sale for sale in await asyncio.gather(*wanted) if sale is not None]
        self.sales.extend(sales)
        return sales

    async def _announce(
        self,
        key: str,
        asset: str,
        opens_at: datetime,
        closes_at: datetime,
        supply: str = "1000000000.000",
    ) -> LabSale | None:
        draft = self._draft(asset, opens_at, closes_at, supply)
        drafted = await self.do("draft", CENTER[0], "/v1/sales", draft, key=f"draft/{key}")
        if not drafted.is_done:
            return None
        sale = LabSale(drafted.document()["sale_id"], asset, opens_at, closes_at)
        await self._drill(sale)
        path = f"{sale.path}/announcements"
        announced = await self.do("announce", CENTER[0], path, key=f"announce/{key}")
        if not announced.is_done:
            return None
        notice = await self.crowd.see(None, sale.path)
        sale.public_key = unb64(notice["key"]["public_key"])
        return sale

    async def _drill(self, sale: LabSale) -> None:
        """All five officers show that they can open what is sealed to them."""
        begun = await self.do(
            "drill", CENTER[0], f"{sale.path}/drills", key=f"drill/{sale.sale_id}"
        )
        if begun.is_done:
            await asyncio.gather(*(self._answer_drill(sale, number) for number in range(5)))

    async def _answer_drill(self, sale: LabSale, number: int) -> None:
        person = KEY_OFFICERS[number]
        found = await self.crowd.see(person, f"{sale.path}/drill")
        drill, private_key = (
            Drill(sale.sale_id, found["drill_id"]),
            self._officer_keys[person.sub].private_key,
        )
        answer = drill.answer(
            unb64(found["challenge"]), private_key=private_key, officer=found["officer_id"]
        )
        path = f"{sale.path}/drills/{drill.drill_id}/answers"
        key = f"drill/{drill.drill_id}/{number}"
        await self.do("drill-answer", person, path, {"answer": b64(answer)}, key=key)

    def _draft(
        self, asset: str, opens_at: datetime, closes_at: datetime, supply: str
    ) -> dict[str, Any]:
        return {
            "title": "示例竞购",
            "body": "示例公告",
            "asset": asset,
            "format": "SEALED",
            "supply": supply,
            "lot_size": "0.001",
            "floor_price_yuan": "200.00",
            "price_rule": self.random.choice(["LOWEST_ACCEPTED", "PAY_AS_BID"]),
            "tie_rule": "TIME",
            "undersubscribed": "SELL",
            "purchase_limit": None,
            "bidders_min": 1,
            "deposit_ratio_bp": 2000,
            "pay_days": 7,
            "publicity_days": 7,
            "registration_closes_at": format_instant(opens_at + timedelta(seconds=1)),
            "opens_at": format_instant(opens_at),
            "closes_at": format_instant(closes_at),
            "deposit_due_at": format_instant(closes_at),
            "opens_by": format_instant(closes_at + timedelta(days=4)),
            "fair_review": {
                "document_no": "示例〔2022〕6号",
                "reviewed_on": "2022-04-02",
                "has_locality_condition": False,
                "has_ownership_condition": False,
                "has_designated_supplier": False,
            },
            "key_officers": self._officer_ids,
        }

    async def _enter(self, sale: LabSale, number: int) -> None:
        form = {
            "project_code": a_project_code(number),
            "name": "示例企业",
            "quantity_max": "600000000.000",
        }
        key = f"{sale.sale_id}/{number}"
        path = f"{sale.path}/registrations"
        entered = await self.do(
            "register", self.enterprise(number), path, form, key=f"register/{key}"
        )
        if not entered.is_done:
            return
        registration = entered.document()
        path = f"{path}/{registration['registration_id']}/qualifications"
        verdict = {"verdict": "QUALIFIED", "reason": None}
        if (await self.do("qualify", BUREAU[0], path, verdict, key=f"qualify/{key}")).is_done:
            sale.registrations[number] = registration
            await self._deposit(sale, number)

    async def _deposit(self, sale: LabSale, number: int) -> None:
        registration = sale.registrations[number]
        form = {
            "amount_yuan": registration["deposit_due_yuan"],
            "booked_at": format_instant(self.now() - timedelta(seconds=1)),
            "bank_serial": f"D-{sale.sale_id}-{number}",
        }
        path = f"{sale.path}/registrations/{registration['registration_id']}/deposits"
        await self.do("deposit", CENTER[1], path, form, key=f"deposit/{sale.sale_id}/{number}")

    # Bidding.

    async def _bidding(self, sale: LabSale) -> None:
        """Everybody bids now and then, and again and again around the closing."""
        bidders = [self._bid_until_closed(sale, number) for number in sale.registrations]
        over = self.over_closing(sale) if self.over_closing is not None else asyncio.sleep(0)
        await asyncio.gather(over, *bidders)

    async def _bid_until_closed(self, sale: LabSale, number: int) -> None:
        refused = 0
        while refused < 2:
            left_s = (sale.closes_at - self.now()).total_seconds()
            # Around the close three at once for the same version: one at most may be taken.
            width = 3 if -0.2 < left_s < 1.0 else 1
            calls = await asyncio.gather(*(self.bid(sale, number) for _ in range(width)))
            refused += any(call.code == "BIDDING_CLOSED" for call in calls)
            if left_s < -30:
                return
            await asyncio.sleep(self.random.uniform(0.2, 0.6) if left_s > 0.6 else 0.03)

    async def bid(self, sale: LabSale, number: int) -> Call:
        """One sealed bid, the next version of this bidder's."""
        version = sale.versions.get(number, 0) + 1
        price = self.canary()
        sale.canaries.add(price)
        place = BidPlace(sale.sale_id, a_uscc(number), version)
        # Large enough that money in floats would be wrong.
        quantity = self.random.randint(1_000, 599_999_999_999)
        sealed = seal_bid(
            [Step(YUAN.parse(price), quantity, None)],
            place,
            public_key=sale.public_key,
            unit=TCE,
        )
        form = {
            "ciphertext": b64(sealed.ciphertext),
            "commitment": b64(sealed.commitment),
            "key_sm3": b64(sealed.key_sm3),
            "version": version,
        }
        key = f"bid/{sale.sale_id}/{number}/{version}/{self._canaries}"
        path = f"{sale.path}/sealed-bids"
        call = await self.do("bid", self.enterprise(number), path, form, key=key)
        call.facts = {"closes_at": sale.closes_at, "sale": sale, "offset": self.offset}
        if call.is_done:
            sale.versions[number] = max(version, sale.versions.get(number, 0))
        return call

    def canary(self) -> str:
        self._canaries += 1
        return f"{CANARY}{self._canaries // 100 % 1000:03d}.{self._canaries % 100:02d}"

    # From the closing to the archive.

    async def _open(self, sale: LabSale) -> bool:
        """From the close to the result; whether there is one."""
        key, path = sale.sale_id, sale.path
        await self._until_closed(sale)
        await self.do(
            "reconcile", CENTER[0], f"{path}/deposit-reconciliations", key=f"reconcile/{key}"
        )
        asked = await self.do(
            "opening-request", CENTER[0], f"{path}/openings/requests", key=f"open/{key}/1"
        )
        if not asked.is_done:
            return False
        confirm = f"{path}/openings/requests/{asked.document()['request_id']}/confirmations"
        await self.do("opening-confirm", CENTER[1], confirm, key=f"open/{key}/2")
        sale.is_opened = True
        return await self._give_shares(sale)

    async def _until_closed(self, sale: LabSale) -> None:
        left_s = (sale.closes_at - self.now()).total_seconds()
        await asyncio.sleep(max(0.0, left_s) + 0.05)

    async def _give_shares(self, sale: LabSale) -> bool:
        """Three officers give their shares, again to each new session; whether it was cleared."""
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            notice = await self.crowd.see(None, sale.path)
            if notice["state"] not in {"CLOSED", "OPENED"}:
                return bool(notice["state"] == "CLEARED")
            if notice["state"] == "CLOSED":
                await asyncio.gather(*(self._give_share(sale, n) for n in (0, 2, 4)))
            await asyncio.sleep(0.3)
        return False

    async def _give_share(self, sale: LabSale, number: int) -> None:
        person = KEY_OFFICERS[number]
        try:
            opening = await self.crowd.ask(person, f"{sale.path}/opening")
        except TimeoutError:
            return
        if not opening or not opening["session_key"] or opening["is_given"]:
            return
        wrapped = rewrap_share(
            unb64(opening["share"]),
            private_key=self._officer_keys[person.sub].private_key,
            session_key=unb64(opening["session_key"]),
            opening=Opening(sale.sale_id, opening["opening_id"]),
            officer=opening["officer_id"],
        )
        form = {"session_id": opening["session_id"], "share": b64(wrapped)}
        path = f"{sale.path}/openings/{opening['opening_id']}/shares"
        key = f"share/{opening['session_id']}/{number}"
        await self.do("share", person, path, form, key=key)

    async def _settle(self, sale: LabSale) -> None:
        key = sale.sale_id
        confirmed = await self.do(
            "confirm", BUREAU[0], f"{sale.path}/confirmations", key=f"confirm/{key}"
        )
        if not confirmed.is_done:
            return
        settlements = await self.crowd.see(CENTER[0], f"{sale.path}/settlements")
        contracts = [self._contract(sale, one) for one in settlements["items"]]
        await asyncio.gather(*contracts)
        await self.do("archive", CENTER[0], f"{sale.path}/archivings", key=f"archive/{key}")

    async def _contract(self, sale: LabSale, settlement: dict[str, Any]) -> None:
        one = settlement["registration_id"]
        path, key = f"{sale.path}/settlements/{one}", f"{sale.sale_id}/{one}"
        number = next(n for n, r in sale.registrations.items() if r["registration_id"] == one)
        bidder = self.enterprise(number)
        signed = await self.do("sign", bidder, f"{path}/contracts", key=f"sign/{key}")
        if not signed.is_done:
            return
        form = {
            "amount_yuan": signed.document()["due_yuan"],
            "booked_at": format_instant(self.now() - timedelta(seconds=1)),
            "bank_serial": f"P-{key}",
        }
        await self.do("payment", CENTER[1], f"{path}/payments", form, key=f"pay/{key}")
        receipt = {"treasury_receipt_no": f"T-{key}"}
        await self.do("deliver", BUREAU[1], f"{path}/deliveries", receipt, key=f"deliver/{key}")

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

    # Quota: what is nearly used up, wanted by several at once.

    async def contest(self, number: int) -> None:
        """A thousand tonnes of coal, and three sales that want six hundred each at once."""
        form = issue("PROVINCE", "370000", "COAL", "1000.000")
        await self.issue(form, f"contest/{number}")
        opens_at = self.now() + ANNOUNCED_FOR
        closes_at = opens_at + timedelta(days=300)
        wanted = [
            self._announce(f"contest/{number}/{n}", "COAL", opens_at, closes_at, "600.000")
            for n in range(3)
        ]
        await asyncio.gather(*wanted)

    async def overfill(self, number: int) -> None:
        """More is asked for than the pool may hold: refused at its confirmation, wholly."""
        await self.issue(issue("POOL", "370500", "ENERGY", "90000.000"), f"overfill/{number}")

    async def assign(self, number: int) -> None:
        """A batch of the pool for one project."""
        form = {
            "batch": f"批次{number}",
            "batch_version": 1,
            "assignments": [
                {
                    "uscc": a_uscc(1),
                    "project_code": a_project_code(1),
                    "name": "示例项目",
                    "quantity_tce": f"{1 + number % 7}.125",
                    "region_code": COUNTY,
                    "is_dual_high": False,
                }
            ],
        }
        await self.do("assign", BUREAU[0], "/v1/increment-batches", form, key=f"assign/{number}")

    async def shut_down(self, number: int) -> None:
        """A plant's quota is split between city and county."""
        form = {
            "case": "IN_CITY",
            "name": "示例关停",
            "industry": "示例行业",
            "region_code": COUNTY,
            "document_no": f"示例关停〔2022〕{number}号",
            "effective_on": "2022-04-10",
            "energy_tce": f"{100 + number}.001",
            "coal_t": "0",
        }
        await self.do("shutdown", BUREAU[0], "/v1/shutdowns", form, key=f"shutdown/{number}")
