"""The lab's two kinds of broker: the embedded one, and three nodes of a real Apache Kafka."""

import asyncio
import base64
import contextlib
import random
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from kafka_node import CLUSTER_ID, jars
from lab.erring import CODES, FINAL, REQUESTS
from lab.parts import Part, Program
from yaosu.broker import read_topics
from yaosu.processes import CannotStart, tail

HOST = "127.0.0.1"
NODES = 3
ERRING = Path(__file__).with_name("erring.py")
READY_S_MAX = 90.0


class Broker(Protocol):
    """A wire that may be hurt. What it forgets, the feeds heal."""

    @property
    def servers(self) -> str: ...

    @property
    def parts(self) -> Mapping[str, Part]: ...

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def down(self, seconds: float, chance: random.Random) -> bool:
        """Unreachable for so long; it keeps what it has. Like all these: whether it was done."""
        ...

    async def kill(self, chance: random.Random) -> bool:
        """One process of it dies; it is started again."""
        ...

    async def wipe(self) -> bool:
        """It forgets everything it ever held."""
        ...

    async def err(self, chance: random.Random) -> bool:
        """It answers the next requests of a kind with an error."""
        ...


@dataclass
class Embedded:
    """librdkafka's mock cluster: in memory, a killed one is a wiped one."""

    port: int
    env: Mapping[str, str]
    log: Path
    parts: dict[str, Part] = field(default_factory=dict)

    def __post_init__(self) -> None:
        command = [sys.executable, str(ERRING), "--port", str(self.port)]
        self._program = Program(command, self.env, self.log)
        self.parts["broker"] = Part("broker", self.log, self._program.begin)

    @property
    def servers(self) -> str:
        return f"{HOST}:{self.port}"

    async def start(self) -> None:
        await self.parts["broker"].start()
        deadline = time.monotonic() + READY_S_MAX
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection(HOST, self.port)
                writer.close()
                self.parts["broker"].keep_up()
                return
            await asyncio.sleep(0.1)
        raise CannotStart(f"no broker:\n{tail(self.log)}")

    async def stop(self) -> None:
        await self.parts["broker"].stop()

    async def down(self, seconds: float, chance: random.Random) -> bool:
        is_down = self._program.tell("down")
        try:
            await asyncio.sleep(seconds)
        finally:
            self._program.tell("up")
        return is_down

    async def kill(self, chance: random.Random) -> bool:
        return self.parts["broker"].signal(signal.SIGKILL)

    async def wipe(self) -> bool:
        return self._program.tell("wipe")

    async def err(self, chance: random.Random) -> bool:
        kind = chance.choice(sorted(REQUESTS))
        codes = [code for code in CODES if kind != "produce" or code not in FINAL]
        code = chance.choice(codes)
        return self.tell(f"err {kind} {code} {chance.randint(1, 5)}")

    def tell(self, order: str) -> bool:
        """Give it an order; whether it is there to hear it."""
        return self._program.tell(order)


@dataclass
class Trio:
    """Three nodes, each broker and controller; every partition on all, two must have a record."""

    directory: Path
    env: Mapping[str, str]
    ports: list[tuple[int, int]]
    parts: dict[str, Part] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._lib = jars()
        for number in range(1, NODES + 1):
            folder = self.directory / f"kafka-{number}"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "server.properties").write_text(self._properties(number))
            name, log = f"kafka-{number}", folder / "kafka.log"
            command = [*self._java(), "-Xmx256m", "kafka.Kafka", str(folder / "server.properties")]
            self.parts[name] = Part(name, log, Program(command, self.env, log).begin)

    @property
    def servers(self) -> str:
        return ",".join(f"{HOST}:{port}" for port, _ in self.ports)

    def _java(self) -> list[str]:
        return [shutil.which("java") or "java", "-cp", f"{self._lib}/*"]

    async def start(self) -> None:
        await asyncio.to_thread(self._format)
        for part in self.parts.values():
            await part.start()
        await asyncio.to_thread(self._make_topics)
        for part in self.parts.values():
            part.keep_up()

    async def stop(self) -> None:
        await asyncio.gather(*(part.stop() for part in self.parts.values()))

    async def down(self, seconds: float, chance: random.Random) -> bool:
        """One, two or all three stand still."""
        names = chance.sample(sorted(self.parts), chance.randint(1, NODES))
        stopped = [self.parts[name].signal(signal.SIGSTOP) for name in names]
        try:
            await asyncio.sleep(seconds)
        finally:
            for name in names:
                self.parts[name].signal(signal.SIGCONT)
        return all(stopped)

    async def kill(self, chance: random.Random) -> bool:
        return self.parts[chance.choice(sorted(self.parts))].signal(signal.SIGKILL)

    async def err(self, chance: random.Random) -> bool:
        """A real one says what it means: no error can be put into its mouth."""
        return False

    async def wipe(self) -> bool:
        for part in self.parts.values():
            part.rest()
            part.signal(signal.SIGKILL)
            await part.ended()
        for folder in self.directory.glob("kafka-*/logs"):
            shutil.rmtree(folder)
        await self.start()
        return True

    def _format(self) -> None:
        places = [
            f"{number}@{HOST}:{self.ports[number - 1][1]}:{_directory_id()}"
            for number in range(1, NODES + 1)
        ]
        for number in range(1, NODES + 1):
            file = self.directory / f"kafka-{number}" / "server.properties"
            tool = [*self._java(), "kafka.tools.StorageTool", "format", "-t", CLUSTER_ID]
            made = subprocess.run(
                [*tool, "-c", str(file), "--initial-controllers", ",".join(places)],
                check=False, capture_output=True, text=True, timeout=120,
            )  # fmt: skip
            if made.returncode:
                raise CannotStart(f"kafka-{number} cannot be made: {made.stdout}{made.stderr}")

    def _make_topics(self) -> None:
        topics = read_topics()
        admin = AdminClient({"bootstrap.servers": self.servers, "log_level": 0})
        wanted = [
            NewTopic(name, topics.partitions, NODES, config={"min.insync.replicas": "2"})
            for name in topics.topics
        ]
        deadline = time.monotonic() + READY_S_MAX
        while time.monotonic() < deadline:
            with contextlib.suppress(KafkaException):
                known = admin.list_topics(timeout=3)
                missing = [topic for topic in wanted if topic.topic not in known.topics]
                if len(known.brokers) == NODES and not missing:
                    return
                if len(known.brokers) == NODES:
                    for made in admin.create_topics(missing).values():
                        made.result(20)
            time.sleep(0.3)
        raise CannotStart(f"three brokers do not come up: {self.directory}")

    def _properties(self, number: int) -> str:
        port, controller_port = self.ports[number - 1]
        controllers = ",".join(f"{HOST}:{controller}" for _, controller in self.ports)
        return f"""\
process.roles=broker,controller
node.id={number}
listeners=PLAINTEXT://{HOST}:{port},CONTROLLER://{HOST}:{controller_port}
advertised.listeners=PLAINTEXT://{HOST}:{port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.quorum.bootstrap.servers={controllers}
log.dirs={self.directory}/kafka-{number}/logs
auto.create.topics.enable=false
unclean.leader.election.enable=false
offsets.topic.replication.factor=3
"""


def _directory_id() -> str:
    while True:
        text = base64.urlsafe_b64encode(secrets.token_bytes(16)).decode().rstrip("=")
        if not text.startswith("-"):
            return text
