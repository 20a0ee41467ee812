"""The sale of the demonstration, step by step, each by who may take it."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from marketkit.units import TCE, format_instant
from saleroom.sealing import BidPlace
from yaosu.bid import Receipt, place_bid, read_steps
from yaosu.client import Client, Refused, Stopped
from yaosu.demo import facts
from yaosu.demo.clock import Clock
from yaosu.demo.facts import BIDDERS, Bidder, minutes_after
from yaosu.demo.people import BUREAU, CENTER, KEY_OFFICERS, Desk, enterprise
from yaosu.share import answer_drill, give_share, own_key, register_key

SALES = "/v1/energy/sales"
BOARD = "/v1/board/sales"
WAIT_S = 60.0
# What comes after the opening: who opened gave their shares for good.
OPENED = frozenset({"OPENED", "CLEARED", "CONFIRMED", "SETTLED", "ARCHIVED"})
END = "ARCHIVED"
NOT_FOUND = 404

Say = Callable[[str], None]


class StillWaiting(Stopped):
    """Something that the house does by itself has not happened."""


@dataclass
class Sale:
    """The sale as it goes: its id, who entered, and what they were answered."""

    desk: Desk
    clock: Clock
    key_dir: Path
    say: Say
    sale_id: str = ""
    registrations: dict[str, dict[str, Any]] = field(default_factory=dict)
    receipts: dict[str, Receipt] = field(default_factory=dict)

    @property
    def path(self) -> str:
        return f"{SALES}/{self.sale_id}"

    def entry(self, bidder: Bidder) -> str:
        return f"{self.path}/registrations/{self.registrations[bidder.uscc]['registration_id']}"

    async def notice(self) -> dict[str, Any]:
        found: dict[str, Any] = await self.desk.ask(CENTER[0], self.path)
        return found

    async def announce(self) -> None:
        """Draft, drill and announce, to five key officers who registered their keys before."""
        await self.clock.move(facts.DRAFTED)
        officers = [
            await register_key(
                self.desk.client,
                "energy",
                self._key_file(number),
                token=self.desk.token(officer),
            )
            for number, officer in enumerate(KEY_OFFICERS)
        ]
        draft = facts.SALE | {"key_officers": officers}
        drafted = await self.desk.act(CENTER[0], SALES, draft, key="sale/draft")
        self.sale_id = drafted["sale_id"]
        await self._drill()
        await self.desk.act(CENTER[0], f"{self.path}/announcements", key="sale/announcement")
        self.say(f"公告 {facts.TITLE}，标的 10,000 吨标准煤，底价 200.00 元，五名密钥管理员")

    async def _drill(self) -> None:
        await self.desk.act(CENTER[0], f"{self.path}/drills", key="sale/drill")
        for number, officer in enumerate(KEY_OFFICERS):
            await answer_drill(
                self.desk.client,
                "energy",
                self.sale_id,
                own_key(self._key_file(number)),
                token=self.desk.token(officer),
            )
        self.say("密钥演练：五名密钥管理员各在本机打开封给自己的内容")

    def _key_file(self, number: int) -> Path:
        return self.key_dir / f"officer-{number + 1}.key"

    async def enter(self) -> None:
        """Five register, all are qualified, four pay their deposit."""
        await self.clock.move(minutes_after(facts.DRAFTED, 60))
        for bidder in BIDDERS:
            form = {
                "project_code": bidder.project_code,
                "name": bidder.name,
                "quantity_max": bidder.quantity_max,
            }
            self.registrations[bidder.uscc] = await self.desk.act(
                enterprise(bidder.uscc, bidder.region_code),
                f"{self.path}/registrations",
                form,
                key=f"sale/registration/{bidder.uscc}",
            )
        await self.clock.move(minutes_after(facts.DRAFTED, 120))
        for bidder in BIDDERS:
            verdict = {"verdict": "QUALIFIED", "reason": None}
            key = f"sale/qualification/{bidder.uscc}"
            await self.desk.act(BUREAU[0], f"{self.entry(bidder)}/qualifications", verdict, key=key)
        self.say("五家企业报名并通过资格审查")
        await self.clock.move(facts.DEPOSITS)
        for bidder in BIDDERS:
            if bidder.pays_deposit:
                await self._deposit(bidder)
        self.say("四家缴纳保证金（底价 × 最高申购量 × 20%），一家未缴")

    async def _deposit(self, bidder: Bidder) -> None:
        form = {
            "amount_yuan": self.registrations[bidder.uscc]["deposit_due_yuan"],
            "booked_at": format_instant(minutes_after(facts.DEPOSITS, -30)),
            "bank_serial": f"DEMO-DEPOSIT-{bidder.uscc[-6:]}",
        }
        key = f"sale/deposit/{bidder.uscc}"
        await self.desk.act(CENTER[1], f"{self.entry(bidder)}/deposits", form, key=key)

    async def bid(self) -> None:
        """Five bids, each sealed by its bidder's own client."""
        await self.clock.move(minutes_after(facts.OPENS, 30))
        for bidder in BIDDERS:
            self.receipts[bidder.uscc] = await place_bid(
                self.desk.client,
                "energy",
                BidPlace(self.sale_id, bidder.uscc, 1),
                read_steps([bidder.step], TCE),
                token=self.desk.token(enterprise(bidder.uscc, bidder.region_code)),
            )
        self.say("五份密封报价已受理，回执签名有效；开标前无人知道报价与家数")

    async def open(self) -> None:
        """Reconcile, ask by two, and give three of five shares."""
        await self.clock.move(minutes_after(facts.CLOSES, 5))
        path = f"{self.path}/deposit-reconciliations"
        await self.desk.act(CENTER[0], path, key="sale/reconciliation")
        await self.desk.act_by_two(CENTER, f"{self.path}/openings", key="sale/opening")
        self.say("保证金对账完成；两名工作人员先后申请、确认开标")
        if (await self.notice())["state"] not in OPENED:
            await self._until_session()
            for number in (0, 2, 4):
                await give_share(
                    self.desk.client,
                    "energy",
                    self.sale_id,
                    own_key(self._key_file(number)),
                    token=self.desk.token(KEY_OFFICERS[number]),
                )
        await until(self._has_result, "开标结果")
        self.say("三名密钥管理员提交份额，报价解封，成交结果已算出")

    async def _until_session(self) -> None:
        async def has_session() -> bool:
            opening = await self.desk.ask(KEY_OFFICERS[0], f"{self.path}/opening")
            return bool(opening.get("session_key"))

        await until(has_session, "开标会话")

    async def _has_result(self) -> bool:
        return (await self.notice())["state"] in OPENED - {"OPENED"}

    async def settle(self) -> None:
        """Confirm, sign, pay, deliver, archive: the treasury's receipt comes before the quota."""
        await self.clock.move(facts.CONFIRMS)
        await self.desk.act(BUREAU[0], f"{self.path}/confirmations", key="sale/confirmation")
        winners = [bidder for bidder in BIDDERS if bidder.wins]
        signed = [await self._contract(bidder) for bidder in winners]
        self.say(f"公示期满，结果确认；{len(winners)} 家签约，未成交者退还保证金")
        await self.clock.move(facts.PAYS)
        for bidder, contract in zip(winners, signed, strict=True):
            await self._pay(bidder, contract["due_yuan"])
        self.say("价款（余款 = 成交价款 − 保证金）进入监管账户")
        await self.clock.move(facts.DELIVERS)
        for number, bidder in enumerate(winners, 1):
            receipt = {"treasury_receipt_no": f"{facts.TREASURY_RECEIPT}{number:04d}"}
            key = f"sale/delivery/{bidder.uscc}"
            await self.desk.act(
                BUREAU[1], f"{self._contract_path(bidder)}/deliveries", receipt, key=key
            )
        self.say("取得缴库凭证，能耗指标划入企业账户")
        await self.clock.move(facts.ARCHIVES)
        await self.desk.act(CENTER[0], f"{self.path}/archivings", key="sale/archiving")
        self.say("交易归档")

    def _contract_path(self, bidder: Bidder) -> str:
        return self.entry(bidder).replace("/registrations/", "/settlements/")

    async def _contract(self, bidder: Bidder) -> dict[str, Any]:
        person = enterprise(bidder.uscc, bidder.region_code)
        path, key = f"{self._contract_path(bidder)}/contracts", f"sale/contract/{bidder.uscc}"
        return await self.desk.act(person, path, key=key)

    async def _pay(self, bidder: Bidder, due_yuan: str) -> None:
        form = {
            "amount_yuan": due_yuan,
            "booked_at": format_instant(minutes_after(facts.PAYS, -30)),
            "bank_serial": f"DEMO-PAYMENT-{bidder.uscc[-6:]}",
        }
        path, key = f"{self._contract_path(bidder)}/payments", f"sale/payment/{bidder.uscc}"
        await self.desk.act(CENTER[1], path, form, key=key)


async def shown_at_its_end(client: Client, sale_id: str) -> dict[str, Any]:
    """The sale as anyone sees it on the board, once its end shows there.

    Raises:
        StillWaiting: The board does not show it within a minute.
    """
    found: dict[str, Any] = {}

    async def has_ended() -> bool:
        try:
            found.update(await client.get(f"{BOARD}/{sale_id}"))
        except Refused as refused:
            # The board knows of no sale before its announcement came there.
            if refused.status != NOT_FOUND:
                raise
            return False
        return bool(found["state"] == END)

    await until(has_ended, "门户公示归档")
    return found


async def until(has_happened: Callable[[], Awaitable[bool]], what: str) -> None:
    """Return once something has happened that the house does by itself.

    Raises:
        StillWaiting: It has not within a minute.
    """
    deadline = time.monotonic() + WAIT_S
    while not await has_happened():
        if time.monotonic() > deadline:
            raise StillWaiting(f"等待{what}超过 {WAIT_S:.0f} 秒，请查看日志")
        await asyncio.sleep(0.2)
