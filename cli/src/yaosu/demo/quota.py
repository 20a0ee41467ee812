"""Before the sale: the pool, the register of units, a shutdown and its split, the issue."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from marketkit.codes import REGION_NAMES
from yaosu.client import Sent
from yaosu.demo import facts
from yaosu.demo.clock import Clock
from yaosu.demo.facts import BIDDERS, SHUTDOWN, UNITS, minutes_after
from yaosu.demo.people import BUREAU, Desk, county

ENERGY = "/v1/energy"
FIRST = "pool/request"
ASSETS = {"ENERGY": "能耗", "COAL": "煤炭"}

Say = Callable[[str], None]


def has_begun(sent: Sent) -> bool:
    """Whether the first command of the demonstration was sent in an earlier life."""
    return sent.request(f"demo/{FIRST}") is not None


async def play(desk: Desk, clock: Clock, say: Say) -> None:
    """The pool, the register, a shutdown and its split, the issue, the screenings."""
    await desk.act_by_two(BUREAU, f"{ENERGY}/issues", facts.POOL, key="pool")
    say("“十四五”能耗增量 780,000 吨标准煤入池，两人办理（第三条）")
    await _register(desk, say)
    await clock.move(facts.SHUTDOWN_AT)
    await _shut_down(desk, say)
    await clock.move(facts.ISSUED)
    await desk.act_by_two(BUREAU, f"{ENERGY}/issues", facts.ISSUE, key="issue")
    say(f"省级收储 30,000 吨标准煤，凭 {facts.ISSUE['document_no']}，两人办理")
    await clock.move(minutes_after(facts.ISSUED, 60))
    await _screen(desk, say)


async def _register(desk: Desk, say: Say) -> None:
    units = [
        {
            "unit_id": unit.unit_id,
            "name": unit.name,
            "region_code": unit.region_code,
            "capacity_mw": unit.capacity_mw,
            "retire_by": facts.RETIRE_BY,
            "replacement_measure": facts.REPLACEMENT,
        }
        for unit in UNITS
    ]
    register = await desk.act(BUREAU[0], f"{ENERGY}/unit-registers", {"units": units}, key="units")
    count, megawatts = register["count"], _plain(register["capacity_mw"])
    say(f"抽凝煤电机组台账 {count} 台、{megawatts} 兆瓦（第四条）")


async def _shut_down(desk: Desk, say: Say) -> None:
    shutdown = await desk.act(BUREAU[0], f"{ENERGY}/shutdowns", SHUTDOWN, key="shutdown")
    running = [unit for unit in UNITS if unit is not facts.SHUT_UNIT]
    left = f"{sum(Decimal(unit.capacity_mw) for unit in running):,}"
    region = REGION_NAMES[facts.SHUT_UNIT.region_code]
    say(f"关停 {region}{facts.SHUT_UNIT.name}，台账余 {len(running)} 台、{left} 兆瓦")
    for split in shutdown["splits"]:
        say(f"  {_split(split)}")


def _split(split: dict[str, Any]) -> str:
    tiers = (("province", "省"), ("city", "市"), ("county", "转出地"))
    shares = "，".join(f"{name} {split[tier]}" for tier, name in tiers)
    barred = "" if split["usable_locally"] else "；不得作为本地新上耗煤项目替代源"
    unit = "吨标准煤" if split["asset"] == "ENERGY" else "吨"
    return f"{ASSETS[split['asset']]}指标按第四条划分（{unit}）：{shares}{barred}"


async def _screen(desk: Desk, say: Say) -> None:
    for bidder in BIDDERS:
        form = {
            "uscc": bidder.uscc,
            "project_code": bidder.project_code,
            "name": bidder.name,
            "is_dual_high": False,
        }
        key = f"screening/{bidder.project_code}"
        await desk.act(county(bidder.region_code), f"{ENERGY}/screenings", form, key=key)
    say("五个县区各筛选一个项目，可使用省级收储指标（第五条）")


def _plain(quantity: str) -> str:
    return f"{int(Decimal(quantity)):,}"
