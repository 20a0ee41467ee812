"""Reports of coal stocks, up to 256 rows each with a verdict of its own, and what must stand."""

import asyncio
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from lab.findings import Findings
from lab.history import Call
from lab.house import LabHouse
from lab.market import COUNTY, Market
from marketkit.units import TONNE
from yaosu.demo.people import county

# How many rows the reports of a turn have, the longest now and then.
SIZES = (5, 40, 12, 3, 256, 8)
DAY = "2022-04-08"
KEPT = "SELECT plant_id, revision, name, stock_kg, daily_burn_kg, level FROM coal_stock"


@dataclass
class CoalStocks:
    """A county whose systems contradict each other."""

    market: Market

    async def report(self, number: int) -> None:
        """Two reports at once that differ, then corrections, and rows that must be refused."""
        rows = SIZES[number % len(SIZES)]
        await asyncio.gather(*(self._say(number, of, 1, rows) for of in range(2)))
        await asyncio.gather(*(self._say(number, of, 2, rows) for of in range(2)))

    async def row(self, number: int) -> None:
        """A report of one plant."""
        await self._say(1_000_000 + number, 0, 1, 1)

    async def _say(self, number: int, of: int, revision: int, count: int) -> None:
        rows = [
            {
                "plant_id": f"P{number}-{place}",
                "name": "示例电厂",
                "effective_on": DAY,
                # Every fifth leaves one out, every seventh is said alike by both.
                "revision": revision + (place % 5 == 4),
                "stock_t": f"{1000 * place + revision * 10 + of * (place % 7 != 6)}.125",
                "daily_burn_t": "100.000",
            }
            for place in range(count)
        ]
        key = f"coal/{number}/{of}/{revision}"
        await self.market.do(
            "coal", county(COUNTY), "/v1/reports/coal-stock", {"rows": rows}, key=key
        )


def judge_coal(
    house: LabHouse, calls: Sequence[Call], events: Sequence[dict[str, Any]], findings: Findings
) -> None:
    """Rows that were accepted stand as they were said, once, and were told once."""
    kept = {
        (plant, revision): (name, stock, burn, level)
        for plant, revision, name, stock, burn, level in house.rows("energy", KEPT)
    }
    accepted = set()
    rows = 0
    for said, verdict in _rows(calls):
        rows += 1
        place = said["plant_id"], said["revision"]
        if (verdict["plant_id"], verdict["revision"]) != place:
            findings.fault("G8", f"coal {place}: the verdict is another row's")
        if verdict["outcome"] is None:
            continue
        accepted.add(place)
        stands = kept.get(place)
        wanted = said["name"], TONNE.parse(said["stock_t"]), TONNE.parse(said["daily_burn_t"])
        if stands is None or stands != (*wanted, verdict["level"]):
            findings.fault("G1", f"coal {place} was accepted as {wanted} and is {stands}")
    for place in kept.keys() - accepted:
        findings.fault("G8", f"coal {place} is there and answers no row")
    told = Counter(
        (event["data"]["plant_id"], event["data"]["revision"])
        for event in events
        if event["type"].endswith(".coal_stock.reported.v1")
    )
    if told != Counter(kept.keys()):
        findings.fault("G3", f"coal rows told {told.total()}, kept {len(kept)}")
    findings.figures["coal_rows"] = rows
    findings.figures["coal_rows_kept"] = len(kept)


def _rows(calls: Sequence[Call]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    for call in calls:
        if call.kind == "coal" and call.is_done:
            yield from zip(json.loads(call.body)["rows"], call.document()["rows"], strict=True)
