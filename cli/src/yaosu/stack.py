"""The whole house on one machine: PostgreSQL, migrations, broker, services, gateway, in order.

What dies is started again at its own address; what is stopped leaves nothing behind.
"""

import asyncio
import contextlib
import errno
import fcntl
import json
import os
import secrets
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import IO, Any

import httpx

from marketkit.codes import CITY
from yaosu.keys import GATEWAY, Keys, make_keys
from yaosu.postgres import Postgres
from yaosu.processes import CannotStart, Child, tail

ROOM_BYTES_MIN = 300_000_000
READY_S_MAX = 60.0
SERVICE_STOP_S = 6.0
BROKER_STOP_S = 1.0
POSTGRES_STOP_S = 3
HOST = "127.0.0.1"

Say = Callable[[str], None]


@dataclass(frozen=True)
class Service:
    """One of the four services: what it is called where, and at which addresses it answers."""

    name: str
    package: str
    title: str
    api_port: int
    inner_port: int

    @property
    def source(self) -> str:
        return f"/{CITY}/{self.package.replace('_', '-')}"

    @property
    def database(self) -> str:
        return f"yaosu_{self.name}"

    @property
    def api_url(self) -> str:
        return f"http://{HOST}:{self.api_port}"

    @property
    def inner_url(self) -> str:
        return f"http://{HOST}:{self.inner_port}"


PACKAGES = {
    "energy": ("energy_trade", "能耗指标交易"),
    "emission": ("emission_trade", "排污权交易"),
    "land": ("land_index", "土地指标"),
    GATEWAY: ("gateway", "统一门户"),
}


