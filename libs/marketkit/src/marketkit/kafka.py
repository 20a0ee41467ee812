"""The wire: the one module that imports aiokafka. It may drop, double, reorder; none trusts it.

No groups, no transactions, no idempotent producing: places and positions are our own.
"""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Protocol

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import (
    KafkaError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
)

from marketkit.outbox import PARTITIONS, Placed

SEND_TIMEOUT_S = 5.0
STOP_TIMEOUT_S = 2.0
RECORD_BYTES_MAX = 1024 * 1024
FETCH_BYTES_MAX = 4 * 1024 * 1024
# A broker tells at once what came; librdkafka's mock answers when this has passed, and not before.
FETCH_WAIT_MS = 15

# Too large for us or, by its answer, for this broker: sent again it would be refused again.
UNSENDABLE = (MessageSizeTooLargeError, RecordListTooLargeError)


class Hint(Protocol):
    """A record as it came: anything may be wrong with it."""

    topic: str
    partition: int
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


class WireDown(Exception):
    """The broker did not take or give in time; whether it did is unknown."""


def _answered(error: KafkaError) -> asyncio.Future[object]:
    answer: asyncio.Future[object] = asyncio.get_running_loop().create_future()
    answer.set_exception(error)
    return answer


class Wire:
    """A producer of ours: sends placed events in order and waits for the broker's word."""

    def __init__(self, producer: AIOKafkaProducer, topic: str, mac_key: bytes) -> None:
        self._producer = producer
        self._topic = topic
        self._mac_key = mac_key

    async def send(self, events: Sequence[Placed]) -> list[Placed]:
        """Send; answer what the broker can never take (the feed carries it).

        Raises:
            WireDown: some may or may not have arrived; send all again.
        """
        answers: list[object] = []
        waiting = []
        try:
            for event in events:
                try:
                    waiting.append(await asyncio.wait_for(self._enqueue(event), SEND_TIMEOUT_S))
                except UNSENDABLE as error:
                    waiting.append(_answered(error))
            if waiting:
                together = asyncio.gather(*waiting, return_exceptions=True)
                answers = await asyncio.wait_for(together, SEND_TIMEOUT_S)
        except (KafkaError, TimeoutError) as error:
            raise WireDown(type(error).__name__) from error
        for answer in answers:
            if isinstance(answer, Exception) and not isinstance(answer, UNSENDABLE):
                raise WireDown(type(answer).__name__) from answer
        pairs = zip(events, answers, strict=True)
        return [event for event, answer in pairs if isinstance(answer, UNSENDABLE)]

    async def _enqueue(self, event: Placed) -> asyncio.Future[object]:
        headers = [
            ("epoch", str(event.epoch).encode()),
            ("sequence", str(event.sequence).encode()),
            ("chain", event.chain),
            ("mac", event.mac(self._mac_key)),
            ("content-type", b"application/cloudevents+json"),
        ]
        sent: asyncio.Future[object] = await self._producer.send(
            self._topic, value=event.event, partition=event.partition, headers=headers
        )
        return sent


@asynccontextmanager
async def producing(servers: str, topic: str, mac_key: bytes) -> AsyncIterator[Wire]:
    """A wire to send on; after any `WireDown` leave the block and take a new one."""
    producer = AIOKafkaProducer(
        bootstrap_servers=servers,
        acks="all",
        enable_idempotence=False,
        request_timeout_ms=3000,
        max_request_size=RECORD_BYTES_MAX,
        linger_ms=0,
        security_protocol="PLAINTEXT",
    )
    try:
        try:
            await asyncio.wait_for(producer.start(), SEND_TIMEOUT_S)
        except (KafkaError, TimeoutError, OSError) as error:
            raise WireDown(type(error).__name__) from error
        yield Wire(producer, topic, mac_key)
    finally:
        with contextlib.suppress(KafkaError, TimeoutError, ssl.SSLError):
            await asyncio.wait_for(producer.stop(), STOP_TIMEOUT_S)


class Listener:
    """A consumer of ours: fixed partitions, from the end; what it misses the feed carries."""

    def __init__(self, consumer: AIOKafkaConsumer) -> None:
        self._consumer = consumer

    async def hints(self, timeout_s: float, count_max: int = 1000) -> list[Hint]:
        """Records that came within the time, in order within a partition.

        Raises:
            WireDown: the broker cannot be read.
        """
        try:
            batches = await asyncio.wait_for(
                self._consumer.getmany(timeout_ms=int(timeout_s * 1000), max_records=count_max),
                timeout_s + SEND_TIMEOUT_S,
            )
        except (KafkaError, TimeoutError) as error:
            raise WireDown(type(error).__name__) from error
        return [record for batch in batches.values() for record in batch]


@asynccontextmanager
async def listening(servers: str, topics: Sequence[str]) -> AsyncIterator[Listener]:
    """A listener to all partitions of the topics, from their ends on."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=servers,
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="latest",
        fetch_max_bytes=FETCH_BYTES_MAX,
        # Little, so that each has its turn soon; a larger batch comes whole all the same.
        max_partition_fetch_bytes=256 * 1024,
        request_timeout_ms=3000,
        fetch_max_wait_ms=FETCH_WAIT_MS,
        security_protocol="PLAINTEXT",
    )
    try:
        try:
            await asyncio.wait_for(consumer.start(), SEND_TIMEOUT_S)
            places = [TopicPartition(name, part) for name in topics for part in range(PARTITIONS)]
            consumer.assign(places)
            await asyncio.wait_for(consumer.seek_to_end(*places), SEND_TIMEOUT_S)
        except (KafkaError, TimeoutError, OSError) as error:
            raise WireDown(type(error).__name__) from error
        yield Listener(consumer)
    finally:
        with contextlib.suppress(KafkaError, TimeoutError, ssl.SSLError):
            await asyncio.wait_for(consumer.stop(), STOP_TIMEOUT_S)
