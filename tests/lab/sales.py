"""Series of small sales, each played from its draft to its archive.

Closings come every few seconds of the house's clock; the prices are canaries.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeVar

from builders import a_project_code, a_uscc
from lab.history import Call
from lab.market import LabSale, Market
from marketkit.signing import b64, unb64
from marketkit.units import TCE, YUAN, format_instant
from saleroom.drills import Drill
from saleroom.sealing import BidPlace, Step, seal_bid
from saleroom.shares import Opening, rewrap_share
from yaosu.demo.people import BUREAU, CENTER, KEY_OFFICERS

T = TypeVar("T")

ANNOUNCED_FOR = timedelta(days=7, hours=1)
PUBLIC_FOR = timedelta(days=7, hours=1)
CANARY = "7391"
WAIT_S = 60.0
AT_ONCE_MAX = 12


@dataclass(frozen=True)
class Series:
    """A round of sales that open at once and close one after the other.

    Args:
        sales: How many.
        gap_s: Between two closings.
        window_s: From the opening to the first of them.
        bids_from_s: How long before its close a sale's bids begin.
        ends_every: One in so many is opened, settled and archived; the others are left closed.
    """

    sales: int = 3
    gap_s: float = 1.0
    window_s: float = 4.0
    bids_from_s: float = 60.0
    ends_every: int = 1


@dataclass
class Sales:
    """What the people of the market do with sales, round after round."""

    market: Market
    series: Series = field(default_factory=Series)
    closings: int = 0
    before_opening: Callable[[Sequence[LabSale]], Awaitable[None]] | None = None
    over_closing: Callable[[LabSale], Awaitable[None]] | None = None
    _round: int = 0
    _canaries: int = 0

    async def play_round(self) -> None:
        """Announce a series of sales, and bring them to their end."""
        self._round += 1
        sales = await self._announce_all()
        entries = ((sale, number) for sale in sales for number in self._numbers())
        await self._few_at_once(self._enter(sale, number) for sale, number in entries)
        if not sales:
            return
        await self.market.move(sales[0].opens_at)
        await asyncio.gather(*(self._bidding(sale) for sale in sales))
        self.closings += len(sales)
        if self.before_opening is not None:
            await self.before_opening(sales)
        opened = sales[:: self.series.ends_every]
        cleared = await asyncio.gather(*(self._open(sale) for sale in opened))
        await self.market.move(self.market.now() + PUBLIC_FOR)
        ended = [sale for sale, is_cleared in zip(opened, cleared, strict=True) if is_cleared]
        await asyncio.gather(*(self._settle(sale) for sale in ended))

    async def _few_at_once(self, wanted: Iterable[Awaitable[T]]) -> list[T]:
        """All of it, as much at once as the house can do: hundreds would only wait in line."""
        room = asyncio.Semaphore(AT_ONCE_MAX)

        async def one(work: Awaitable[T]) -> T:
            async with room:
                return await work

        return await asyncio.gather(*(one(work) for work in wanted))

    def _numbers(self) -> range:
        return range(1, self.market.bidders + 1)

    async def _announce_all(self) -> list[LabSale]:
        opens_at, series = self.market.now() + ANNOUNCED_FOR, self.series
        wanted = [
            self.announce(
                f"r{self._round}/s{n}",
                "ENERGY",
                opens_at,
                opens_at + timedelta(seconds=series.window_s + series.gap_s * n),
            )
            for n in range(series.sales)
        ]
        sales = [sale for sale in await self._few_at_once(wanted) if sale is not None]
        self.market.sales.extend(sales)
        return sales

    async def announce(
        self,
        key: str,
        asset: str,
        opens_at: datetime,
        closes_at: datetime,
        supply: str = "1000000000.000",
    ) -> LabSale | None:
        draft = self._draft(asset, opens_at, closes_at, supply)
        drafted = await self.market.do("draft", CENTER[0], "/v1/sales", draft, key=f"draft/{key}")
        if not drafted.is_done:
            return None
        sale = LabSale(drafted.document()["sale_id"], asset, opens_at, closes_at)
        await self._drill(sale)
        path = f"{sale.path}/announcements"
        announced = await self.market.do("announce", CENTER[0], path, key=f"announce/{key}")
        if not announced.is_done:
            return None
        notice = await self.market.crowd.see(None, sale.path)
        sale.public_key = unb64(notice["key"]["public_key"])
        return sale

    async def _drill(self, sale: LabSale) -> None:
        """All five officers show that they can open what is sealed to them."""
        begun = await self.market.do(
            "drill", CENTER[0], f"{sale.path}/drills", key=f"drill/{sale.sale_id}"
        )
        if begun.is_done:
            await asyncio.gather(*(self._answer_drill(sale, number) for number in range(5)))

    async def _answer_drill(self, sale: LabSale, number: int) -> None:
        person = KEY_OFFICERS[number]
        found = await self.market.crowd.see(person, f"{sale.path}/drill")
        drill, private_key = (
            Drill(sale.sale_id, found["drill_id"]),
            self.market.officer_keys[person.sub].private_key,
        )
        answer = drill.answer(
            unb64(found["challenge"]), private_key=private_key, officer=found["officer_id"]
        )
        path = f"{sale.path}/drills/{drill.drill_id}/answers"
        key = f"drill/{drill.drill_id}/{number}"
        await self.market.do("drill-answer", person, path, {"answer": b64(answer)}, key=key)

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
            "price_rule": self.market.random.choice(["LOWEST_ACCEPTED", "PAY_AS_BID"]),
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
            "key_officers": self.market.officer_ids,
        }

    async def _enter(self, sale: LabSale, number: int) -> None:
        form = {
            "project_code": a_project_code(number),
            "name": "示例企业",
            "quantity_max": "600000000.000",
        }
        key = f"{sale.sale_id}/{number}"
        path = f"{sale.path}/registrations"
        entered = await self.market.do(
            "register", self.market.enterprise(number), path, form, key=f"register/{key}"
        )
        if not entered.is_done:
            return
        registration = entered.document()
        path = f"{path}/{registration['registration_id']}/qualifications"
        verdict = {"verdict": "QUALIFIED", "reason": None}
        if (
            await self.market.do("qualify", BUREAU[0], path, verdict, key=f"qualify/{key}")
        ).is_done:
            sale.registrations[number] = registration
            await self._deposit(sale, number)

    async def _deposit(self, sale: LabSale, number: int) -> None:
        registration = sale.registrations[number]
        form = {
            "amount_yuan": registration["deposit_due_yuan"],
            "booked_at": format_instant(self.market.now() - timedelta(seconds=1)),
            "bank_serial": f"D-{sale.sale_id}-{number}",
        }
        path = f"{sale.path}/registrations/{registration['registration_id']}/deposits"
        await self.market.do(
            "deposit", CENTER[1], path, form, key=f"deposit/{sale.sale_id}/{number}"
        )

    # Bidding.

    async def _bidding(self, sale: LabSale) -> None:
        """Everybody bids now and then, and again and again around the closing."""
        bidders = [self._bid_until_closed(sale, number) for number in sale.registrations]
        over = self.over_closing(sale) if self.over_closing is not None else asyncio.sleep(0)
        await asyncio.gather(over, *bidders)

    async def _bid_until_closed(self, sale: LabSale, number: int) -> None:
        refused = 0
        left_s = (sale.closes_at - self.market.now()).total_seconds()
        await asyncio.sleep(max(0.0, left_s - self.series.bids_from_s))
        while refused < 2:
            left_s = (sale.closes_at - self.market.now()).total_seconds()
            # Around the close three at once for the same version: one at most may be taken.
            width = 3 if -0.2 < left_s < 1.0 else 1
            calls = await asyncio.gather(*(self.bid(sale, number) for _ in range(width)))
            refused += any(call.code == "BIDDING_CLOSED" for call in calls)
            if left_s < -30:
                return
            await asyncio.sleep(self.market.random.uniform(0.2, 0.6) if left_s > 0.6 else 0.03)

    async def bid(self, sale: LabSale, number: int) -> Call:
        """One sealed bid, the next version of this bidder's."""
        version = sale.versions.get(number, 0) + 1
        price = self.canary()
        sale.canaries.add(price)
        place = BidPlace(sale.sale_id, a_uscc(number), version)
        # Large enough that money in floats would be wrong.
        quantity = self.market.random.randint(1_000, 599_999_999_999)
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
        call = await self.market.do("bid", self.market.enterprise(number), path, form, key=key)
        call.facts = {"closes_at": sale.closes_at, "sale": sale, "offset": self.market.offset}
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
        await self.market.do(
            "reconcile", CENTER[0], f"{path}/deposit-reconciliations", key=f"reconcile/{key}"
        )
        asked = await self.market.do(
            "opening-request", CENTER[0], f"{path}/openings/requests", key=f"open/{key}/1"
        )
        if not asked.is_done:
            return False
        confirm = f"{path}/openings/requests/{asked.document()['request_id']}/confirmations"
        await self.market.do("opening-confirm", CENTER[1], confirm, key=f"open/{key}/2")
        sale.is_opened = True
        return await self._give_shares(sale)

    async def _until_closed(self, sale: LabSale) -> None:
        left_s = (sale.closes_at - self.market.now()).total_seconds()
        await asyncio.sleep(max(0.0, left_s) + 0.05)

    async def _give_shares(self, sale: LabSale) -> bool:
        """Three officers give their shares, again to each new session; whether it was cleared."""
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            notice = await self.market.crowd.see(None, sale.path)
            if notice["state"] not in {"CLOSED", "OPENED"}:
                return bool(notice["state"] == "CLEARED")
            if notice["state"] == "CLOSED":
                await asyncio.gather(*(self._give_share(sale, n) for n in (0, 2, 4)))
            await asyncio.sleep(0.3)
        return False

    async def _give_share(self, sale: LabSale, number: int) -> None:
        person = KEY_OFFICERS[number]
        try:
            opening = await self.market.crowd.ask(person, f"{sale.path}/opening")
        except TimeoutError:
            return
        if not opening or not opening["session_key"] or opening["is_given"]:
            return
        wrapped = rewrap_share(
            unb64(opening["share"]),
            private_key=self.market.officer_keys[person.sub].private_key,
            session_key=unb64(opening["session_key"]),
            opening=Opening(sale.sale_id, opening["opening_id"]),
            officer=opening["officer_id"],
        )
        form = {"session_id": opening["session_id"], "share": b64(wrapped)}
        path = f"{sale.path}/openings/{opening['opening_id']}/shares"
        key = f"share/{opening['session_id']}/{number}"
        await self.market.do("share", person, path, form, key=key)

    async def _settle(self, sale: LabSale) -> None:
        key = sale.sale_id
        confirmed = await self.market.do(
            "confirm", BUREAU[0], f"{sale.path}/confirmations", key=f"confirm/{key}"
        )
        if not confirmed.is_done:
            return
        settlements = await self.market.crowd.see(CENTER[0], f"{sale.path}/settlements")
        contracts = [self._contract(sale, one) for one in settlements["items"]]
        await asyncio.gather(*contracts)
        await self.market.do("archive", CENTER[0], f"{sale.path}/archivings", key=f"archive/{key}")

    async def _contract(self, sale: LabSale, settlement: dict[str, Any]) -> None:
        one = settlement["registration_id"]
        path, key = f"{sale.path}/settlements/{one}", f"{sale.sale_id}/{one}"
        number = next(n for n, r in sale.registrations.items() if r["registration_id"] == one)
        bidder = self.market.enterprise(number)
        signed = await self.market.do("sign", bidder, f"{path}/contracts", key=f"sign/{key}")
        if not signed.is_done:
            return
        form = {
            "amount_yuan": signed.document()["due_yuan"],
            "booked_at": format_instant(self.market.now() - timedelta(seconds=1)),
            "bank_serial": f"P-{key}",
        }
        await self.market.do("payment", CENTER[1], f"{path}/payments", form, key=f"pay/{key}")
        receipt = {"treasury_receipt_no": f"T-{key}"}
        await self.market.do(
            "deliver", BUREAU[1], f"{path}/deliveries", receipt, key=f"deliver/{key}"
        )
