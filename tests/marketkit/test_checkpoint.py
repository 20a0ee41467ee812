import asyncio
import json

from builders import NOON
from databases import rows
from marketkit.checkpoint import checkpoints_after, sign_checkpoint
from marketkit.db import Database
from marketkit.outbox import PARTITIONS, heads_of
from marketkit.signing import canonical, key_id, verify


async def test_a_checkpoint_is_signed_over_the_bytes_that_are_stored(kit_house: Database) -> None:
    kit_house.fixed_instant = NOON
    await kit_house.run(sign_checkpoint, "worker")
    (stored,) = await kit_house.run(lambda s: checkpoints_after(s, 0, 10), "worker")
    assert json.loads(stored.body) == {
        "source": "/370500/land-index",
        "epoch": 1,
        "time": "2022-06-01T12:00:00+08:00",
        "heads": [{"partition": n, "sequence": 0, "chain": "00" * 32} for n in range(PARTITIONS)],
    }
    assert stored.body == canonical(json.loads(stored.body))
    public = kit_house.signer.public
    assert verify(public, stored.body, stored.signature)
    assert not verify(public, stored.body.replace(b'"epoch":1', b'"epoch":2'), stored.signature)
    assert stored.kid == key_id(public)


async def test_checkpoints_are_read_from_where_one_stood(kit_house: Database) -> None:
    for _ in range(4):
        await kit_house.run(sign_checkpoint, "worker")
    ids = [row.id for row in await rows(kit_house, "SELECT id FROM checkpoint ORDER BY id")]
    found = await kit_house.run(lambda s: checkpoints_after(s, ids[0], 2), "worker")
    assert [row.id for row in found] == ids[1:3]
    assert await kit_house.run(lambda s: checkpoints_after(s, ids[3], 2), "worker") == []


async def test_one_that_is_signed_while_events_get_their_places_waits_for_them(
    kit_house: Database,
) -> None:
    """Otherwise it says less than the one signed with the events, under a higher id."""
    async with kit_house.transaction("worker") as session:
        heads = await heads_of(session, lock=True)
        heads[0].sequence += 1
        await sign_checkpoint(session)
        beside = asyncio.create_task(kit_house.run(sign_checkpoint, "worker"))
        await asyncio.sleep(0.1)
        assert not beside.done()
    await beside
    found = await kit_house.run(lambda s: checkpoints_after(s, 0, 10), "worker")
    assert [json.loads(row.body)["heads"][0]["sequence"] for row in found] == [1, 1]
