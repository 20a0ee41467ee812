"""Facts from Kafka into the gateway's projections, beside a FastStream consumer's same upserts.

All is put on the wire at once, while the reader waits for it; the clock starts with the first.
"""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from statistics import median

import httpx
from confluent_kafka import Producer

from bench import expected, town
from bench.figures import Figure
from bench.site import Site, site
from kafka_node import KafkaNode
from marketkit.outbox import PARTITIONS, Placed
from yaosu.broker import read_topics

EVENTS = 20_000
ROUNDS = 2
LISTENS_AFTER_S = 2
TOPIC, PEER_TOPIC = "yaosu.energy.v1", "peer.energy.v1"
POSITIONS = b"SELECT count(*), sum(sequence) FROM position"


Headers = list[tuple[str, str | bytes | None]]


def headers(event: Placed, mac_key: bytes) -> Headers:
    """What the relay puts beside an event."""
    return [
        ("epoch", str(event.epoch).encode()),
        ("sequence", str(event.sequence).encode()),
        ("chain", event.chain),
        ("mac", event.mac(mac_key)),
        ("content-type", b"application/cloudevents+json"),
    ]


def sent(servers: str, topic: str, records: Sequence[tuple[Placed, Headers]]) -> None:
    """All on the wire, as fast as it takes them."""
    settings = {"bootstrap.servers": servers, "acks": "all", "linger.ms": 5, "log_level": 3}
    producer = Producer(settings)
    for event, beside in records:
        producer.produce(topic, event.event, partition=event.partition, headers=beside)
    assert producer.flush(30) == 0


class Reading:
    """The gateway's worker beside the owner of the log it reads; it may be made to stand still."""

    def __init__(self, here: Site, servers: str, owner_url: str) -> None:
        self.owner = here.house("energy_trade", owner_url)
        self.url = here.database("gateway")
        self.inner = here.service("energy_trade", "api", owner_url).inner
        owner = {"api": "http://127.0.0.1:1", "inner": f"http://127.0.0.1:{self.inner}"}
        upstreams = json.dumps({"energy": owner | {"source": self.owner.source}})
        self.pid = here.service(
            "gateway", "worker", self.url, KAFKA_SERVERS=servers, UPSTREAMS=upstreams
        ).pid
        self.events: Sequence[Placed] = ()

    def until(self, count: int) -> None:
        """Return once so many events are applied."""
        with town.superuser(self.url) as connection:
            while connection.execute(POSITIONS).fetchone() != (PARTITIONS, count):
                time.sleep(0.02)

    def fetched(self) -> int:
        """How often the owner's feed was asked for events."""
        said = httpx.get(f"http://127.0.0.1:{self.inner}/metrics").text
        found = re.findall(r'_count\{[^}]*route="/v1/events"[^}]*\} ([0-9.e+]+)', said)
        return int(sum(map(float, found)))


def read(here: Site, node: KafkaNode, count: int) -> tuple[Reading, float]:
    """Let a reader that waits have so many events at once; how many it applied a second."""
    reading = Reading(here, node.servers, here.database("energy_trade"))
    mac_key = here.mac_key()
    log = town.Log(reading.owner)
    told = [log.placed(telling) for telling in town.tellings(count)]
    reading.events = [event for _, event in told]
    records = [(event, headers(event, mac_key)) for event in reading.events]
    reading.until(0)
    time.sleep(LISTENS_AFTER_S)
    log.write(told)
    began = time.perf_counter()
    sent(node.servers, TOPIC, records)
    reading.until(count)
    return reading, count / (time.perf_counter() - began)


def read_by_peer(here: Site, node: KafkaNode, events: Sequence[Placed]) -> tuple[str, float]:
    """The same by the peer: its database, and how many it applied a second."""
    url = here.database("gateway")
    # It takes no header but text: the same events on a topic of its own.
    sent(node.servers, PEER_TOPIC, [(one, [("sequence", str(one.sequence))]) for one in events])
    process = subprocess.run(
        [sys.executable, "-m", "bench.peer", node.servers, str(len(events))],
        env=os.environ | {"BENCH_DATABASE_URL": url.replace("yaosu_app@", "postgres@")},
        stdout=subprocess.PIPE,
        check=True,
        timeout=600,
    )
    return url, len(events) / float(process.stdout)


@contextmanager
def kafka(here: Site) -> Iterator[KafkaNode]:
    topics = read_topics()
    wanted = topics.model_copy(update={"topics": [*topics.topics, PEER_TOPIC]})
    node = KafkaNode(here.directory / "kafka", wanted)
    try:
        node.up()
        yield node
    finally:
        node.down()


def measure(count: int = EVENTS) -> list[Figure]:
    with site() as here, kafka(here) as node:
        first, per_second = read(here, node, count)
        plain_url, plain = read_by_peer(here, node, first.events)
        rates, fetches = [per_second], first.fetched()
        wanted = here.database("gateway")
        expected.copied(wanted, expected.folded(first.events))
        right = town.digests(wanted)
        assert town.digests(plain_url) == town.digests(first.url) == right
        for _ in range(ROUNDS - 1):
            reading, per_second = read(here, node, count)
            assert town.digests(reading.url) == right
            rates.append(per_second)
            fetches += reading.fetched()
    ratio = median(rates) / plain
    return [
        Figure(
            f"{count:,} events from one Kafka 4.4 node into the projections, {ROUNDS} times",
            f"{median(rates):,.0f}/s ({min(rates):,.0f}-{max(rates):,.0f}), "
            f"{fetches} ranges from the feed",
            f"FastStream, ack by message {plain:,.0f}/s",
            f"{ratio:.1f}×",
            "≥ 3× and ≥ 10,000/s",
            ratio >= 3 and median(rates) >= 10_000,
        )
    ]
