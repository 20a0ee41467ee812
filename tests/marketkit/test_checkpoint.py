import asyncio
import json
from datetime import timedelta

import pytest

from builders import NOON, a_signer
from databases import rows
from marketkit.checkpoint import (
    KeyRetired,
    checkpoints_after,
    keys_document,
    note_key,
    sign_checkpoint,
)
from marketkit.db import Database
from marketkit.outbox import PARTITIONS
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


def under_another_key(house: Database) -> Database:
    """The same service's process, started with a new `signing.key`."""
    return Database(house.url, house.source, house.market, a_signer())


async def test_a_new_key_takes_the_place_of_the_old_which_stays_known(kit_house: Database) -> None:
    kit_house.fixed_instant = NOON
    await kit_house.run(sign_checkpoint, "worker")
    rotated = under_another_key(kit_house)
    rotated.fixed_instant = NOON + timedelta(days=1)
    await rotated.run(note_key, "worker")
    said = (await rotated.run(keys_document, "worker"))["keys"]
    noon, later = "2022-06-01T12:00:00+08:00", "2022-06-02T12:00:00+08:00"
    assert [(key["kid"], key["valid_from"], key["valid_until"]) for key in said] == [
        (kit_house.signer.kid, noon, later),
        (rotated.signer.kid, later, None),
    ]
    await rotated.close()


async def test_a_key_that_was_replaced_signs_no_more(kit_house: Database) -> None:
    await kit_house.run(sign_checkpoint, "worker")
    rotated = under_another_key(kit_house)
    await rotated.run(sign_checkpoint, "worker")
    for work in (sign_checkpoint, note_key, keys_document):
        with pytest.raises(KeyRetired):
            await kit_house.run(work, "worker")
    found = await rows(rotated, "SELECT kid FROM checkpoint ORDER BY id")
    assert [row.kid for row in found] == [kit_house.signer.kid, rotated.signer.kid]
    await rotated.close()


async def test_two_processes_that_begin_with_one_new_key_note_it_once(kit_house: Database) -> None:
    await kit_house.run(note_key, "worker")
    rotated = under_another_key(kit_house)
    await asyncio.gather(*(rotated.run(note_key, "worker") for _ in range(6)))
    found = await rows(rotated, "SELECT valid_until IS NULL AS is_current FROM signing_key")
    assert sorted(row.is_current for row in found) == [False, True]
    await rotated.close()
