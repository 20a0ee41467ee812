"""The embedded Kafka: librdkafka's mock cluster behind one fixed loopback port.

Run as a program it prints its address, obeys `down`, `up` and `wipe` read from its standard
input, answering each with `ok`, and ends when that input ends.
"""

import argparse
import asyncio
import contextlib
import ctypes
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Self

import confluent_kafka
import yaml
from pydantic import BaseModel, ConfigDict

TOPICS_FILE = Path(__file__).parents[3] / "deploy" / "topics.yaml"
_PRODUCER = 0
_BROKER_ID = 1


class Topics(BaseModel):
    """What `deploy/topics.yaml` declares."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    partitions: int
    retention_days: int
    topics: list[str]


def read_topics(path: Path = TOPICS_FILE) -> Topics:
    """The topics every broker of ours has."""
    return Topics.model_validate(yaml.safe_load(path.read_text()))


def _library() -> Any:
    folder = Path(confluent_kafka.__file__).parent.parent / "confluent_kafka.libs"
    library = ctypes.CDLL(str(next(folder.glob("librdkafka-*"))))
    pointer, text, number = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int
    signatures: dict[str, tuple[Any, list[Any]]] = {
        "rd_kafka_conf_new": (pointer, []),
        "rd_kafka_conf_set": (number, [pointer, text, text, pointer, ctypes.c_size_t]),
        "rd_kafka_new": (pointer, [number, pointer, text, ctypes.c_size_t]),
        "rd_kafka_mock_cluster_new": (pointer, [pointer, number]),
        "rd_kafka_mock_cluster_bootstraps": (text, [pointer]),
        "rd_kafka_mock_topic_create": (number, [pointer, text, number, number]),
        "rd_kafka_mock_topic_delete": (number, [pointer, text]),
        "rd_kafka_mock_broker_set_host_port": (number, [pointer, ctypes.c_int32, text, number]),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


class MockCluster:
    """One broker in librdkafka's own threads, memory only, at a port of its own choosing."""

    def __init__(self, topics: Topics) -> None:
        self._topics = topics
        self._library = _library()
        reason = ctypes.create_string_buffer(512)
        settings = self._library.rd_kafka_conf_new()
        self._library.rd_kafka_conf_set(settings, b"log_level", b"3", None, 0)
        client = self._library.rd_kafka_new(_PRODUCER, settings, reason, len(reason))
        self._cluster = self._library.rd_kafka_mock_cluster_new(client, 1)
        bootstraps = self._library.rd_kafka_mock_cluster_bootstraps(self._cluster).decode()
        self.port = int(bootstraps.rpartition(":")[2])
        self._create_topics()

    def advertise(self, port: int) -> None:
        """Tell clients to come to another port than ours."""
        self._library.rd_kafka_mock_broker_set_host_port(
            self._cluster, _BROKER_ID, b"127.0.0.1", port
        )

    def wipe(self) -> None:
        """Forget every record; offsets begin at 0 again."""
        for name in self._topics.topics:
            self._library.rd_kafka_mock_topic_delete(self._cluster, name.encode())
        self._create_topics()

    def _create_topics(self) -> None:
        for name in self._topics.topics:
            self._library.rd_kafka_mock_topic_create(
                self._cluster, name.encode(), self._topics.partitions, 1
            )


class Door:
    """The fixed port in front of the cluster, which cannot be told its own port."""

    def __init__(self, cluster: MockCluster) -> None:
        self._cluster = cluster
        self._server: asyncio.Server | None = None
        self._visitors: set[asyncio.StreamWriter] = set()
        self.port = 0

    @classmethod
    async def opened(cls, cluster: MockCluster, port: int) -> Self:
        """A door that is up and has said where."""
        door = cls(cluster)
        await door.up(port)
        print(f"127.0.0.1:{door.port}", flush=True)
        return door

    async def obey(self, order: str) -> None:
        """Carry out `down`, `up` or `wipe`."""
        if order == "down":
            await self.down()
        elif order == "up":
            await self.up()
        elif order == "wipe":
            self._cluster.wipe()
            self.drop()

    async def up(self, port: int = 0) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port or self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        self._cluster.advertise(self.port)

    async def down(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        self.drop()

    def drop(self) -> None:
        """Cut every connection, as a broker that dies does."""
        for writer in list(self._visitors):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", self._cluster.port)
        self._visitors |= {writer, inner_writer}
        try:
            await asyncio.gather(_pour(reader, inner_writer), _pour(inner_reader, writer))
        finally:
            self._visitors -= {writer, inner_writer}


async def _pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while chunk := await reader.read(1 << 18):
            writer.write(chunk)
            await writer.drain()
    writer.transport.abort()


async def orders() -> AsyncIterator[str]:
    """What standard input says, line by line; each is answered once it was carried out."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    while order := (await reader.readline()).decode().strip():
        yield order
        print("ok", flush=True)


async def serve(port: int, topics: Topics) -> None:
    """Be a broker at `port` (0: any) until standard input ends."""
    door = await Door.opened(MockCluster(topics), port)
    async for order in orders():
        await door.obey(order)


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m yaosu.broker")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--topics", type=Path, default=TOPICS_FILE)
    asked = parser.parse_args()
    asyncio.run(serve(asked.port, read_topics(asked.topics)))


if __name__ == "__main__":
    main()
