"""A thousand commands, each followed by system calls from its request to its answer."""

import asyncio
import random
from pathlib import Path

from lab.coal_stocks import CoalStocks
from lab.crowd import Crowd
from lab.findings import Findings
from lab.least import LAB
from lab.market import Market
from lab.tracing import StraceMissing, follow, traced

WRITERS = 6


async def followed(crowd: Crowd, writes: int, folder: Path, findings: Findings) -> str:
    """Write as often as wanted, and judge each answer; why nothing can be said, if so."""
    house = crowd.house
    market = Market(house, crowd, random.Random(0))
    database = [process.pid for process in house.postgres_processes()]
    apis = [part.pid for part in house.parts.values() if part.pid is not None]
    try:
        async with traced(database, apis, folder) as trace:
            await write(market, writes)
            await crowd.resolve(market.people)
    except StraceMissing as missing:
        findings.figures["writes_traced"] = f"SKIPPED: {missing}"
        return str(missing)
    order = await asyncio.to_thread(follow, trace)
    answered = sum(call.is_done for call in crowd.history.calls.values())
    findings.figures |= {
        "writes_answered": answered,
        "writes_synced_before_answer": order.ordered,
        "writes_synced_before_request": order.again,
        "wal_syncs": order.syncs,
    }
    if answered < writes:
        findings.fault(LAB, f"{answered} writes were answered, and {writes} are wanted")
    for fault in order.faults:
        findings.fault("G2", fault)
    if order.ordered + order.again + len(order.faults) < answered:
        findings.fault("G2", f"of {answered} answers only some were seen: {order.ordered}")
    return ""


async def write(market: Market, count: int) -> None:
    """Small commands, hot ones and others in turns, by a few writers at once."""
    coal = CoalStocks(market)

    async def writer(first: int) -> None:
        for number in range(first, count, WRITERS):
            if number // WRITERS % 2:
                await coal.row(number)
            else:
                await market.screen(number + 1)

    await asyncio.gather(*(writer(first) for first in range(WRITERS)))
