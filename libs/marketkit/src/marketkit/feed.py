"""The log over HTTP, both ends: ranges, heads and checkpoints, for services only.

A line of a range carries an event's stored bytes verbatim, its place beside them.
"""

import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import httpx

from marketkit.checkpoint import checkpoints_after
from marketkit.db import Session, house
from marketkit.outbox import Placed, epoch_of, heads_of, placed
from marketkit.signing import canonical, unb64, verify

RANGE_MAX = 500
_EVENT = b',"event":'


class FeedDown(Exception):
    """The owner does not answer now."""


class Head(NamedTuple):
    sequence: int
    chain: bytes


class Heads(NamedTuple):
    """How far an owner's log reaches, by partition, and in which life of its database."""

    epoch: int
    by_partition: dict[int, Head]


class SignedBody(NamedTuple):
    """A checkpoint as its owner signed it."""

    id: int
    body: bytes
    kid: str
    signature: bytes


async def range_lines(session: Session, partition: int, first: int, mac_key: bytes) -> bytes:
    """NDJSON of up to 500 events of a partition from sequence `first` on."""
    events = await placed(session, partition, first, RANGE_MAX)
    return b"".join(_line(event, mac_key) for event in events)


def _line(event: Placed, mac_key: bytes) -> bytes:
    place = {
        "partition": event.partition,
        "epoch": event.epoch,
        "sequence": event.sequence,
        "chain": event.chain.hex(),
        "mac": event.mac(mac_key).hex(),
    }
    return json.dumps(place).encode()[:-1] + _EVENT + event.event + b"}\n"


def read_line(source: str, line: bytes) -> tuple[Placed, bytes]:
    """An event and its MAC from a line of a range; the event's bytes exactly as they stood."""
    place_text, _, event = line.partition(_EVENT)
    place = json.loads(place_text + b"}")
    return Placed(
        source,
        place["partition"],
        place["epoch"],
        place["sequence"],
        bytes.fromhex(place["chain"]),
        event.removesuffix(b"}"),
    ), bytes.fromhex(place["mac"])


async def heads_document(session: Session) -> dict[str, Any]:
    heads = await heads_of(session)
    return {
        "source": house(session).source,
        "epoch": await epoch_of(session),
        "heads": [
            {"partition": number, "sequence": head.sequence, "chain": head.chain.hex()}
            for number, head in heads.items()
        ],
    }


async def checkpoint_lines(session: Session, after: int) -> bytes:
    """NDJSON of up to 500 checkpoints with an id above `after`."""
    found = await checkpoints_after(session, after, RANGE_MAX)
    lines = [
        {
            "id": row.id,
            "body": row.body.decode(),
            "kid": row.kid,
            "signature": row.signature.hex(),
        }
        for row in found
    ]
    return b"".join(json.dumps(line, ensure_ascii=False).encode() + b"\n" for line in lines)


# Of a connection that ends while it is opened, httpx under uvloop asks a socket that is gone.
UNANSWERED = (httpx.HTTPError, AttributeError)


@dataclass
class Feed:
    """The reading end: another service's log, asked for with a token of our own."""

    source: str
    topic: str
    inner_url: str
    token: Callable[[], str]
    transport: httpx.AsyncBaseTransport | None = None
    _client: httpx.AsyncClient = field(init=False)

    def __post_init__(self) -> None:
        self._client = httpx.AsyncClient(
            base_url=self.inner_url, timeout=3.0, transport=self.transport, trust_env=False
        )

    async def _get(self, path: str, **params: int) -> bytes:
        try:
            answer = await self._client.get(
                path, params=params, headers={"Authorization": f"Bearer {self.token()}"}
            )
            answer.raise_for_status()
        except UNANSWERED as error:
            raise FeedDown(f"{self.source}: {type(error).__name__}") from error
        return answer.content

    async def events(self, partition: int, first: int) -> list[tuple[Placed, bytes]]:
        """Up to 500 events with their MACs; FeedDown if the owner does not answer."""
        body = await self._get("/v1/events", **{"partition": partition, "from": first})
        return [read_line(self.source, line) for line in body.splitlines() if line]

    async def heads(self) -> Heads:
        """The owner's heads; FeedDown if it does not answer."""
        document = json.loads(await self._get("/v1/events/heads"))
        return Heads(
            document["epoch"],
            {
                row["partition"]: Head(row["sequence"], bytes.fromhex(row["chain"]))
                for row in document["heads"]
            },
        )

    async def checkpoints(self, after: int) -> AsyncIterator[SignedBody]:
        """Checkpoints with an id above `after`, all there are; FeedDown as above."""
        while lines := (await self._get("/v1/checkpoints", after=after)).splitlines():
            for line in lines:
                row = json.loads(line)
                after = row["id"]
                yield SignedBody(
                    after, row["body"].encode(), row["kid"], bytes.fromhex(row["signature"])
                )

    async def keys(self, trusted: Mapping[str, bytes]) -> dict[str, bytes]:
        """The owner's keys of all times, if one we trust signed their list; else none."""
        said = json.loads(await self._get("/v1/keys"))
        public = trusted.get(said["kid"])
        signature = bytes.fromhex(said["signature"])
        if public is None or not verify(public, canonical(said["keys"]), signature):
            return {}
        return {key["kid"]: unb64(key["x"]) for key in said["keys"]}

    async def close(self) -> None:
        await self._client.aclose()
