"""What an owner has signed is kept, and an owner that contradicts it is stopped."""

import asyncio
import json
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from builders import a_signer
from databases import rows
from marketkit.checkpoint import sign_checkpoint
from marketkit.db import Database, Session, sql
from marketkit.feed import RANGE_MAX, FeedDown
from marketkit.inbox import FORKED
from marketkit.signing import Signer, canonical
from toys import OwnerFeed, Readers, counts, log_of, tell_many

pytestmark = pytest.mark.usefixtures("gateway_toy")


async def test_an_owners_checkpoints_are_kept(readers: Readers) -> None:
    for _ in range(3):
        await readers.owner.run(sign_checkpoint, "worker")
    await asyncio.gather(readers.reader.compare(), readers.another().compare())
    await readers.reader.compare()
    theirs = await rows(readers.owner, "SELECT body, signature FROM checkpoint ORDER BY id")
    ours = await rows(readers.house, "SELECT body, signature FROM source_checkpoint ORDER BY id")
    assert [tuple(row) for row in ours] == [tuple(row) for row in theirs]


@dataclass
class OnePage(OwnerFeed):
    """An owner that is gone once it has answered a page of its checkpoints."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        answer = await super().handle_async_request(request)
        self.is_down = request.url.path == "/v1/checkpoints"
        return answer


async def sign_many(house: Database, count: int) -> None:
    """The same checkpoint as often, before anything is told."""
    await house.run(sign_checkpoint, "worker")
    again = (
        "INSERT INTO checkpoint (body, kid, signature) "
        "SELECT body, kid, signature FROM checkpoint, generate_series(2, :count)"
    )
    await rows(house, again, count=count)


async def test_what_was_read_of_many_checkpoints_is_kept_when_the_owner_goes_away(
    readers: Readers,
) -> None:
    whole = readers.transport
    await sign_many(readers.owner, RANGE_MAX + 100)
    readers.transport = OnePage(readers.owner, whole.reader_source, whole.reader)
    with pytest.raises(FeedDown):
        await readers.another().compare()
    assert len(await kept(readers)) == RANGE_MAX
    before = whole.asked.count("/v1/checkpoints")
    await readers.reader.compare()
    theirs = await rows(readers.owner, "SELECT id FROM checkpoint ORDER BY id")
    assert [row.id for row in await kept(readers)] == [row.id for row in theirs]
    # The rest, and that there is no more.
    assert whole.asked.count("/v1/checkpoints") - before == 2


async def test_a_forged_checkpoint_after_many_stops_the_source(readers: Readers) -> None:
    await sign_many(readers.owner, RANGE_MAX + 3)
    await signed_by(readers.owner, a_signer())
    assert await reason_of_stop(readers) == "signature"
    assert await is_stopped(readers)
    assert len(await kept(readers)) == RANGE_MAX + 4


async def test_as_many_checkpoints_as_a_page_holds_are_held_against_our_chains(
    readers: Readers,
) -> None:
    await sign_many(readers.owner, RANGE_MAX - 2)
    await tell_many(readers.owner)
    heads = [
        {"partition": n, "sequence": len(events), "chain": "11" * 32}
        for n, events in (await log_of(readers.owner)).items()
    ]
    await signed_by(readers.owner, readers.owner.signer, heads=heads)
    assert await reason_of_stop(readers) == "chain"
    assert len(await kept(readers)) == RANGE_MAX
    assert await is_stopped(readers)


async def signed_by(house: Database, signer: Signer, **changes: Any) -> None:
    """A checkpoint of this owner, changed, under this key."""

    async def work(session: Session) -> None:
        await sign_checkpoint(session)
        (last,) = (await sql(session, "SELECT * FROM checkpoint ORDER BY id DESC LIMIT 1")).all()
        body = canonical(json.loads(last.body) | changes)
        row = {"body": body, "kid": signer.kid, "signature": signer.sign(body)}
        insert = "INSERT INTO checkpoint (body, kid, signature) VALUES (:body, :kid, :signature)"
        await sql(session, insert, **row)

    await house.run(work, "worker")


async def is_stopped(readers: Readers) -> bool:
    found = await rows(readers.house, "SELECT bool_or(is_forked) AS is_forked FROM position")
    return bool(found[0].is_forked)


async def kept(readers: Readers) -> list[Any]:
    return await rows(readers.house, "SELECT * FROM source_checkpoint ORDER BY id")


async def reason_of_stop(readers: Readers) -> str:
    with capture_logs() as logs:
        await readers.reader.compare()
    said = [one["reason"] for one in logs if one["event"] == "checkpoint_not_believed"]
    return said[0] if said else ""


async def test_checkpoints_that_agree_are_kept(readers: Readers) -> None:
    for start in (0, 60, 120):
        await tell_many(readers.owner, start)
        await readers.owner.run(sign_checkpoint, "worker")
        await tell_many(readers.owner, start + 30, 30)
        assert await reason_of_stop(readers) == ""
    assert len(await kept(readers)) == 3
    assert not await is_stopped(readers)


async def test_a_forged_checkpoint_stops_the_source(readers: Readers) -> None:
    await tell_many(readers.owner)
    await readers.owner.run(sign_checkpoint, "worker")
    await readers.reader.compare()
    await signed_by(readers.owner, a_signer())
    assert await reason_of_stop(readers) == "signature"
    assert await is_stopped(readers)
    assert FORKED.labels(readers.owner.source)._value.get() == 1
    kids = {row.kid for row in await kept(readers)}
    assert kids == {readers.owner.signer.kid}
    before = await counts(readers.house)
    await tell_many(readers.owner, 60)
    await readers.reader.compare()
    assert await counts(readers.house) == before


async def test_a_checkpoint_that_rolls_back_stops_the_source(readers: Readers) -> None:
    await tell_many(readers.owner)
    await readers.owner.run(sign_checkpoint, "worker")
    await readers.reader.compare()
    heads = [{"partition": n, "sequence": 0, "chain": "00" * 32} for n in range(6)]
    await signed_by(readers.owner, readers.owner.signer, heads=heads)
    assert await reason_of_stop(readers) == "rolled back"
    assert await is_stopped(readers)


@pytest.mark.parametrize("later", [0, 5], ids=["at the head", "below it"])
async def test_a_checkpoint_of_another_chain_stops_the_source(readers: Readers, later: int) -> None:
    await tell_many(readers.owner)
    heads = [
        {"partition": n, "sequence": len(events), "chain": "11" * 32}
        for n, events in (await log_of(readers.owner)).items()
    ]
    await signed_by(readers.owner, readers.owner.signer, heads=heads)
    if later:
        await tell_many(readers.owner, 60, later)
    assert await reason_of_stop(readers) == "chain"
    assert await is_stopped(readers)


async def test_a_checkpoint_of_another_owner_stops_the_source(readers: Readers) -> None:
    await signed_by(readers.owner, readers.owner.signer, source="/370500/energy-trade")
    assert await reason_of_stop(readers) == "source"


async def test_an_owner_with_less_than_it_signed_has_forked(readers: Readers) -> None:
    """Nothing of it was read yet; only its own signature says that there was more."""
    await tell_many(readers.owner)
    await readers.owner.run(sign_checkpoint, "worker")
    await readers.reader.compare()
    await rows(readers.house, "UPDATE position SET sequence = 0, chain = :zero", zero=bytes(32))
    await rows(readers.owner, "UPDATE partition_head SET sequence = 0, chain = :zero",
               zero=bytes(32))  # fmt: skip
    await readers.reader.compare()
    assert await is_stopped(readers)


async def test_checkpoints_of_a_key_that_was_replaced_are_believed_by_the_list_of_the_new(
    readers: Readers,
) -> None:
    owner = readers.owner
    old = Database(owner.url, owner.source, owner.market, a_signer())
    await tell_many(owner)
    await old.run(sign_checkpoint, "worker")
    await owner.run(sign_checkpoint, "worker")
    assert await reason_of_stop(readers) == ""
    assert [row.kid for row in await kept(readers)] == [old.signer.kid, owner.signer.kid]
    await old.close()
