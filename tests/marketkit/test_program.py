"""A real process: it serves, it stops in time whatever is broken, and when it may not start."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

import httpx
import psutil
import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy.engine import URL, make_url

from databases import (
    APP,
    EMISSION,
    GATEWAY,
    LAND,
    OWNER,
    Package,
    address,
    create_database,
    own_name,
    superuser,
)
from marketkit.identity import service_token
from marketkit.outbox import PARTITIONS
from marketkit.signing import ZERO, Signer, b64, verify
from yaosu.keys import make_keys
from yaosu.postgres import Postgres

pytestmark = pytest.mark.slow
STOPS_IN_S = 10


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
    return port


class House:
    """A service with a database and keys of its own, and a broker that is not there."""

    def __init__(self, server: URL, directory: Path, package: Package = LAND) -> None:
        self.server = server
        self.package = package
        self.name = own_name("yaosu_program")
        create_database(server, self.name)
        sources = {package.market: package.source, "gateway": GATEWAY.source}
        keys = make_keys(directory / "keys", sources)
        self.signer = Signer.read(keys.of(package.market) / "signing.key")
        self.api_port, self.inner_port, dead = free_port(), free_port(), free_port()
        self.settings = {
            "YAOSU_ENV": "test",
            "YAOSU_DATABASE_URL": address(server, self.name, APP),
            "YAOSU_MIGRATE_URL": address(server, self.name, OWNER),
            "YAOSU_KAFKA_SERVERS": f"127.0.0.1:{dead}",
            "YAOSU_API_PORT": str(self.api_port),
            "YAOSU_INNER_PORT": str(self.inner_port),
            "YAOSU_KEYS_DIR": str(keys.of(package.market)),
        }

    def start(self, role: str, **settings: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", self.package.name, "--role", role],
            env=os.environ | self.settings | settings,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def migrate(self) -> None:
        with self.start("migrate") as migrating:
            said, _ = migrating.communicate(timeout=60)
        assert migrating.returncode == 0, said

    @contextmanager
    def running(self, role: str = "all", **settings: str) -> Iterator["subprocess.Popen[str]"]:
        process = self.start(role, **settings)
        try:
            self.wait_until(lambda: self.get("/readyz").status_code == 200, process)
            yield process
        finally:
            if process.poll() is None:
                process.kill()
            process.communicate()

    def wait_until(self, holds: Callable[[], bool], process: "subprocess.Popen[str]") -> None:
        deadline = time.monotonic() + 40
        while time.monotonic() < deadline:
            assert process.poll() is None, process.communicate()[0]
            try:
                if holds():
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.05)
        raise AssertionError("it did not come about in time")

    def get(self, path: str, token: str = "") -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.get(f"http://127.0.0.1:{self.inner_port}{path}", headers=headers, timeout=5)


@pytest.fixture
def package(request: pytest.FixtureRequest) -> Package:
    """The service that runs: land-index, unless a test names another."""
    named: Package = getattr(request, "param", LAND)
    return named


@pytest.fixture
def house(pg_server: URL, tmp_path: Path, package: Package) -> House:
    return House(pg_server, tmp_path, package)


@pytest.fixture
def migrated_house(house: House) -> House:
    house.migrate()
    return house


def stop(process: "subprocess.Popen[str]", number: signal.Signals = signal.SIGTERM) -> list[Any]:
    """End it as an operator does; answer what it wrote, having ended well and in time."""
    began = time.monotonic()
    process.send_signal(number)
    said, _ = process.communicate(timeout=20)
    took_s = time.monotonic() - began
    assert took_s < STOPS_IN_S, f"it took {took_s:.1f} s\n{said}"
    assert process.returncode == 0, said
    return [json.loads(line) for line in said.splitlines()]


@pytest.mark.parametrize("package", [LAND, EMISSION], indirect=True, ids=lambda one: one.name)
def test_its_feed_is_empty_and_nothing_can_be_tried_yet(migrated_house: House) -> None:
    with migrated_house.running() as process:
        token = service_token(migrated_house.signer, migrated_house.package.source)
        assert migrated_house.get("/v1/events/heads", token).json() == {
            "source": migrated_house.package.source,
            "epoch": 1,
            "heads": [
                {"partition": number, "sequence": 0, "chain": ZERO.hex()}
                for number in range(PARTITIONS)
            ],
        }
        for number in range(PARTITIONS):
            told = migrated_house.get(f"/v1/events?partition={number}&from=1", token)
            assert (told.status_code, told.content) == (200, b"")
        door = f"http://127.0.0.1:{migrated_house.api_port}/v1/trials/{{}}"
        for name in (f"{migrated_house.package.market}.shutdown_split", "party.uscc"):
            answer = httpx.post(door.format(name), json={}, timeout=5)
            assert (answer.status_code, answer.json()["code"]) == (404, "TRIAL_UNKNOWN")
        stop(process)


@pytest.mark.parametrize("package", [LAND, EMISSION], indirect=True, ids=lambda one: one.name)
def test_it_serves_and_stops_in_time_with_the_broker_down(migrated_house: House) -> None:
    with migrated_house.running() as process:
        source = migrated_house.package.source
        token = service_token(migrated_house.signer, source)
        heads = migrated_house.get("/v1/events/heads", token).json()
        assert (heads["source"], heads["epoch"]) == (source, 1)
        (key,) = migrated_house.get("/v1/keys").json()["keys"]
        assert key["kid"] == migrated_house.signer.kid
        migrated_house.wait_until(
            lambda: bool(migrated_house.get("/v1/checkpoints", token).content), process
        )
        line = migrated_house.get("/v1/checkpoints", token).json()
        signature = bytes.fromhex(line["signature"])
        assert verify(migrated_house.signer.public, line["body"].encode(), signature)
        public = httpx.get(f"http://127.0.0.1:{migrated_house.api_port}/metrics", timeout=5)
        assert public.status_code == 404
        time.sleep(1)  # the relay tries its broker
        lines = stop(process)
    events = [line["event"] for line in lines]
    assert "task_waits" in events
    assert (events[0], events[-1]) == ("started", "stopped")
    assert "task_failed" not in events


@pytest.mark.parametrize("role", ["api", "worker", "opener"])
def test_every_role_stops_in_time(migrated_house: House, role: str) -> None:
    with migrated_house.running(role) as process:
        with socket.socket() as visitor:
            is_open = visitor.connect_ex(("127.0.0.1", migrated_house.api_port)) == 0
        assert is_open == (role == "api")
        stop(process, signal.SIGINT)


def test_a_client_that_says_no_more_does_not_hold_it(migrated_house: House) -> None:
    with migrated_house.running() as process:
        lines = [socket.create_connection(("127.0.0.1", migrated_house.api_port)) for _ in range(9)]
        for number, line in enumerate(lines):
            begun = b"POST /v1/trials/x HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n{"
            line.sendall(begun[: -number * 5 or None])
        stop(process)
        for line in lines:
            line.close()


def test_a_database_that_is_frozen_does_not_hold_it(migrated_house: House) -> None:
    with migrated_house.running() as process:
        with superuser(migrated_house.server, migrated_house.name) as connection:
            mine = "SELECT pid FROM pg_stat_activity WHERE usename = 'yaosu_app' AND datname = %s"
            frozen = [pid for (pid,) in connection.execute(mine.encode(), [migrated_house.name])]
        backends = [psutil.Process(pid) for pid in frozen if psutil.pid_exists(pid)]
        try:
            for backend in backends:
                backend.suspend()
            stop_within(process, 13)
        finally:
            for backend in backends:
                backend.resume()


def stop_within(process: "subprocess.Popen[str]", seconds: int) -> None:
    """It ends, if need be by its watchdog."""
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=seconds)
    assert process.returncode in {0, 70}


def test_it_lives_through_its_database_being_away(migrated_house: House) -> None:
    with migrated_house.running() as process:
        with superuser(migrated_house.server, "postgres") as connection:
            connection.execute(f"ALTER DATABASE {migrated_house.name} ALLOW_CONNECTIONS false")
            end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
            connection.execute(end.encode(), [migrated_house.name])
            migrated_house.wait_until(
                lambda: migrated_house.get("/readyz").status_code == 503, process
            )
            assert migrated_house.get("/healthz").status_code == 200
            connection.execute(f"ALTER DATABASE {migrated_house.name} ALLOW_CONNECTIONS true")
        migrated_house.wait_until(lambda: migrated_house.get("/readyz").status_code == 200, process)
        stop(process)


def test_an_unmigrated_database_is_not_ready(house: House) -> None:
    with house.start("all") as process:
        house.wait_until(lambda: house.get("/healthz").status_code == 200, process)
        assert house.get("/readyz").status_code == 503
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)


def test_migrations_started_at_once_are_done_once(house: House) -> None:
    running = [house.start("migrate") for _ in range(3)]
    for process in running:
        said, _ = process.communicate(timeout=60)
        assert process.returncode == 0, said
    with psycopg.connect(house.settings["YAOSU_MIGRATE_URL"].replace("+psycopg", "")) as owner:
        assert owner.execute("SELECT count(*) FROM alembic_version").fetchall() == [(1,)]


@pytest.mark.parametrize("setting", ["fsync", "full_page_writes"])
def test_it_does_not_start_on_a_server_that_may_lose_commits(tmp_path: Path, setting: str) -> None:
    with Postgres(tmp_path / "postgres") as server:
        roles = files("marketkit").joinpath("roles.sql").read_bytes()
        url = make_url(server.url("postgres"))
        with superuser(url, "postgres") as connection:
            connection.execute(roles)
        house = House(url, tmp_path)
        house.migrate()
        with house.running("api") as process, superuser(url, "postgres") as connection:
            connection.execute(f"ALTER SYSTEM SET {setting} = off".encode())
            connection.execute("SELECT pg_reload_conf()")
            house.wait_until(lambda: house.get("/readyz").status_code == 503, process)
            assert f"{setting}=off" in house.get("/readyz").json()["detail"]
        with house.start("api") as refused:
            said, _ = refused.communicate(timeout=30)
        assert refused.returncode != 0
        assert f"PostgreSQL may lose commits: {setting}=off" in said


def test_a_key_that_was_replaced_does_not_start_again(migrated_house: House) -> None:
    file = Path(migrated_house.settings["YAOSU_KEYS_DIR"]) / "signing.key"
    old = file.read_bytes()
    with migrated_house.running("api") as process:
        stop(process)
    file.write_text(b64(Ed25519PrivateKey.generate().private_bytes_raw()))
    with migrated_house.running("api") as process:
        keys = migrated_house.get("/v1/keys").json()["keys"]
        assert [key["valid_until"] is None for key in keys] == [False, True]
        assert keys[0]["kid"] == migrated_house.signer.kid
        stop(process)
    file.write_bytes(old)
    with migrated_house.start("api") as refused:
        said, _ = refused.communicate(timeout=30)
    assert refused.returncode != 0
    assert "was replaced by a later one" in said


def test_production_refuses_a_clock_that_was_moved(migrated_house: House) -> None:
    with superuser(migrated_house.server, migrated_house.name) as connection:
        connection.execute("UPDATE house SET clock_offset = '-1 second'")
    production = {"YAOSU_ENV": "prod", "YAOSU_ALLOWED_HOSTS": '["portal.example"]'}
    with migrated_house.start("all", **production) as process:
        said, _ = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "clock of this database was moved" in said
    with migrated_house.running(YAOSU_ENV="test") as process:
        stop(process)
    with superuser(migrated_house.server, migrated_house.name) as connection:
        connection.execute("UPDATE house SET clock_offset = '0'")
    with migrated_house.running(**production) as process:
        stop(process)


def test_settings_that_do_not_hold_are_said_without_their_values(house: House) -> None:
    with house.start("all", YAOSU_ENV="prod") as process:
        said, _ = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "YAOSU_ALLOWED_HOSTS" in said
    assert house.settings["YAOSU_DATABASE_URL"] not in said
    assert "Traceback" not in said
    with house.start("all", YAOSU_CITY="370600") as process:
        said, _ = process.communicate(timeout=30)
    assert (process.returncode, "YAOSU_CITY" in said) == (1, True)
