"""The house of the lab: every role a process of its own, started again when it dies.

It kills only what it started, keeps everything in one directory, and leaves nothing running.
"""

import asyncio
import contextlib
import json
import os
import random
import signal
import socket
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import httpx
import psutil
import psycopg

from lab.brokers import NODES, Broker, Embedded, Trio
from lab.parts import Nursery, Part
from lab.proxy import Edge, tcp, unix
from marketkit.codes import CITY
from yaosu.keys import GATEWAY, Keys, make_keys
from yaosu.postgres import Postgres
from yaosu.processes import CannotStart, tail

HOST = "127.0.0.1"
READY_S_MAX = 60.0
# Below those of outgoing connections.
PORTS = (20_000, 32_000)
BLOCK = 50
PACKAGES = {"energy": "energy_trade", "gateway": "gateway"}
SOURCES = {"energy": f"/{CITY}/energy-trade", "gateway": f"/{CITY}/gateway"}
# Every role of every service as production runs it: api and worker twice, one opener.
ROLES = {
    "energy-api-1": ("energy", "api"),
    "energy-api-2": ("energy", "api"),
    "energy-worker-1": ("energy", "worker"),
    "energy-worker-2": ("energy", "worker"),
    "energy-opener": ("energy", "opener"),
    "gateway-api": ("gateway", "api"),
    "gateway-worker-1": ("gateway", "worker"),
    "gateway-worker-2": ("gateway", "worker"),
}


class LabPostgres(Postgres):
    """The embedded server with more options on its command line."""

    more_options: Sequence[str] = ()

    def _options(self) -> list[str]:
        return [*super()._options(), *self.more_options]


