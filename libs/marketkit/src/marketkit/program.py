"""One program per service: it reads its settings, serves, works or both, and stops in time."""

import argparse
import asyncio
import contextlib
import gc
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from importlib.metadata import version

import uvicorn
import uvloop
from fastapi import FastAPI
from prometheus_client import Gauge
from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError

from marketkit import inner, migrations, worker
from marketkit.checkpoint import KeyRetired, note_key
from marketkit.codes import CITY
from marketkit.db import Database, House, undurable
from marketkit.identity import Verifier
from marketkit.logs import configure, log
from marketkit.rates import Rates
from marketkit.settings import Settings
from marketkit.signing import Signer, unb64
from marketkit.strict_http import StrictHttp
from marketkit.web import create_app
from marketkit.worker import Loop

BUILD = Gauge("yaosu_build_info", "Always 1; which release this process is of", ["version"])

ROLES = ("all", "api", "worker", "opener", "migrate")
DRAIN_S = 5
WATCHDOG_S = 12.0


class ClockMovedInProduction(SystemExit):
    """Production refuses to start with a clock that was moved."""


class DatabaseNotDurable(SystemExit):
    """PostgreSQL says committed what a power cut takes back; nobody may be promised anything."""


class SigningKeyRetired(SystemExit):
    """Another key has signed for this service since; the old one must not sign again."""


class SettingsWrong(SystemExit):
    """What the environment says does not hold; its values, passwords among them, are not shown."""


@dataclass
class Parts:
    """What a running service is made of; made once, passed down."""

    settings: Settings
    house: Database
    verifier: Verifier
    mac_key: bytes
    stopping: threading.Event = field(default_factory=threading.Event)

    @classmethod
    def of(cls, settings: Settings) -> "Parts":
        signer = Signer.read(settings.keys_dir / "signing.key")
        house = Database(
            settings.database_url, settings.source, settings.market, signer, settings.pool_size
        )
        verifier = Verifier.read(settings.keys_dir / "trust.json")
        mac_key = unb64((settings.keys_dir / "mac.key").read_text("ascii").strip())
        return cls(settings, house, verifier, mac_key)

    def standard_loops(self, ticks: Sequence[worker.Tick] = ()) -> list[Loop]:
        settings = self.settings
        return worker.standard_loops(
            self.house, settings.kafka_servers, settings.topic, self.mac_key, ticks
        )


@dataclass(frozen=True)
class Program:
    """A service: its package, the libraries whose tables it holds, and how its parts are made."""

    package: str
    libraries: Sequence[str]
    settings: Callable[[], Settings]
    app: Callable[[Parts], FastAPI]
    loops: Callable[[Parts], list[Loop]]
    opener_loops: Callable[[Parts], list[Loop]] = lambda parts: []


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        # Two servers and the loops share one handler, set in `_serve`.
        yield


def main(program: Program, arguments: Sequence[str] | None = None) -> None:
    """Run the program in the role its command line names."""
    parser = argparse.ArgumentParser(prog=program.package)
    parser.add_argument("--role", choices=ROLES, default="all")
    role: str = parser.parse_args(arguments).role
    settings = _settings(program)
    configure(settings.service, settings.env)
    if role == "migrate":
        migrations.upgrade(program.package, settings.migrate_url, program.libraries)
        return
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(program, Parts.of(settings), role))


def _settings(program: Program) -> Settings:
    try:
        settings = program.settings()
    except ValidationError as error:
        said = (
            f"{'YAOSU_' + '_'.join(map(str, fault['loc'])).upper() if fault['loc'] else 'settings'}"
            f": {fault['msg']}"
            for fault in error.errors(include_input=False)
        )
        raise SettingsWrong("\n".join(said)) from None
    if settings.city != CITY:
        raise SettingsWrong(f"YAOSU_CITY: the regions of this release are those of {CITY}")
    return settings


async def _serve(program: Program, parts: Parts, role: str) -> None:
    await _check_durability(parts)
    await _check_clock(parts)
    await _note_key(parts)
    BUILD.labels(version("yaosu-marketkit")).set(1)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, _stop, parts, stop)
    servers = _servers(program, parts, role)
    loops = program.loops(parts) if role in {"all", "worker"} else []
    loops += program.opener_loops(parts) if role in {"all", "opener"} else []
    # What was imported stays, and a busy turn makes thousands of objects: neither is garbage.
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    log.info("started", role=role)
    serving = [asyncio.create_task(server.serve()) for server in servers]
    working = asyncio.create_task(worker.run(loops, stop))
    await asyncio.wait([*serving, working], return_when=asyncio.FIRST_COMPLETED)
    _stop(parts, stop)
    for server in servers:
        server.should_exit = True
    await asyncio.gather(*serving, working, return_exceptions=True)
    await parts.house.close()
    log.info("stopped", role=role)


def _stop(parts: Parts, stop: asyncio.Event) -> None:
    if not stop.is_set():
        # Whatever hangs, the process is gone after twelve seconds.
        watchdog = threading.Timer(WATCHDOG_S, os._exit, (70,))
        watchdog.daemon = True
        watchdog.start()
    parts.stopping.set()
    stop.set()


def applications(program: Program, parts: Parts) -> tuple[FastAPI, FastAPI]:
    """The public application, and the inner one beside it."""
    public = program.app(parts)
    settings = parts.settings
    public.state.allowed_hosts = frozenset(name.lower() for name in settings.allowed_hosts)
    public.state.rates = Rates(settings.requests_per_s)
    revisions = migrations.heads(program.package, program.libraries)
    routers = [
        inner.health_routes(revisions),
        inner.feed_routes(parts.mac_key),
        inner.clock_routes(settings.env),
    ]
    inside = create_app(parts.house, parts.verifier, public.title, routers)
    inside.state.is_stopping = parts.stopping.is_set
    inner.add_documents(inside, public)
    return public, inside


def _servers(program: Program, parts: Parts, role: str) -> list[_Server]:
    public, inside = applications(program, parts)
    settings = parts.settings
    apps = [(inside, settings.inner_port)]
    if role in {"all", "api"}:
        apps.append((public, settings.api_port))
    return [_Server(listening(app, settings.host, port)) for app, port in apps]


def listening(app: FastAPI, host: str, port: int) -> uvicorn.Config:
    """How every port listens: our own parser, nothing taken on a proxy's word."""
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=DRAIN_S,
        timeout_keep_alive=75,
        http=StrictHttp,
        ws="none",
    )


async def _check_durability(parts: Parts) -> None:
    wrong = []
    # A database out of reach or not migrated yet keeps a process unready, not from starting.
    with contextlib.suppress(SQLAlchemyError, OSError):
        async with parts.house.transaction("worker") as session:
            wrong = await undurable(session)
    if wrong:
        raise DatabaseNotDurable(f"PostgreSQL may lose commits: {', '.join(wrong)}")


async def _note_key(parts: Parts) -> None:
    try:
        with contextlib.suppress(SQLAlchemyError, OSError):
            async with parts.house.transaction("worker") as session:
                await note_key(session)
    except KeyRetired as error:
        raise SigningKeyRetired(f"signing.key {error} was replaced by a later one") from None


async def _check_clock(parts: Parts) -> None:
    if parts.settings.env != "prod":
        return
    async with parts.house.transaction("worker") as session:
        house = await session.get_one(House, 1)
    if house.clock_offset != timedelta(0):
        raise ClockMovedInProduction("the clock of this database was moved: not for production")
