"""Quota that is nearly used up, wanted by several at once, and what brings it into being."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta

from builders import a_project_code, a_uscc
from lab.coal_stocks import CoalStocks
from lab.market import COUNTY, Market, issue
from lab.pledges import Pledges
from lab.sales import ANNOUNCED_FOR, Sales
from yaosu.demo.people import BUREAU


@dataclass
class Takes:
    """What is done beside the sales, in numbered turns."""

    market: Market
    sales: Sales

    def __post_init__(self) -> None:
        self.pledges = Pledges(self.market)
        self.coal = CoalStocks(self.market)

    async def turn(self, number: int) -> None:
        """All of it at once."""
        await asyncio.gather(
            self.contest(number),
            self.overfill(number),
            self.assign(number),
            self.shut_down(number),
            self.coal.report(number),
        )

    async def contest(self, number: int) -> None:
        """A thousand tonnes of coal, and three sales that want six hundred each at once."""
        form = issue("PROVINCE", "370000", "COAL", "1000.000")
        await self.market.issue(form, f"contest/{number}")
        opens_at = self.market.now() + ANNOUNCED_FOR
        closes_at = opens_at + timedelta(days=300)
        wanted = [
            self.sales.announce(f"contest/{number}/{n}", "COAL", opens_at, closes_at, "600.000")
            for n in range(3)
        ]
        await asyncio.gather(*wanted)

    async def overfill(self, number: int) -> None:
        """More is asked for than the pool may hold: refused at its confirmation, wholly."""
        await self.market.issue(
            issue("POOL", "370500", "ENERGY", "90000.000"), f"overfill/{number}"
        )

    async def assign(self, number: int) -> None:
        """A batch of the pool for one project, pledged as soon as it is there."""
        quantity = f"{1 + number % 7}.125"
        form = {
            "batch": f"批次{number}",
            "batch_version": 1,
            "assignments": [
                {
                    "uscc": a_uscc(1),
                    "project_code": a_project_code(1),
                    "name": "示例项目",
                    "quantity_tce": quantity,
                    "region_code": COUNTY,
                    "is_dual_high": False,
                }
            ],
        }
        await self.market.do(
            "assign", BUREAU[0], "/v1/increment-batches", form, key=f"assign/{number}"
        )
        await self.pledges.contend(number, quantity)

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
        await self.market.do("shutdown", BUREAU[0], "/v1/shutdowns", form, key=f"shutdown/{number}")
