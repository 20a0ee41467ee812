"""A listener of the lab's own on the raw wire, and a forger who sends on it without the key."""

import asyncio
import contextlib
import json
from collections import defaultdict
from dataclasses import dataclass, field

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from lab.findings import Findings
from lab.house import SOURCES, LabHouse
from marketkit.outbox import PARTITIONS, Placed
from marketkit.signing import chain_after, same, unb64

TOPIC = "yaosu.energy.v1"
FORGER = b"forger"


@dataclass
class WireListener:
    """Reads every record from the wire's beginning on, and judges the order of first arrivals.

    After a fault of the broker it may have lost what it had taken: order is judged anew from there.
    """

    house: LabHouse
    findings: Findings
    _seen: dict[int, dict[int, bytes]] = field(default_factory=lambda: defaultdict(dict))
    _is_doubtful: bool = False

    def doubt(self) -> None:
        """The broker is about to be hurt: what it lost is not the relay's fault."""
        self._seen.clear()
        self._is_doubtful = True

    async def forever(self) -> None:
        while True:
            with contextlib.suppress(KafkaError, TimeoutError, OSError):
                await self._listen()
            await asyncio.sleep(0.5)

    async def _listen(self) -> None:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.house.kafka_servers,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            request_timeout_ms=3000,
        )
        try:
            await asyncio.wait_for(consumer.start(), 5)
            places = [TopicPartition(TOPIC, number) for number in range(PARTITIONS)]
            consumer.assign(places)
            await asyncio.wait_for(consumer.seek_to_beginning(*places), 5)
            self._seen.clear()
            self._is_doubtful = False
            self.findings.count("wire_listens")
            while not self._is_doubtful:
                batches = await asyncio.wait_for(consumer.getmany(timeout_ms=500), 6)
                for place, records in batches.items():
                    for record in records:
                        self._note(place.partition, record)
        finally:
            await _stop(consumer)

    def _note(self, partition: int, record: object) -> None:
        headers = dict(getattr(record, "headers", ()))
        if FORGER in (getattr(record, "key", None) or b""):
            return
        value: bytes = getattr(record, "value", None) or b""
        sequence = int(headers["sequence"])
        event = Placed(
            SOURCES["energy"], partition, int(headers["epoch"]), sequence, headers["chain"], value
        )
        key = unb64((self.house.keys.of("energy") / "mac.key").read_text("ascii").strip())
        if not same(headers["mac"], event.mac(key)):
            self.findings.fault("G5", f"wire {partition}: a bad MAC at {sequence}")
        seen = self._seen[partition]
        self.findings.count("wire_records")
        if sequence in seen:
            self.findings.count("wire_repeats")
            if seen[sequence] != value:
                self.findings.fault("G5", f"wire {partition}: two events in place {sequence}")
            return
        if seen and sequence < max(seen):
            self.findings.fault("G5", f"wire {partition}: {sequence} came after {max(seen)}")
        seen[sequence] = value


async def _stop(consumer: AIOKafkaConsumer) -> None:
    me = asyncio.current_task()
    try:
        await asyncio.wait_for(consumer.stop(), 3)
    except (KafkaError, TimeoutError):
        pass
    except asyncio.CancelledError:
        # Its own fetch was cancelled by its stop, not we: nobody would listen from here on.
        if me is None or me.cancelling():
            raise


async def forge(house: LabHouse, partition: int) -> None:
    """Send a record that would be the very next, by one who has read the log but holds no key."""
    found = await asyncio.to_thread(
        house.rows,
        "energy",
        f"SELECT sequence, chain FROM partition_head WHERE partition = {partition}",
    )
    ((sequence, chain),) = found
    event = json.dumps(
        {
            "specversion": "1.0",
            "id": "01FORGED00000000000000000",
            "source": SOURCES["energy"],
            "type": "yaosu.energy.account.opened.v1",
            "subject": f"forged:{partition}:{sequence}",
            "time": "2022-06-01T00:00:00+00:00",
            "partitionkey": f"forged:{partition}:{sequence}",
            "actor": "forger",
            "data": {},
        }
    ).encode()
    headers = [
        ("epoch", b"1"),
        ("sequence", str(sequence + 1).encode()),
        ("chain", chain_after(bytes(chain), event)),
        ("mac", bytes(32)),
        ("content-type", b"application/cloudevents+json"),
    ]
    producer = AIOKafkaProducer(
        bootstrap_servers=house.kafka_servers, acks="all", request_timeout_ms=3000
    )
    try:
        await asyncio.wait_for(producer.start(), 5)
        sent = producer.send_and_wait(
            TOPIC, event, key=FORGER, partition=partition, headers=headers
        )
        await asyncio.wait_for(sent, 5)
    finally:
        with contextlib.suppress(KafkaError, TimeoutError):
            await asyncio.wait_for(producer.stop(), 3)
