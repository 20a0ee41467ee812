"""Each thing that can be wrong with an installation is found, and its remedy named."""

from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from yaosu.addresses import write_addresses
from yaosu.doctor import Finding, examine
from yaosu.keys import GATEWAY, make_keys
from yaosu.stack import PACKAGES

Answers = Callable[[httpx.Request], httpx.Response]
METRICS = 'yaosu_ledger_imbalance{asset="ENERGY"} 0.0\nyaosu_inbox_parked{source="/x"} 0.0\n'


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    make_keys(tmp_path / "keys", {name: f"/370500/{name}" for name in PACKAGES})
    urls = {name: f"http://{name}" for name in PACKAGES}
    write_addresses(tmp_path, "http://portal", urls)
    return tmp_path


def house(
    *, sick: str = "", ready: int = 200, metrics: str = METRICS, is_moved: bool = False
) -> httpx.MockTransport:
    """Services that are well, but for one."""

    def answer(request: httpx.Request) -> httpx.Response:
        is_sick = request.url.host == sick
        match request.url.path:
            case "/readyz" if is_sick and ready == 0:
                raise httpx.ConnectError("refused")
            case "/readyz":
                return httpx.Response(ready if is_sick else 200, json={"detail": "正在停止"})
            case "/metrics":
                return httpx.Response(200, text=metrics if is_sick else METRICS)
            case _:
                return httpx.Response(200, json={"is_moved": is_sick and is_moved})

    return httpx.MockTransport(answer)


async def found(data_dir: Path, transport: httpx.MockTransport | None = None) -> list[Finding]:
    return await examine(data_dir, transport or house())


async def test_nothing_is_found_where_nothing_is_wrong(installed: Path) -> None:
    assert await found(installed) == []


async def test_nothing_installed(tmp_path: Path) -> None:
    (finding,) = await found(tmp_path)
    assert "./run" in finding.mend


@pytest.mark.parametrize("name", ["signing.key", "mac.key", "trust.json"])
async def test_a_missing_key(installed: Path, name: str) -> None:
    missing = installed / "keys" / "energy" / name
    missing.unlink()
    assert [finding.place for finding in await found(installed)] == [str(missing)]


async def test_a_key_that_others_can_read(installed: Path) -> None:
    bare = installed / "keys" / GATEWAY / "mac.key"
    bare.chmod(0o644)
    (finding,) = await found(installed)
    assert finding.mend == f"chmod 600 {bare}"


async def test_a_service_that_does_not_answer(installed: Path) -> None:
    (finding,) = await found(installed, house(sick="land", ready=0))
    assert (finding.place, finding.what) == ("land", "无响应")


async def test_a_service_that_is_not_ready_says_why(installed: Path) -> None:
    (finding,) = await found(installed, house(sick="energy", ready=503))
    assert finding.what == "未就绪：正在停止"


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ('yaosu_ledger_imbalance{asset="COAL"} 3.0', "台账不平衡（COAL）"),
        ('yaosu_inbox_forked{source="/a"} 1.0', "来源与已读取的内容矛盾，已停止读取（/a）"),
        ('yaosu_inbox_parked{source="/a"} 2.0', "有事件被搁置（/a）"),
        ("yaosu_outbox_unsent 300.0", "事件未送达消息总线"),
    ],
)
async def test_a_metric_that_says_so(installed: Path, line: str, what: str) -> None:
    (finding,) = await found(installed, house(sick="energy", metrics=line + "\n"))
    assert finding.what == what


async def test_a_clock_left_in_the_past(installed: Path) -> None:
    (finding,) = await found(installed, house(sick="energy", is_moved=True))
    assert finding.what == "时钟处于演示时间"


async def test_a_full_disk(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("yaosu.doctor.ROOM_BYTES_MIN", 1 << 62)
    (finding,) = await found(installed)
    assert finding.what.startswith("磁盘剩余")