@dataclass
class LabHouse:
    """`async with LabHouse(...) as house`: it answers, and everything of it can be hurt.

    Args:
        directory: Holds all of it.
        seed: Of what its proxies draw.
        plants: Planted faults its services run with.
        has_real_kafka: Three nodes of Apache Kafka instead of the embedded broker.
        roles: Which of its processes it has.
        database_options: More options of PostgreSQL's command line.
        preload: Environment that a process of this name gets besides its settings.
        after_migration: Statements for a service's database before anything runs on it.
    """

    directory: Path
    seed: int = 0
    plants: Sequence[str] = ()
    has_real_kafka: bool = False
    roles: Sequence[str] = tuple(ROLES)
    database_options: Sequence[str] = ()
    preload: Callable[[str], Mapping[str, str]] = lambda name: {}
    after_migration: Mapping[str, Sequence[str]] = field(default_factory=dict)
    parts: dict[str, Part] = field(default_factory=dict, init=False)
    edges: dict[str, Edge] = field(default_factory=dict, init=False)
    broker: Broker | None = field(default=None, init=False)
    _nurseries: dict[str, Nursery] = field(default_factory=dict, init=False)
    _ports: dict[str, tuple[int, int]] = field(default_factory=dict, init=False)
    _guard: socket.socket | None = field(default=None, init=False)
    _postgres_keeper: asyncio.Task[None] | None = field(default=None, init=False)

    async def __aenter__(self) -> "LabHouse":
        async with contextlib.AsyncExitStack() as otherwise:
            otherwise.push_async_callback(self.stop)
            await self._start()
            otherwise.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @property
    def keys(self) -> Keys:
        return Keys(self.directory / "keys")

    @property
    def services(self) -> list[str]:
        return sorted({ROLES[name][0] for name in self.roles})

    @property
    def gateway_url(self) -> str:
        return self.edges["people"].url

    @property
    def direct_url(self) -> str:
        return self.edges["direct"].url

    @property
    def inner_urls(self) -> dict[str, str]:
        return {"energy": self.edges["energy-inner"].url, GATEWAY: self.edges["gateway-inner"].url}

    @property
    def kafka_servers(self) -> str:
        assert self.broker is not None
        return self.broker.servers

    def own_inner_url(self, name: str) -> str:
        """A process's own inner port, nothing between."""
        return f"http://{HOST}:{self._ports[name][1]}"

    def dsn(self, name: str) -> str:
        """A service's database, for its superuser, past every proxy."""
        return self.postgres.url(f"yaosu_{name}").replace("+psycopg", "")

    def rows(self, name: str, statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.dsn(name), autocommit=True) as connection:
            return connection.execute(statement.encode()).fetchall()

    async def stop(self) -> None:
        """End every process; services first, then broker and database."""
        if self._postgres_keeper is not None:
            self._postgres_keeper.cancel()
        self.thaw_postgres()
        await asyncio.gather(*(part.stop() for part in self.parts.values()))
        if self.broker is not None:
            await self.broker.stop()
        await asyncio.gather(*(nursery.stop() for nursery in self._nurseries.values()))
        for edge in self.edges.values():
            await edge.close()
        if hasattr(self, "postgres"):
            await asyncio.to_thread(self.postgres.stop, 3)
        if self._guard is not None:
            self._guard.close()

    async def _start(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        self._guard, ports = _claimed_ports()
        named = [*ROLES, "broker", *(f"kafka-{n}" for n in range(1, NODES + 1))]
        self._ports = {name: (next(ports), next(ports)) for name in named}
        make_keys(self.directory / "keys", SOURCES)
        for name in self.services:
            package = PACKAGES[name]
            env = _environment({}) | dict(self.preload(f"{name}-nursery"))
            nursery = Nursery(package, self.plants, env, self.log(f"{name}-nursery"))
            self._nurseries[name] = nursery
            await nursery.start()
        self.postgres = LabPostgres(self.directory / "postgres", log=self.log("postgres"))
        self.postgres.more_options = self.database_options
        await asyncio.to_thread(self._start_postgres)
        await self._open_edges()
        await self._start_broker()
        await self._migrate()
        for name in self.roles:
            self.parts[name] = self._part(name, *ROLES[name])
        await asyncio.gather(*(part.start() for part in self.parts.values()))
        await self.all_ready()
        for part in self.parts.values():
            part.keep_up()
        self._postgres_keeper = asyncio.create_task(self._keep_postgres())

    def log(self, name: str) -> Path:
        return self.directory / "logs" / f"{name}.log"

    def _start_postgres(self) -> None:
        self.postgres.start()
        roles = resources.files("marketkit").joinpath("roles.sql").read_text("utf-8")
        self.postgres.prepare([f"yaosu_{name}" for name in PACKAGES], roles, owner="yaosu_owner")

    async def _keep_postgres(self) -> None:
        while True:
            await asyncio.sleep(0.2)
            if not self.postgres.is_running():
                with contextlib.suppress(CannotStart):
                    await asyncio.to_thread(self.postgres.start)

    async def _open_edges(self) -> None:
        apis, gates = ("energy-api-1", "energy-api-2"), ("gateway-api",)
        socket = self.postgres.socket_dir / ".s.PGSQL.5432"
        wanted = {
            "people": [tcp(self._ports[name][0]) for name in gates],
            "direct": [tcp(self._ports[name][0]) for name in apis],
            "energy-api": [tcp(self._ports[name][0]) for name in apis],
            "energy-inner": [tcp(self._ports[name][1]) for name in apis],
            "gateway-inner": [tcp(self._ports[name][1]) for name in gates],
            "energy-database": [unix(socket)],
            "gateway-database": [unix(socket)],
        }
        for name, targets in wanted.items():
            chance = random.Random(f"{self.seed} {name}")
            self.edges[name] = edge = Edge(name, targets, chance=chance)
            await edge.open()

    async def _start_broker(self) -> None:
        if self.has_real_kafka:
            ports = [self._ports[f"kafka-{number}"] for number in range(1, NODES + 1)]
            self.broker = Trio(self.directory / "kafka", _environment({}), ports)
        else:
            self.broker = Embedded(self._ports["broker"][0], _environment({}), self.log("broker"))
        await self.broker.start()

    async def _migrate(self) -> None:
        parts = [self._part(f"{name}-migrate", name, "migrate") for name in self.services]
        await asyncio.gather(*(part.start() for part in parts))
        for part in parts:
            if await part.ended():
                raise CannotStart(f"{part.name} failed: {part.log}\n{tail(part.log)}")
        for name, statements in self.after_migration.items():
            with psycopg.connect(self.dsn(name), autocommit=True) as connection:
                for statement in statements:
                    connection.execute(statement.encode())

    def _part(self, name: str, service: str, role: str) -> Part:
        env = _environment(self._settings(name, service, role)) | dict(self.preload(name))
        log = self.log(name)
        wish = {"name": name, "role": role, "log": str(log), "env": env}
        return Part(name, log, lambda: self._nurseries[service].bear(wish))

    def _settings(self, name: str, service: str, role: str) -> dict[str, str]:
        api_port, inner_port = self._ports.get(name, (1, 1))
        database = f"yaosu_app@{HOST}:{self.edges[f'{service}-database'].port}/yaosu_{service}"
        settings = {
            "ENV": "embedded",
            "DATABASE_URL": f"postgresql+psycopg://{database}",
            "KAFKA_SERVERS": self.kafka_servers,
            "HOST": HOST,
            "API_PORT": str(api_port),
            "INNER_PORT": str(inner_port),
            "KEYS_DIR": str(self.keys.of(service)),
        }
        if service == GATEWAY:
            energy = {"api": self.edges["energy-api"].url, "inner": self.edges["energy-inner"].url}
            settings["UPSTREAMS"] = json.dumps({"energy": energy | {"source": SOURCES["energy"]}})
        if role == "migrate":
            settings["MIGRATE_URL"] = self.postgres.url(f"yaosu_{service}", "yaosu_owner")
        return settings

    async def wait_ready(self, name: str) -> None:
        """Return once this process says that it can serve."""
        async with httpx.AsyncClient(timeout=2, trust_env=False) as client:

            async def answers() -> bool:
                return (await client.get(f"{self.own_inner_url(name)}/readyz")).is_success

            await self._until(name, answers)

    async def all_ready(self) -> None:
        for name in self.roles:
            await self.wait_ready(name)

    async def _until(self, name: str, answers: Callable[[], Awaitable[bool]]) -> None:
        deadline = time.monotonic() + READY_S_MAX
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError, httpx.HTTPError):
                if await answers():
                    return
            part = self.parts.get(name)
            if part is not None and part.has_given_up:
                break
            await asyncio.sleep(0.1)
        raise CannotStart(f"{name} is not ready\n{tail(self.log(name), 30)}")

    # What may be done to the database and the broker.

    def stop_postgres_at_once(self) -> bool:
        """As `pg_ctl -m immediate`: no goodbye, recovery on the next start; whether it ran."""
        is_there = self.postgres.process is not None and self.postgres.is_running()
        if self.postgres.process is not None:
            self.postgres.process.send_signal(signal.SIGQUIT)
        return is_there

    def postgres_processes(self) -> list[psutil.Process]:
        if self.postgres.process is None:
            return []
        with contextlib.suppress(psutil.NoSuchProcess):
            postmaster = psutil.Process(self.postgres.process.pid)
            return [postmaster, *postmaster.children(recursive=True)]
        return []

    def freeze_postgres(self) -> bool:
        """Stop all of its processes; whether there were any."""
        return self._signal_postgres(signal.SIGSTOP)

    def thaw_postgres(self) -> None:
        if hasattr(self, "postgres"):
            self._signal_postgres(signal.SIGCONT)

    def _signal_postgres(self, number: signal.Signals) -> bool:
        reached = 0
        for process in self.postgres_processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)
                reached += 1
        return reached > 0

    def terminate_backends(self, service: str, share: float) -> int:
        """End a random share of a service's connections; how many."""
        statement = (
            f"SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
            f"WHERE datname = 'yaosu_{service}' AND usename = 'yaosu_app' AND random() < {share}"
        )
        with psycopg.connect(self.dsn(service), autocommit=True) as connection:
            row = connection.execute(statement.encode()).fetchone()
        return int(row[0]) if row else 0

    def signal(self, name: str, number: signal.Signals) -> bool:
        """Signal a process of the house, `postgres` too; whether it was there."""
        if name == "postgres":
            if self.postgres.process is None:
                return False
            self.postgres.process.send_signal(number)
            return True
        return self.every_part[name].signal(number)

    @property
    def every_part(self) -> dict[str, Part]:
        """The services' processes and the broker's."""
        return {**self.parts, **(self.broker.parts if self.broker is not None else {})}


def _environment(settings: Mapping[str, str]) -> dict[str, str]:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("YAOSU_")}
    return inherited | {f"YAOSU_{name}": value for name, value in settings.items()}


def _claimed_ports() -> tuple[socket.socket, Iterator[int]]:
    """A block of ports that is ours as long as we hold its first: another lab does the same."""
    blocks = list(range(*PORTS, BLOCK))
    random.SystemRandom().shuffle(blocks)
    for first in blocks:
        with contextlib.suppress(OSError):
            guard = socket.create_server((HOST, first))
            return guard, (port for port in range(first + 1, first + BLOCK) if _is_free(port))
    raise CannotStart(f"no port is free from {PORTS[0]} to {PORTS[1]}")


def _is_free(port: int) -> bool:
    try:
        socket.create_server((HOST, port)).close()
    except OSError:
        return False
    return True
