"""A real Apache Kafka of one node (KRaft) for tests: jars by Maven, loopback, own directory."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from yaosu.broker import Topics
from yaosu.processes import launched, open_log, tail

VERSION = "4.4.0"
POM = Path(__file__).parent / "kafka" / "pom.xml"
COPY_GOAL = "dependency:copy-dependencies"
CLUSTER_ID = "eWFvc3UtdGVzdHMtMDAwMA"


class KafkaMissing(Exception):
    """Why no real Kafka can be had on this machine."""


def jars() -> Path:
    """The directory of Kafka's jars, fetched by Maven the first time, outside the repository.

    Raises:
        KafkaMissing: Java, Maven or its repository is out of reach.
    """
    cache = Path(os.environ.get("YAOSU_CACHE") or Path.home() / ".cache" / "yaosu")
    found = cache / f"kafka-{VERSION}"
    if not shutil.which("java"):
        raise KafkaMissing("no java on PATH")
    if found.is_dir():
        return found
    if not shutil.which("mvn"):
        raise KafkaMissing("no mvn on PATH")
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as unfinished:
        lib = Path(unfinished) / "lib"
        # Bounded by Maven's own timeouts on a closed network.
        copied = subprocess.run(
            ["mvn", "-B", "-q", "-f", POM, COPY_GOAL, f"-DoutputDirectory={lib}"],
            capture_output=True,
            text=True,
            check=False,
        )
        if copied.returncode or not lib.is_dir():
            reason = (copied.stdout + copied.stderr).strip().splitlines()
            raise KafkaMissing(f"Maven could not fetch the jars: {reason[:1]}")
        if not found.is_dir():
            lib.rename(found)
    return found


class KafkaNode:
    """One broker and controller in one process, with the topics of `deploy/topics.yaml`."""

    def __init__(self, directory: Path, topics: Topics) -> None:
        self._lib = jars()
        self._directory = directory
        self._topics = topics
        self._port, controller_port = _free_ports(2)
        self._properties = directory / "server.properties"
        directory.mkdir(parents=True, exist_ok=True)
        self._properties.write_text(_properties(directory, self._port, controller_port))
        self._process: subprocess.Popen[bytes] | None = None
        self.servers = f"127.0.0.1:{self._port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def up(self) -> None:
        """Return once it answers and has its topics; what it held before is there."""
        if not (self._directory / "logs").exists():
            self._format()
        program = [*self._java(), "-Xmx384m", "kafka.Kafka", self._properties]
        with open_log(self._directory / "kafka.log") as log:
            self._process = subprocess.Popen(
                launched(program, signal.SIGKILL), stdout=log, stderr=log, start_new_session=True
            )
        self._wait_until_it_answers()
        self._create_topics()

    def down(self) -> None:
        """Stop it in good order; what it holds stays on its disk."""
        self._stop(signal.SIGTERM)

    def erase(self) -> None:
        """Make it a broker that never held anything, at the same address."""
        self._stop(signal.SIGKILL)
        shutil.rmtree(self._directory / "logs")
        self.up()

    def _stop(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(30)
            self._process = None

    def _java(self) -> list[str | Path]:
        return [shutil.which("java") or "java", "-cp", f"{self._lib}/*"]

    def _format(self) -> None:
        tool = [*self._java(), "kafka.tools.StorageTool", "format", "--standalone"]
        subprocess.run(
            [*tool, "-t", CLUSTER_ID, "-c", self._properties],
            check=True,
            capture_output=True,
            timeout=60,
        )

    def _wait_until_it_answers(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                break
            try:
                self._admin().list_topics(timeout=2)
                return
            except KafkaException:
                time.sleep(0.2)
        self.down()
        raise AssertionError(f"Kafka did not start:\n{tail(self._directory / 'kafka.log', 20)}")

    def _create_topics(self) -> None:
        admin = self._admin()
        known = admin.list_topics(timeout=10).topics
        wanted = [NewTopic(n, self._topics.partitions, 1) for n in self._topics.topics]
        missing = [topic for topic in wanted if topic.topic not in known]
        for created in admin.create_topics(missing).values() if missing else ():
            created.result(20)

    def _admin(self) -> AdminClient:
        return AdminClient({"bootstrap.servers": self.servers, "log_level": 0})


def _properties(directory: Path, port: int, controller_port: int) -> str:
    return f"""\
process.roles=broker,controller
node.id=1
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.quorum.bootstrap.servers=127.0.0.1:{controller_port}
log.dirs={directory}/logs
auto.create.topics.enable=false
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
"""


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [taken.getsockname()[1] for taken in sockets]
    for taken in sockets:
        taken.close()
    return ports
