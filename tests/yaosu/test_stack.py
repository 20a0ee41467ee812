import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import psutil
import psycopg
import pytest

from yaosu.processes import CannotStart
from yaosu.stack import PACKAGES, Stack

pytestmark = pytest.mark.slow
FAKE = Path(__file__).with_name("fake_service.py")
PROGRAMS = {name: [sys.executable, str(FAKE), "good"] for name in PACKAGES}


def a_stack(data_dir: Path, fresh: bool = False) -> Stack:
    return Stack(data_dir, programs=PROGRAMS, fresh=fresh)


@pytest.fixture(scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    async with a_stack(tmp_path_factory.mktemp("house") / "data") as stack:
        yield stack


def descendants() -> set[psutil.Process]:
    return set(psutil.Process().children(recursive=True))


async def settings_of(stack: Stack, name: str) -> dict[str, str]:
    async with httpx.AsyncClient() as client:
        answer = await client.get(stack.services[name].inner_url + "/settings")
    found: dict[str, str] = answer.json()["settings"]
    return found


def began_count(stack: Stack, name: str) -> int:
    url = stack.postgres.url(f"yaosu_{name}").replace("+psycopg", "")
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT count(*) FROM mark").fetchone()
    assert row is not None
    return int(row[0])


async def test_every_service_is_told_its_own_settings(house: Stack) -> None:
    seen = [await settings_of(house, name) for name in house.services]
    for own in ("DATABASE_URL", "API_PORT", "INNER_PORT", "KEYS_DIR"):
        assert len({settings[f"YAOSU_{own}"] for settings in seen}) == len(seen)
    for settings in seen:
        assert settings["YAOSU_ENV"] == "embedded"
        assert settings["YAOSU_DATABASE_URL"].startswith("postgresql+psycopg://yaosu_app@/yaosu_")
        assert "YAOSU_MIGRATE_URL" not in settings
        assert (Path(settings["YAOSU_KEYS_DIR"]) / "trust.json").exists()


async def test_the_gateway_alone_knows_the_others(house: Stack) -> None:
    assert "YAOSU_UPSTREAMS" not in await settings_of(house, "land")
    upstreams = (await settings_of(house, "gateway"))["YAOSU_UPSTREAMS"]
    assert house.services["energy"].inner_url in upstreams
    assert "/370500/energy-trade" in upstreams
    assert "gateway" not in upstreams


async def test_a_killed_service_comes_back_at_its_address(house: Stack) -> None:
    before, url = house.pid("energy"), house.services["energy"].inner_url
    house.kill("energy", signal.SIGKILL)
    await house.wait_ready("energy")
    assert house.services["energy"].inner_url == url
    assert house.pid("energy") not in {None, before}


async def test_an_erased_broker_comes_back_at_its_address(house: Stack) -> None:
    before = house.pid("broker")
    await house.erase_broker()
    assert house.pid("broker") not in {None, before}


async def test_a_killed_postgres_comes_back_with_its_data(house: Stack) -> None:
    count, before = began_count(house, "land"), house.pid("postgres")
    house.kill("postgres")
    for _ in range(100):
        await asyncio.sleep(0.1)
        if house.pid("postgres") != before and house.postgres.is_running():
            break
    assert began_count(house, "land") == count


async def test_two_cannot_use_one_directory(house: Stack) -> None:
    with pytest.raises(CannotStart, match=f"kill -INT {os.getpid()}"):
        await a_stack(house.data_dir).__aenter__()
    assert (house.data_dir / "lock").exists()


async def test_a_taken_port_is_said_with_another_to_try(house: Stack, tmp_path: Path) -> None:
    port = house.services["energy"].inner_port
    with pytest.raises(CannotStart, match=f"--port {port + 1}"):
        await Stack(tmp_path / "data", port=port, programs=PROGRAMS).__aenter__()
    assert not (tmp_path / "data" / "lock").exists()


async def test_it_leaves_nothing_behind_and_keeps_its_data(tmp_path: Path) -> None:
    data_dir, others = tmp_path / "data", descendants()
    async with a_stack(data_dir) as stack:
        assert len(descendants() - others) > len(PACKAGES)
        keys = (data_dir / "keys" / "gateway" / "issuer.key").read_text()
    assert {p for p in descendants() - others if p.status() != psutil.STATUS_ZOMBIE} == set()
    assert [path for path in data_dir.rglob("*") if path.is_socket()] == []
    assert not (data_dir / "lock").exists()
    assert not (data_dir / "postgres" / "postmaster.pid").exists()

    async with a_stack(data_dir) as stack:
        assert began_count(stack, "energy") == 2
        assert (data_dir / "keys" / "gateway" / "issuer.key").read_text() == keys

    async with a_stack(data_dir, fresh=True) as stack:
        assert began_count(stack, "energy") == 1
        assert (data_dir / "keys" / "gateway" / "issuer.key").read_text() != keys


async def test_a_service_that_cannot_start_is_named_with_what_it_said(tmp_path: Path) -> None:
    broken = PROGRAMS | {"land": [sys.executable, str(FAKE), "broken"]}
    others = descendants()
    with pytest.raises(CannotStart, match="a broken service says why"):
        await Stack(tmp_path / "data", programs=broken).__aenter__()
    assert {p for p in descendants() - others if p.status() != psutil.STATUS_ZOMBIE} == set()


async def test_a_service_that_will_not_end_is_ended_in_time(tmp_path: Path) -> None:
    stubborn = PROGRAMS | {"energy": [sys.executable, str(FAKE), "stubborn"]}
    others = descendants()
    async with Stack(tmp_path / "data", programs=stubborn):
        asked_s = time.monotonic()
    assert 5 < time.monotonic() - asked_s < 10
    assert {p for p in descendants() - others if p.status() != psutil.STATUS_ZOMBIE} == set()


UP = f"""
import asyncio, sys
from pathlib import Path
from yaosu.stack import PACKAGES
from yaosu.up import live
from yaosu.processes import CannotStart
async def play(gateway_url, inner_urls, data_dir, keys):
    print("played", sorted(inner_urls), keys.issuer.kid, flush=True)
try:
    asyncio.run(live(Path(sys.argv[1]), port=int(sys.argv[2]), once="--once" in sys.argv,
        fresh=False, play=play,
        programs={{name: [sys.executable, {str(FAKE)!r}, "good"] for name in PACKAGES}}))
except CannotStart as reason:
    sys.exit(str(reason))
"""


def up(data_dir: Path, *options: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", UP, str(data_dir), "0", *options]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )


def living(process: "subprocess.Popen[str]") -> list[psutil.Process]:
    found: list[psutil.Process] = psutil.Process(process.pid).children(recursive=True)
    return found


def still_there(processes: list[psutil.Process]) -> list[psutil.Process]:
    return [p for p in processes if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


def test_once_plays_and_ends_well(tmp_path: Path) -> None:
    with up(tmp_path / "data", "--once") as process:
        said, _ = process.communicate(timeout=90)
    assert process.returncode == 0, said
    assert "played ['emission', 'energy', 'gateway', 'land']" in said
    assert "接口文档" in said
    assert not (tmp_path / "data" / "lock").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_ctrl_c_leaves_nothing_behind(tmp_path: Path, number: signal.Signals) -> None:
    with up(tmp_path / "data") as process:
        wait_for(process, "Ctrl-C")
        children = living(process)
        assert len(children) > len(PACKAGES)
        began = time.monotonic()
        os.killpg(process.pid, number)
        said, _ = process.communicate(timeout=20)
        assert time.monotonic() - began < 10
    assert process.returncode == 0, said
    assert "已停止" in said
    assert still_there(children) == []
    assert [path for path in (tmp_path / "data").rglob("*") if path.is_socket()] == []
    assert not (tmp_path / "data" / "lock").exists()


def test_ctrl_c_before_it_is_up_leaves_nothing_behind(tmp_path: Path) -> None:
    with up(tmp_path / "data") as process:
        wait_for(process, "PostgreSQL")
        children = living(process)
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=20)
    assert process.returncode == 0, said
    assert still_there(children) == []
    assert not (tmp_path / "data" / "lock").exists()


def test_a_killed_supervisor_takes_its_children_along(tmp_path: Path) -> None:
    with up(tmp_path / "data") as process:
        wait_for(process, "Ctrl-C")
        children = living(process)
        process.kill()
        process.communicate(timeout=20)
    psutil.wait_procs(still_there(children), timeout=10)
    assert still_there(children) == []
    with up(tmp_path / "data", "--once") as process:
        said, _ = process.communicate(timeout=90)
    assert process.returncode == 0, said


def wait_for(process: "subprocess.Popen[str]", text: str) -> None:
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if text in line:
            return
    raise AssertionError(said)
