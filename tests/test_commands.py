"""The two commands on a bare machine: what they say when they cannot go on, and that they go on."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

ROOT = Path(__file__).parents[1]
COREUTILS = (
    "cat", "cksum", "df", "dirname", "id", "ln", "mkdir", "readlink", "rm", "sleep", "tail", "tr",
)  # fmt: skip
NOBODY = 65534
AS_NOBODY: dict[str, Any] = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
MIRROR = ("PIP_CERT", "PIP_CONFIG_FILE", "PIP_DEFAULT_TIMEOUT", "PIP_FIND_LINKS", "PIP_INDEX_URL")


def copy_tree(target: Path) -> Path:
    """What a clone holds, in a folder of its own."""
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listing, cwd=ROOT, capture_output=True, check=True).stdout
    for name in filter(None, names.decode().split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, target / name)
    return target


def python() -> Path:
    """A Python for the bare machine: the system's if it will do, else the one we run on."""
    system = Path("/usr/bin/python3")
    will_do = "import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))"
    if system.exists() and not subprocess.run([system, "-c", will_do], check=False).returncode:
        return system
    return Path(sys.executable).resolve()


def shim(path: Path, script: str) -> None:
    path.unlink(missing_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


@pytest.fixture
def bare() -> Iterator[Path]:
    """A machine with sh, coreutils, python3 and a clone: `bin`, `home`, `clone` in one folder."""
    folder = Path(tempfile.mkdtemp(prefix="yaosu-bare-"))
    folder.chmod(0o755)
    (folder / "bin").mkdir()
    (folder / "home").mkdir()
    for name in ("sh", *COREUTILS):
        found = shutil.which(name)
        assert found is not None
        (folder / "bin" / name).symlink_to(found)
    (folder / "bin" / "python3").symlink_to(python())
    copy_tree(folder / "clone")
    yield folder
    shutil.rmtree(folder)


def environment(bare: Path, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name in MIRROR}
    return {"PATH": str(bare / "bin"), "HOME": str(bare / "home"), "LANG": "C.UTF-8"} | kept | more


def run(
    bare: Path, command: str, env: Mapping[str, str] | None = None, *, as_nobody: bool = False
) -> "subprocess.CompletedProcess[str]":
    account = AS_NOBODY if as_nobody else {}
    return subprocess.run(
        [bare / "clone" / command],
        env=env or environment(bare),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        **account,
    )


def says(done: "subprocess.CompletedProcess[str]", chinese: str, english: str, typed: str) -> None:
    """The last line says it all: in both languages, and what to type."""
    assert done.returncode not in {0, 2}, done.stdout
    line = done.stderr.strip().splitlines()[-1]
    assert chinese in line
    assert english in line
    assert re.search(rf"Type: .*{typed}", line), line


@pytest.fixture(params=["run", "test"])
def command(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def test_no_python(bare: Path, command: str) -> None:
    (bare / "bin" / "python3").unlink()
    says(run(bare, command), "缺少 Python", "3.11 or newer is missing", "apt install python3")


def test_an_old_python(bare: Path, command: str) -> None:
    old = f'exec {python()} -c "import sys; sys.version_info = (3, 9); exec(sys.argv[1])" "$2"'
    shim(bare / "bin" / "python3", old)
    says(run(bare, command), "缺少 Python", "3.11 or newer is missing", "apt install python3")


def test_no_venv_module(bare: Path, command: str) -> None:
    (bare / "without").mkdir()
    (bare / "without" / "ensurepip.py").write_text("raise ImportError('as Debian has it')")
    env = environment(bare, PYTHONPATH=str(bare / "without"))
    says(run(bare, command, env), "缺少 venv", "venv module is missing", "python3-venv")


def test_a_full_disk(bare: Path, command: str) -> None:
    full = "echo Filesystem 1024-blocks Used Available Capacity Mounted\n"
    shim(bare / "bin" / "df", full + "echo /dev/sda1 9999999 9999000 999 100% /")
    says(run(bare, command), "磁盘空间不足", "0 MB free, 976 MB needed", "df -h")


def test_a_disk_that_fills_while_installing(bare: Path, command: str) -> None:
    broken = 'case "$*" in *pip*install*) echo "No space left on device" >&2; exit 1;; esac'
    shim(bare / "bin" / "python3", f'exec {python()} "$@"')
    (bare / "clone" / ".venv" / "bin").mkdir(parents=True)
    shim(bare / "clone" / ".venv" / "bin" / "python", broken)
    says(run(bare, command), "磁盘空间不足", "disk full", "df -h")


def test_no_registry(bare: Path, command: str) -> None:
    env = without_registry(bare)
    says(run(bare, command, env), "连不上软件包仓库", "no package registry", "PIP_INDEX_URL=")
    assert not (bare / "clone" / ".venv.lock").is_symlink()


def without_registry(bare: Path) -> dict[str, str]:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    env = environment(bare, PIP_INDEX_URL=f"http://127.0.0.1:{port}/simple", PIP_RETRIES="0")
    env.pop("PIP_FIND_LINKS", None)
    return env


def test_what_was_killed_while_it_installed_keeps_nobody_waiting(bare: Path) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    (bare / "clone" / ".venv.lock").symlink_to(str(ended.pid))
    says(run(bare, "run", without_registry(bare)), "连不上", "no package registry", "export")
    assert not (bare / "clone" / ".venv.lock").is_symlink()


def test_who_waits_for_another_install_is_told_so(bare: Path) -> None:
    lock = bare / "clone" / ".venv.lock"
    lock.symlink_to(str(os.getpid()))
    waiting = subprocess.Popen(
        [bare / "clone" / "run"],
        env=without_registry(bare),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert waiting.stdout is not None
    assert "another command installs" in waiting.stdout.readline()
    assert waiting.poll() is None
    lock.unlink()
    _, complaint = waiting.communicate(timeout=100)
    assert "no package registry" in complaint.strip().splitlines()[-1]


def test_a_virtual_environment_that_cannot_be_made(bare: Path, command: str) -> None:
    shim(bare / "bin" / "python3", f'case "$*" in *--clear*) exit 1;; esac; exec {python()} "$@"')
    says(run(bare, command), "无法建立虚拟环境", "cannot make .venv", "rm -rf")


def test_a_folder_that_cannot_be_written(bare: Path, command: str) -> None:
    as_nobody = os.geteuid() == 0
    (bare / "clone").chmod(0o555)
    done = run(bare, command, as_nobody=as_nobody)
    (bare / "clone").chmod(0o755)
    says(done, "无法写入", "cannot write", "chown")


def test_a_taken_port(bare: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = up(bare / "data", "--port", str(port))
    says(done, f"端口 {port} 已被占用", f"port {port} is taken", rf"./run --port {port + 1}")
    assert not (bare / "data" / "lock").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
def test_a_data_folder_on_a_full_disk(bare: Path) -> None:
    small = bare / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", small], check=True)
    try:
        says(up(small / "data"), "磁盘空间不足", "disk full", "df -h")
    finally:
        subprocess.run(["umount", small], check=True)


def test_a_data_folder_that_cannot_be_written(bare: Path) -> None:
    (bare / "data").write_text("a file, where a folder should be")
    says(up(bare / "data"), "无法写入", "cannot write", "chown")


def up(data_dir: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    yaosu = str(Path(sys.executable).with_name("yaosu"))
    return subprocess.run(
        [yaosu, "up", "--once", "--data-dir", str(data_dir), *options],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_an_unknown_lane_is_named(bare: Path) -> None:
    lanes = [sys.executable, str(ROOT / "tests" / "lanes.py"), "everything"]
    done = subprocess.run(lanes, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "no such lane: everything. Type: ./test check | unit | kafka | slow" in done.stdout


def can_be_run_by_nobody(program: Path) -> bool:
    try:
        subprocess.run([program, "--version"], check=True, capture_output=True, **AS_NOBODY)
    except (OSError, subprocess.CalledProcessError):
        return False
    return True


# What the demonstration must show: who offered what and got what, who holds how much before and
# after, that the evidence is sound, and the board at its end.
STORY = (
    r"开标结果：成交价 226\.50 元/吨标准煤",
    r"240\.00 .* 3000\.000 .* — .* — .* 无效：未缴保证金",
    r"190\.00 .* 2000\.000 .* — .* — .* 无效：低于底价",
    r"236\.00 .* 4500\.000 .* 4500\.000 .* 1019250\.00 .* 足额成交",
    r"230\.00 .* 3500\.000 .* 3500\.000 .* 792750\.00 .* 足额成交",
    r"226\.50 .* 4000\.000 .* 2000\.000 .* 453000\.00 .* 边际截断，部分成交",
    r"合计 .* 10000\.000 .* 2265000\.00 ",
    r"台账：竞购前后（由全部变动累计得出）",
    r"指标 .* 持有人 .* 竞购前 .* 竞购后 .* 变动 ",
    r"山东省 收储 .* 30000\.000 .* 20000\.000 .* -10000\.000 ",
    r"示例精细化工有限公司（示例） .* 0\.000 .* 4500\.000 .* \+4500\.000 ",
    r"示例绿色制造有限公司（示例） .* 0\.000 .* 3500\.000 .* \+3500\.000 ",
    r"示例装备科技有限公司（示例） .* 0\.000 .* 2000\.000 .* \+2000\.000 ",
    r"合计 .* (\d+\.\d+) .* \1 .* — ",
    r"核验 evidence\.zip：一致",
    r"门户公示：已归档（ARCHIVED），数据截至 2022-07-11 ",
)


def shows_the_story(said: str) -> list[str]:
    """The lines of its result and its ledger, once every part is found where it must come."""
    lines = said.splitlines()
    at = 0
    for part in STORY:
        found = (n for n, line in enumerate(lines[at:], at + 1) if re.search(part, line))
        at = next(found, 0)
        assert at, f"{part}\n{said}"
    first, behind = (
        next(n for n, line in enumerate(lines) if text in line) for text in ("开标结果", "核验 ")
    )
    return lines[first:behind]


def told_events(data_dir: Path) -> list[bytes]:
    """Every event in the evidence that the demonstration exported last."""
    with zipfile.ZipFile(data_dir / "demo" / "evidence.zip") as archive:
        names = sorted(name for name in archive.namelist() if name.startswith("events/"))
        return [line for name in names for line in archive.read(name).splitlines()]


def nothing_is_left(bare: Path) -> None:
    """No process of the clone, no socket, no lock."""
    running = psutil.process_iter(["cmdline"])
    assert [p for p in running if any(str(bare) in part for part in p.info["cmdline"] or ())] == []
    data = list((bare / "clone" / ".yaosu").rglob("*"))
    assert [path for path in data if path.is_socket()] == []
    assert [path for path in data if path.name in {"lock", "postmaster.pid"}] == []
    assert not (bare / "clone" / ".venv.lock").is_symlink()


@pytest.fixture
def account(bare: Path) -> dict[str, Any]:
    """Who types: an unprivileged user where there can be one, and the folder is theirs."""
    if os.geteuid() != 0 or not can_be_run_by_nobody(python()):
        return {}
    for path in (bare, *bare.rglob("*")):
        os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
    return AS_NOBODY


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_run_from_a_clone_and_again(bare: Path, account: dict[str, Any]) -> None:
    """With an empty home and nothing on PATH but sh, coreutils, python3."""
    command = [str(bare / "clone" / "run"), "--port", "0"]
    piped: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    first = subprocess.run(
        [*command, "--once"], env=environment(bare), timeout=800, check=False, **piped, **account
    )
    assert first.returncode == 0, first.stdout
    assert "接口文档" in first.stdout
    story = shows_the_story(first.stdout)
    nothing_is_left(bare)
    evidence = bare / "clone" / ".yaosu" / "demo" / "evidence.zip"
    told, exported_at = told_events(bare / "clone" / ".yaosu"), evidence.stat().st_mtime_ns
    assert len(told) > 50

    began = time.monotonic()
    with subprocess.Popen(
        command, env=environment(bare), start_new_session=True, **piped, **account
    ) as again:
        ready = said_until(again, "全部就绪")
        ready_s = time.monotonic() - began
        played = said_until(again, "按 Ctrl-C 停止；数据保留，下次 ./run 继续")
        sales = board_sales(ready)
        children = psutil.Process(again.pid).children(recursive=True)
        # As a terminal does: to all of the foreground's process group.
        os.killpg(again.pid, signal.SIGINT)
        rest, _ = again.communicate(timeout=20)
    # On a quiet machine it is 20 at most: `bench memory` tells it.
    assert ready_s <= 60
    assert shows_the_story(played) == story
    assert evidence.stat().st_mtime_ns > exported_at
    assert told_events(bare / "clone" / ".yaosu") == told
    assert [sale["state"] for sale in sales] == ["ARCHIVED"]
    assert again.returncode == 0, rest
    assert "已停止。" in rest
    assert len(children) >= 6
    assert [p for p in children if p.is_running() and p.status() != psutil.STATUS_ZOMBIE] == []
    nothing_is_left(bare)


def said_until(process: "subprocess.Popen[str]", text: str) -> str:
    """What it says up to the line with this text; fails if it ends without."""
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if text in line:
            return said
    raise AssertionError(said)


def board_sales(ready: str) -> list[dict[str, Any]]:
    """The sales on the public board of a house that has said its address."""
    found = re.search(r"http://\S+/", ready)
    assert found is not None, ready
    answer = httpx.get(f"{found[0]}v1/board/sales", trust_env=False, timeout=10)
    sales: list[dict[str, Any]] = answer.json()["sales"]
    return sales
