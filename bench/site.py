"""A PostgreSQL of the bench's own and processes on loopback ports, all gone when the block ends."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

import httpx

from marketkit import migrations
from marketkit.codes import CITY
from marketkit.db import Database
from marketkit.identity import Verifier, mint
from marketkit.signing import unb64
from yaosu.keys import PEOPLE_ISSUER, Keys, make_keys
from yaosu.postgres import Postgres
from yaosu.processes import launched

T = TypeVar("T")
PACKAGES = {
    "energy_trade": ("energy", ("marketkit", "saleroom")),
    "gateway": ("gateway", ("marketkit",)),
    "land_index": ("land", ("marketkit",)),
}


def source_of(package: str) -> str:
    return f"/{CITY}/{package.replace('_', '-')}"


@dataclass
class Site:
    """Where a measurement happens: a directory, a server, keys, and what was started."""

    directory: Path
    postgres: Postgres
    keys: Keys
    ending: ExitStack = field(default_factory=ExitStack)
    _databases: int = 0

    def database(self, package: str) -> str:
        """The application's address of a new database, migrated for the package."""
        self._databases += 1
        name = f"bench_{package}_{self._databases}"
        roles = resources.files("marketkit").joinpath("roles.sql").read_text("utf-8")
        self.postgres.prepare([name], roles, owner="yaosu_owner")
        owner = self.postgres.url(name, "yaosu_owner")
        migrations.upgrade(package, owner, PACKAGES[package][1])
        return self.postgres.url(name, "yaosu_app")

    def house(self, package: str, url: str, pool_size: int = 10) -> Database:
        """The database as the package's own process speaks to it."""
        signer = self.keys.signer(package)
        return Database(url, source_of(package), PACKAGES[package][0], signer, pool_size)

    def verifier(self, package: str) -> Verifier:
        return Verifier.read(self.keys.of(package) / "trust.json")

    def mac_key(self) -> bytes:
        """What owner and reader share on the wire."""
        return unb64((self.keys.of("gateway") / "mac.key").read_text("ascii").strip())

    def token(self, role: str, sub: str, **claims: Any) -> str:
        said = {"sub": sub, "roles": [role], "region_code": CITY} | claims
        return mint(self.keys.issuer, PEOPLE_ISSUER, said)

    def service(self, package: str, role: str, url: str, **settings: str) -> "Ports":
        """One process of a service, ready to serve."""
        api, inner = free_ports(2)
        environment = {
            "ENV": "test",
            "DATABASE_URL": url,
            "KAFKA_SERVERS": "127.0.0.1:1",
            "API_PORT": str(api),
            "INNER_PORT": str(inner),
            "KEYS_DIR": str(self.keys.of(package)),
            # It is the hot path that is measured, not what one credential may ask for.
            "REQUESTS_PER_S": "1000000",
        } | settings
        process = self.start(
            f"{package}-{role}",
            [sys.executable, "-m", package, "--role", role],
            {f"YAOSU_{name}": value for name, value in environment.items()},
        )
        until_answers(f"http://127.0.0.1:{inner}/readyz")
        return Ports(api, inner, process.pid)

    def start(
        self, name: str, program: Sequence[str], environment: Mapping[str, str] | None = None
    ) -> "subprocess.Popen[bytes]":
        log = self.ending.enter_context((self.directory / f"{name}.log").open("wb"))
        process = subprocess.Popen(
            launched(program, signal.SIGKILL),
            env=os.environ | dict(environment or {}),
            stdout=log,
            stderr=log,
        )
        self.ending.callback(_stop, process)
        return process


@dataclass(frozen=True)
class Ports:
    """Where a process answers, and which it is."""

    api: int
    inner: int
    pid: int


@contextmanager
def site() -> Iterator[Site]:
    with tempfile.TemporaryDirectory(prefix="yaosu-bench-") as directory:
        root = Path(directory)
        root.chmod(0o755)
        keys = make_keys(root / "keys", {package: source_of(package) for package in PACKAGES})
        with Postgres(root / "postgres") as postgres:
            found = Site(root, postgres, keys)
            with found.ending:
                yield found


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def until_answers(url: str) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        try:
            if httpx.get(url, timeout=2).status_code < 500:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise AssertionError(f"{url} does not answer")


def free_ports(count: int) -> list[int]:
    taken = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in taken]
    for one in taken:
        one.close()
    return ports


def done(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)
