"""Facts from Kafka into the gateway's projections, beside a FastStream consumer's same upserts.

Everything is on the wire before the clock starts: a reader that stood still catches up.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from statistics import median

import httpx

from bench import expected, town
from bench.figures import Figure
from bench.site import Site, done, site
from kafka_node import KafkaNode
from marketkit.db import Database
from marketkit.kafka import producing
from marketkit.outbox import PARTITIONS, Placed
from marketkit.signing import unb64
from yaosu.broker import read_topics

EVENTS = 40_000
ROUNDS = 3
LISTENS_AFTER_S = 2
TOPIC = "yaosu.energy.v1"
AT_ONCE = 1_000
POSITIONS = b"SELECT count(*), sum(sequence) FROM position"


async def told(house: Database, count: int) -> list[Placed]:
    await town.tell(house, count)
    return await log(house)


async def log(house: Database) -> list[Placed]:
    found = await town.log_of(house)
    await house.close()
    return found


async def sent(servers: str, mac_key: bytes, events: Sequence[Placed]) -> None:
    """All on the wire, as the relay sends it."""
    async with producing(servers, TOPIC, mac_key) as wire:
        for first in range(0, len(events), AT_ONCE):
            assert await wire.send(events[first : first + AT_ONCE]) == []


class Reading:
    """The gateway's worker beside the owner of the log it reads; it may be made to stand still."""

    def __init__(self, here: Site, servers: str) -> None:
        owner_url = here.database("energy_trade")
        self.owner = here.house("energy_trade", owner_url)
        self.url = here.database("gateway")
        self.inner = here.service("energy_trade", "api", owner_url).inner
        owner = {"api": "http://127.0.0.1:1", "inner": f"http://127.0.0.1:{self.inner}"}
        upstreams = json.dumps({"energy": owner | {"source": self.owner.source}})
        self.pid = here.service(
            "gateway", "worker", self.url, KAFKA_SERVERS=servers, UPSTREAMS=upstreams
        ).pid
        self.until(0)
        time.sleep(LISTENS_AFTER_S)

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
    """Let a reader catch up with so many events on the wire; how many it applied a second."""
    reading = Reading(here, node.servers)
    mac_key = unb64((here.keys.of("gateway") / "mac.key").read_text("ascii").strip())
    os.kill(reading.pid, signal.SIGSTOP)
    events = done(told(reading.owner, count))
    done(sent(node.servers, mac_key, events))
    os.kill(reading.pid, signal.SIGCONT)
    began = time.perf_counter()
    reading.until(count)
    return reading, count / (time.perf_counter() - began)


def read_by_peer(here: Site, node: KafkaNode, count: int) -> tuple[str, float]:
    """The same by the peer: its database, and how many it applied a second."""
    url = here.database("gateway")
    process = subprocess.run(
        [sys.executable, "-m", "bench.peer", node.servers, str(count)],
        env=os.environ | {"BENCH_DATABASE_URL": url.replace("yaosu_app@", "postgres@")},
        stdout=subprocess.PIPE,
        check=True,
        timeout=600,
    )
    return url, count / float(process.stdout)


def measure(count: int = EVENTS) -> list[Figure]:
    with site() as here:
        node = KafkaNode(here.directory / "kafka", read_topics())
        here.ending.callback(node.down)
        node.up()
        first, per_second = read(here, node, count)
        plain_url, plain = read_by_peer(here, node, count)
        rates, fetches = [per_second], first.fetched()
        wanted = here.database("gateway")
        expected.copied(wanted, expected.folded(done(log(first.owner))))
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