class Stack:
    """The house as an object: `async with Stack(data_dir) as stack` is a house that answers.

    Args:
        data_dir: Holds everything; nobody else may use it meanwhile.
        port: The gateway's; 0 for a free one.
        fresh: Begin anew: what `data_dir` held is deleted.
        say: Takes lines of progress, in Chinese.
        programs: Command of each service instead of `python -m <package>`, for tests.
        kafka_servers: A broker that stands already, instead of the embedded one.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        port: int = 0,
        fresh: bool = False,
        say: Say = lambda line: None,
        programs: Mapping[str, Sequence[str | Path]] | None = None,
        kafka_servers: str = "",
    ) -> None:
        self.data_dir = data_dir.absolute()
        self._given_servers = kafka_servers
        self._fresh = fresh
        self._say = say
        self._programs = programs or {}
        self._asked_port = port
        self._lock: IO[str] | None = None
        self._children: dict[str, Child] = {}
        self._database_watcher: asyncio.Task[None] | None = None
        self.services: dict[str, Service] = {}

    async def __aenter__(self) -> "Stack":
        async with contextlib.AsyncExitStack() as otherwise:
            otherwise.push_async_callback(self.stop)
            await self._start()
            otherwise.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @property
    def gateway_url(self) -> str:
        return self.services[GATEWAY].api_url

    @property
    def inner_urls(self) -> dict[str, str]:
        return {name: service.inner_url for name, service in self.services.items()}

    def pid(self, name: str) -> int | None:
        """The process that is `name` now: a service, `broker` or `postgres`."""
        if name == "postgres":
            return self.postgres.process.pid if self.postgres.process else None
        return self._children[name].pid

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        """Do to a part what a fault would; it is started again by itself."""
        if name == "postgres":
            assert self.postgres.process is not None
            self.postgres.process.send_signal(number)
        else:
            self._children[name].kill(number)

    async def erase_broker(self) -> None:
        """Make the broker forget everything: it dies and comes back empty at its address."""
        self._children["broker"].kill()
        await self._children["broker"].up()
        await self._until("broker", self._broker_answers)

    def broker_down(self) -> None:
        """Make the broker unreachable; it keeps what it has."""
        self._children["broker"].tell("down")

    def broker_up(self) -> None:
        self._children["broker"].tell("up")

    async def wait_ready(self, name: str) -> None:
        """Return once the service says that it can serve."""
        service = self.services[name]
        url = service.inner_url
        async with httpx.AsyncClient(base_url=url, timeout=2, trust_env=False) as client:

            async def answers() -> bool:
                return (await client.get("/readyz")).is_success

            await self._until(name, answers)

    async def stop(self) -> None:
        """End every process, gateway and services first; remove sockets and the lock."""
        if self._database_watcher is not None:
            self._database_watcher.cancel()
        broker = self._children.pop("broker", None)
        await asyncio.gather(*(child.stop(SERVICE_STOP_S) for child in self._children.values()))
        self._children.clear()
        if broker is not None:
            await broker.stop(BROKER_STOP_S)
        if hasattr(self, "postgres"):
            self.postgres.stop(POSTGRES_STOP_S)
        self._unlock()

    async def _start(self) -> None:
        self._take_lock()
        self._check_room()
        self._broker_port = _free_port()
        self.services = self._addresses()
        self.postgres = Postgres(self.data_dir / "postgres", log=self._log("postgres"))
        if self._fresh:
            self._begin_anew()
        self.keys: Keys = make_keys(self.data_dir / "keys", self._sources())
        self._start_postgres()
        await _both(self._start_broker(), self._migrate())
        await self._start_services()

    def _log(self, name: str) -> Path:
        return self.data_dir / "logs" / f"{name}.log"

    def _sources(self) -> dict[str, str]:
        return {name: service.source for name, service in self.services.items()}

    def _take_lock(self) -> None:
        try:
            self.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = (self.data_dir / "lock").open("a+")
        except OSError as error:
            raise CannotStart(
                f"无法写入 / cannot write to {self.data_dir}: {error.strerror}. "
                f'Type: sudo chown -R "$(id -un)" {self.data_dir}'
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            holder = lock.read().strip()
            lock.close()
            raise CannotStart(
                f"已在运行 / already running on {self.data_dir}. Type: kill -INT {holder}"
            ) from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        self._lock = lock

    def _unlock(self) -> None:
        if self._lock is not None:
            Path(self._lock.name).unlink(missing_ok=True)
            self._lock.close()
            self._lock = None

    def _check_room(self) -> None:
        free = shutil.disk_usage(self.data_dir).free
        if free < ROOM_BYTES_MIN:
            raise CannotStart(
                f"磁盘空间不足 / disk full: {free // 1_000_000} MB free, "
                f"{ROOM_BYTES_MIN // 1_000_000} MB needed. Type: df -h {self.data_dir}"
            )

    def _addresses(self) -> dict[str, Service]:
        ports = iter(_free_ports(self._asked_port, len(PACKAGES)))
        return {
            name: Service(name, package, title, *next(ports))
            for name, (package, title) in PACKAGES.items()
        }

    def _begin_anew(self) -> None:
        self._say("清除原有数据 …")
        self.postgres.end_orphan()
        for entry in self.data_dir.iterdir():
            if entry.name != "lock":
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()

    def _start_postgres(self) -> None:
        began_s = time.monotonic()
        self.postgres.start()
        roles = resources.files("marketkit").joinpath("roles.sql").read_text("utf-8")
        databases = [service.database for service in self.services.values()]
        self.postgres.prepare(databases, roles, owner="yaosu_owner")
        self._database_watcher = asyncio.create_task(self._watch_postgres())
        self._done("数据库 PostgreSQL", began_s)

    async def _watch_postgres(self) -> None:
        while True:
            await asyncio.sleep(0.5)
            if not self.postgres.is_running():
                self._say(f"PostgreSQL 已退出，重新启动，日志 {self.postgres.log}")
                try:
                    self.postgres.start()
                except CannotStart as error:
                    self._say(str(error))

    async def _start_broker(self) -> None:
        began_s = time.monotonic()
        program = [sys.executable, "-m", "yaosu.broker", "--port", str(self._broker_port)]
        child = Child("broker", program, _environment({}), self._log("broker"))
        self._children["broker"] = child
        await child.start()
        await self._until("broker", self._broker_answers)
        child.keep_up(self._say)
        self._done("消息总线 Kafka（内嵌）", began_s)

    async def _broker_answers(self) -> bool:
        _, writer = await asyncio.open_connection(HOST, self._broker_port)
        writer.close()
        return True

    async def _migrate(self) -> None:
        began_s = time.monotonic()
        children = [self._child(service, "migrate") for service in self.services.values()]
        self._children |= {f"{child.name}-migrate": child for child in children}
        codes = await asyncio.gather(*(child.run_to_its_end() for child in children))
        for child, code in zip(children, codes, strict=True):
            del self._children[f"{child.name}-migrate"]
            if code:
                raise CannotStart(_did_not(f"{child.name} 数据库迁移失败 / migration", child))
        self._done("数据库迁移", began_s)

    async def _start_services(self) -> None:
        began_s = time.monotonic()
        for service in self.services.values():
            self._children[service.name] = child = self._child(service, "all")
            await child.start()
        for service in self.services.values():
            await self.wait_ready(service.name)
            self._children[service.name].keep_up(self._say)
            self._done(f"{service.title} {service.name}", began_s)

    def _child(self, service: Service, role: str) -> Child:
        program = self._programs.get(service.name, [sys.executable, "-m", service.package])
        return Child(
            service.name,
            [*program, "--role", role],
            _environment(self._settings(service, role)),
            self._log(service.name if role == "all" else f"{service.name}-{role}"),
        )

    def _settings(self, service: Service, role: str) -> dict[str, str]:
        settings = {
            "ENV": "embedded",
            "DATABASE_URL": self.postgres.url(service.database, "yaosu_app"),
            "KAFKA_SERVERS": self._given_servers or f"{HOST}:{self._broker_port}",
            "HOST": HOST,
            "API_PORT": str(service.api_port),
            "INNER_PORT": str(service.inner_port),
            "KEYS_DIR": str(self.keys.of(service.name)),
        }
        if service.name == GATEWAY:
            settings["UPSTREAMS"] = json.dumps(self._upstreams())
        if role == "migrate":
            settings["MIGRATE_URL"] = self.postgres.url(service.database, "yaosu_owner")
        return settings

    def _upstreams(self) -> dict[str, Any]:
        return {
            name: {"api": service.api_url, "inner": service.inner_url, "source": service.source}
            for name, service in self.services.items()
            if name != GATEWAY
        }

    async def _until(self, name: str, answers: Callable[[], Any]) -> None:
        deadline = time.monotonic() + READY_S_MAX
        child = self._children[name]
        while time.monotonic() < deadline:
            if not child.is_running() and not child.is_kept_up:
                break
            try:
                if await answers():
                    return
            except (OSError, httpx.HTTPError):
                pass
            await asyncio.sleep(0.1)
        raise CannotStart(_did_not(f"{name} 未就绪 / not ready", child))

    def _done(self, what: str, began_s: float) -> None:
        self._say(f"✓ {what} 就绪（{time.monotonic() - began_s:.1f} 秒）")


async def _both(*parts: Coroutine[Any, Any, None]) -> None:
    # When one fails the other is cancelled, so that nothing starts behind a stop.
    try:
        async with asyncio.TaskGroup() as together:
            for part in parts:
                together.create_task(part)
    except* CannotStart as several:
        raise several.exceptions[0] from None


def _did_not(what: str, child: Child) -> str:
    return f"{what}. Type: tail {child.log}\n{tail(child.log)}"


def _environment(settings: Mapping[str, str]) -> dict[str, str]:
    # What an operator exported for another deployment must not leak into this one.
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("YAOSU_")}
    return inherited | {f"YAOSU_{name}": value for name, value in settings.items()}


def _free_ports(gateway_port: int, services: int) -> list[tuple[int, int]]:
    """A pair of ports each, the last service's first one being the gateway's if that is given."""
    with contextlib.ExitStack() as held:
        wanted = [*[0] * (2 * services - 1), gateway_port]
        ports = [held.enter_context(_bind(port)).getsockname()[1] for port in wanted]
    return list(zip(ports[1::2], ports[0::2], strict=True))


def _free_port() -> int:
    with _bind(0) as found:
        port: int = found.getsockname()[1]
        return port


def _bind(port: int) -> socket.socket:
    if not port:
        # Below those the kernel lends to outgoing connections: one of them would have it first.
        for _ in range(50):
            with contextlib.suppress(OSError):
                return socket.create_server((HOST, 12_000 + secrets.randbelow(20_000)))
    try:
        return socket.create_server((HOST, port))
    except OSError as error:
        if error.errno not in (errno.EADDRINUSE, errno.EACCES):
            raise
        raise CannotStart(
            f"端口 {port} 已被占用 / port {port} is taken. Type: ./run --port {port + 1}"
        ) from error
