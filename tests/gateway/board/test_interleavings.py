"""A history told by the real actions, rebuilt in whatever order its keys come."""

import json
from random import Random
from typing import Any

from contracts.sale import SaleDefaulted
from corpus import stories
from databases import rows
from marketkit.db import Database
from marketkit.outbox import PARTITIONS, Placed
from marketkit.signing import ZERO, partition_of
from saleroom.corrections.actions import correct_notice
from saleroom.corrections.rules import CorrectionIn
from saleroom.notices.actions import ReasonIn, resume_sale, suspend_sale
from stories import Story
from told_board import ENERGY, digest_after, interleaved
from toy_market import CLOSES, DAY, TOY

ORDERS = 100


async def a_sale_to_its_end(house: Database) -> None:
    """Corrected, suspended, resumed, opened; one winner gets its part and one defaults."""
    story = Story(house)
    sale_id = await story.announce()
    correction = CorrectionIn.model_validate({"text": "补充说明"})
    await house.run(lambda s: correct_notice(s, TOY, sale_id, correction))
    await house.run(lambda s: suspend_sale(s, sale_id, ReasonIn(reason="系统检修")))
    await house.run(lambda s: resume_sale(s, sale_id))
    await story.bidders(("226.50", "4000"), ("220.00", "5000"), ("199.00", "1000"))
    await story.open()
    await story.confirm()
    await story.sign(1)
    await story.pay(1)
    await story.deliver(1)
    story.at(CLOSES + 30 * DAY)
    await story.default(2)
    assert await story.told(SaleDefaulted)


async def told_by(house: Database) -> list[bytes]:
    found: list[Any] = await rows(house, "SELECT event FROM outbox ORDER BY id")
    return [bytes(row.event) for row in found]


def placed(events: list[bytes]) -> list[Placed]:
    """Each in the next place of its partition."""
    heads = dict.fromkeys(range(PARTITIONS), 0)
    found = []
    for event in events:
        partition = partition_of(json.loads(event)["partitionkey"], PARTITIONS)
        heads[partition] += 1
        found.append(Placed(ENERGY, partition, 1, heads[partition], ZERO, event))
    return found


async def test_a_rebuild_in_any_order_of_keys_gives_one_hash(
    energy_house: Database, gateway_house: Database
) -> None:
    await a_sale_to_its_end(energy_house)
    told = await told_by(energy_house)
    # Of the corpus each id once: one real event stands there in several shapes.
    kept = list({json.loads(event)["id"]: event for event in reversed(stories())}.values())
    kept.reverse()
    assert min(len(told), len(kept)) > 30
    events = placed([*kept, *told])
    expected = await digest_after(gateway_house, events)
    assert len(await rows(gateway_house, "SELECT * FROM projection.holding")) > 3
    orders = {tuple(interleaved(events, Random(seed))): seed for seed in range(ORDERS)}
    assert len(orders) == ORDERS
    for order, seed in orders.items():
        assert await digest_after(gateway_house, order) == expected, f"seed {seed}"
