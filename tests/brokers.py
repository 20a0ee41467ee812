"""The brokers a test may run on: librdkafka's mock cluster and a real Apache Kafka."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from kafka_node import KafkaMissing, KafkaNode
from yaosu.broker import read_topics
from yaosu.processes import launched


class Broker(Protocol):
    """A broker with the four topics that a test may stop, start and empty."""

    @property
    def servers(self) -> str: ...

    def down(self) -> None: ...

    def up(self) -> None: ...

    def erase(self) -> None: ...


class EmbeddedBroker:
    """`python -m yaosu.broker` as a child of the test."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            launched([sys.executable, "-m", "yaosu.broker"], signal.SIGKILL),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.servers = self._answer()

    def down(self) -> None:
        self._order("down")

    def up(self) -> None:
        self._order("up")

    def erase(self) -> None:
        self._order("wipe")

    def close(self) -> None:
        with self._process:
            assert self._process.stdin is not None
            self._process.stdin.close()
            self._process.wait(10)

    def _order(self, order: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(order + "\n")
        self._process.stdin.flush()
        assert self._answer() == "ok"

    def _answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


@pytest.fixture(scope="session")
def embedded_broker() -> Iterator[EmbeddedBroker]:
    broker = EmbeddedBroker()
    yield broker
    broker.close()


@pytest.fixture(scope="session")
def kafka_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaNode]:
    """A real broker for the whole run; SKIPPED aloud where it cannot be had."""
    directory: Path = tmp_path_factory.mktemp("kafka")
    try:
        node = KafkaNode(directory, read_topics())
    except KafkaMissing as missing:
        pytest.skip(f"SKIPPED: no real Kafka: {missing}")
    node.up()
    yield node
    node.down()


@pytest.fixture(scope="session")
def kafka_servers(kafka_node: KafkaNode) -> str:
    return kafka_node.servers


@pytest.fixture(params=["embedded", pytest.param("kafka", marks=pytest.mark.kafka)])
def broker(request: pytest.FixtureRequest) -> Broker:
    """An empty broker, once of each kind."""
    wanted = "kafka_node" if request.param == "kafka" else "embedded_broker"
    found: Broker = request.getfixturevalue(wanted)
    found.erase()
    return found
