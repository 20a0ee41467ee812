"""`yaosu export`: the services' logs, checkpoints and sales as one file of evidence.

Reads the services' feeds only. Each log is taken up to its last checkpoint, so that every event in
the file stands under a signature.
"""

import json
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from marketkit.feed import Feed, FeedDown, SignedBody
from marketkit.identity import service_token
from marketkit.outbox import Placed
from marketkit.signing import ZERO, Signer, canonical, chain_after
from marketkit.units import format_instant
from yaosu.client import Stopped
from yaosu.evidence.archive import (
    CHECKPOINTS,
    KEYS,
    CheckpointBody,
    HeadOut,
    Keys,
    KeysSignature,
    PublicKey,
    SignedLine,
    Writer,
    events_name,
    kind_of,
    readable,
    sale_name,
)
from yaosu.evidence.sales import Stories


class CannotExport(Stopped):
    """A service does not answer, or its log is not the one it signed."""


@dataclass(frozen=True)
class Asker:
    """A service in whose name the feeds are asked."""

    signer: Signer
    source: str

    def token(self) -> str:
        return service_token(self.signer, self.source)


@dataclass(frozen=True)
class Exported:
    """What a file of evidence holds, and until when of each service."""

    file: Path
    event_count: int
    sale_count: int
    as_of: Mapping[str, str]


@dataclass
class _Owner:
    """A service's end of the feed, and the last checkpoint taken from it."""

    feed: Feed
    url: str
    transport: httpx.AsyncBaseTransport | None
    signed: SignedBody

    @property
    def last(self) -> CheckpointBody:
        return _body_of(self.signed)


async def export(
    file: Path,
    inner_urls: Mapping[str, str],
    asker: Asker,
    *,
    transports: Mapping[str, httpx.AsyncBaseTransport] | None = None,
) -> Exported:
    """Write the evidence of these services, and say what it holds.

    Raises:
        CannotExport: A service does not answer, has signed nothing yet, or contradicts itself.
    """
    unfinished = file.with_name(file.name + ".unfinished")
    async with AsyncExitStack() as stack:
        owners = []
        for name, url in inner_urls.items():
            transport = (transports or {}).get(name)
            feed = Feed(name, "", url, asker.token, transport)
            stack.push_async_callback(feed.close)
            with _answering(name):
                first = await anext(feed.checkpoints(0), None)
            if first is None:
                raise CannotExport(f"{name} 尚未签署检查点，请一分钟后再试")
            owners.append(_Owner(feed, url, transport, first))
        owners.sort(key=lambda owner: owner.last.source)
        with zipfile.ZipFile(unfinished, "w") as archive:
            exported = await _write(Writer(archive), owners, file)
    unfinished.replace(file)
    return exported


async def is_signed(inner_url: str, asker: Asker) -> bool:
    """Whether a service's last checkpoint covers all it has told.

    Raises:
        FeedDown: It does not answer.
    """
    feed = Feed("", "", inner_url, asker.token)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(feed.close)
        heads = await feed.heads()
        last = None
        async for checkpoint in feed.checkpoints(0):
            last = checkpoint
    return last is not None and all(
        head.sequence == heads.by_partition[head.partition].sequence
        for head in _body_of(last).heads
    )


@contextmanager
def _answering(name: str) -> Iterator[None]:
    try:
        yield
    except (FeedDown, httpx.HTTPError) as error:
        raise CannotExport(f"{name} 未答复：{type(error).__name__}") from error


def _body_of(signed: SignedBody) -> CheckpointBody:
    return CheckpointBody.model_validate_json(signed.body)


async def _write(writer: Writer, owners: Sequence[_Owner], file: Path) -> Exported:
    with writer.member(CHECKPOINTS) as write:
        for owner in owners:
            with _answering(owner.feed.source):
                await _write_checkpoints(write, owner)
    # Not sooner: a key that takes another's place meanwhile has signed some of them.
    keys = Keys(keys=[], signed=[])
    for owner in owners:
        with _answering(owner.feed.source):
            await _add_keys(keys, owner)
    writer.add(KEYS, canonical(keys.model_dump(mode="json")))
    stories = Stories()
    event_count = 0
    for owner in owners:
        for head in owner.last.heads:
            event_count += await _write_events(writer, owner, head, stories)
    sales = list(stories.told())
    for story in sales:
        writer.add(sale_name(story.sale_id), readable(story.document()))
    writer.finish()
    as_of = {owner.last.source: format_instant(owner.last.time) for owner in owners}
    return Exported(file, event_count, len(sales), as_of)


async def _write_checkpoints(write: Callable[[bytes], None], owner: _Owner) -> None:
    # A service signs a million a year: none is held but the last.
    write(_checkpoint_line(owner.signed))
    async for signed in owner.feed.checkpoints(owner.signed.id):
        write(_checkpoint_line(signed))
        owner.signed = signed


async def _add_keys(keys: Keys, owner: _Owner) -> None:
    source = owner.last.source
    client = httpx.AsyncClient(base_url=owner.url, timeout=10, transport=owner.transport)
    async with client:
        answer = await client.get("/v1/keys")
        answer.raise_for_status()
    said = answer.json()
    fields = ("kid", "x", "valid_from", "valid_until")
    keys.keys.extend(
        PublicKey(source=source, **{name: key[name] for name in fields}) for key in said["keys"]
    )
    signed = KeysSignature(source=source, kid=said["kid"], signature=said["signature"])
    keys.signed.append(signed)


def _checkpoint_line(signed: SignedBody) -> bytes:
    line = SignedLine(body=signed.body.decode(), kid=signed.kid, signature=signed.signature.hex())
    return canonical(line.model_dump()) + b"\n"


async def _write_events(writer: Writer, owner: _Owner, head: HeadOut, stories: Stories) -> int:
    source, chain, sequence = owner.last.source, ZERO, 0
    with writer.member(events_name(source, head.partition)) as write:
        while sequence < head.sequence:
            for placed in await _range(owner.feed, head.partition, sequence + 1, head.sequence):
                chain = chain_after(chain, placed.event)
                write(placed.event + b"\n")
                event = json.loads(placed.event)
                stories.take(source, kind_of(event), event)
                sequence += 1
    if chain.hex() != head.chain:
        raise CannotExport(f"{source} 第 {head.partition} 分区的记录与其签署的检查点不符")
    return sequence


async def _range(feed: Feed, partition: int, first: int, last: int) -> list[Placed]:
    try:
        found = [placed for placed, _ in await feed.events(partition, first)]
    except FeedDown as error:
        raise CannotExport(str(error)) from error
    wanted = [placed for placed in found if placed.sequence <= last]
    if not wanted or [p.sequence for p in wanted] != list(range(first, first + len(wanted))):
        raise CannotExport(f"{feed.source} 第 {partition} 分区自 {first} 起的记录不连续")
    return wanted
