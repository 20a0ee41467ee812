"""`yaosu doctor`: what is wrong with this installation, and what to type to mend it."""

import asyncio
import shutil
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import typer
from prometheus_client.parser import text_string_to_metric_families
from rich.table import Table

from marketkit.codes import CITY
from yaosu import screen
from yaosu.addresses import Addresses, read_addresses
from yaosu.client import Stopped
from yaosu.evidence.collect import Asker
from yaosu.keys import GATEWAY
from yaosu.options import DATA_DIR, DataDir
from yaosu.stack import PACKAGES, ROOM_BYTES_MIN

TIMEOUT_S = 5.0
SECRETS = ("signing.key", "mac.key")


@dataclass(frozen=True)
class Finding:
    """Something that is wrong: where, what, and how to mend it."""

    place: str
    what: str
    mend: str


@dataclass(frozen=True)
class Sign:
    """A metric that says by its figure that something is wrong."""

    metric: str
    is_wrong: Callable[[Any], bool]
    what: str
    mend: str


OPERATIONS = "见 docs/operations.md「{}」"
SIGNS = (
    Sign(
        "yaosu_ledger_imbalance",
        lambda figure: figure != 0,
        "台账不平衡",
        "立即停止办理并核对，" + OPERATIONS.format("Ledger imbalance"),
    ),
    Sign(
        "yaosu_inbox_forked",
        lambda figure: figure == 1,
        "来源与已读取的内容矛盾，已停止读取",
        OPERATIONS.format("A source has forked"),
    ),
    Sign(
        "yaosu_inbox_parked",
        lambda figure: figure > 0,
        "有事件被搁置",
        "修复后执行 yaosu replay，" + OPERATIONS.format("Parked events"),
    ),
    Sign(
        "yaosu_outbox_unsent",
        lambda figure: figure >= 100,
        "事件未送达消息总线",
        OPERATIONS.format("The relay is behind"),
    ),
)


def doctor(data_dir: DataDir = DATA_DIR) -> None:
    """检查本机安装：逐项说明问题与处理办法；没有问题则退出码为 0。"""
    findings = asyncio.run(examine(data_dir))
    if not findings:
        typer.echo("未发现问题。")
        return
    table = Table("位置", "问题", "处理", title="检查结果", title_justify="left")
    for finding in findings:
        table.add_row(finding.place, finding.what, finding.mend)
    screen.console().print(table)
    raise typer.Exit(1)


async def examine(
    data_dir: Path, transport: httpx.AsyncBaseTransport | None = None
) -> list[Finding]:
    """Everything that is wrong, the cause before its consequences."""
    try:
        house = read_addresses(data_dir)
    except Stopped as reason:
        return [Finding(str(data_dir), "没有已启动的系统", str(reason))]
    findings = [*_room(data_dir), *_keys(house)]
    async with httpx.AsyncClient(timeout=TIMEOUT_S, transport=transport, trust_env=False) as client:
        for name in PACKAGES:
            findings += await _service(client, house, name)
    return findings


def _room(data_dir: Path) -> Iterator[Finding]:
    free = shutil.disk_usage(data_dir).free
    if free < ROOM_BYTES_MIN:
        said = f"磁盘剩余 {free // 1_000_000} MB，少于 {ROOM_BYTES_MIN // 1_000_000} MB"
        yield Finding(str(data_dir), said, f"清理磁盘：df -h {data_dir}")


def _keys(house: Addresses) -> Iterator[Finding]:
    for name in PACKAGES:
        folder = house.keys.of(name)
        for secret in SECRETS:
            file = folder / secret
            if not file.exists():
                yield Finding(str(file), "密钥文件缺失", "从备份恢复；或全新开始：./run --fresh")
            elif stat.S_IMODE(file.stat().st_mode) & 0o077:
                yield Finding(str(file), "密钥可被他人读取", f"chmod 600 {file}")
        if not (folder / "trust.json").exists():
            yield Finding(str(folder / "trust.json"), "信任名单缺失", "重新启动：./run")


async def _service(client: httpx.AsyncClient, house: Addresses, name: str) -> list[Finding]:
    url = house.inner_urls[name]
    try:
        ready = await client.get(f"{url}/readyz")
        metrics = await client.get(f"{url}/metrics")
    except httpx.TransportError:
        return [Finding(name, "无响应", "启动：./run；日志在数据目录 logs 下")]
    findings = []
    if not ready.is_success:
        said = ready.json().get("detail") or ready.json().get("title")
        findings.append(Finding(name, f"未就绪：{said}", "查看日志；数据库结构由 ./run 升级"))
    findings += list(_signs(name, metrics.text))
    return findings + await _clock(client, house, name)


def _signs(name: str, metrics: str) -> Iterator[Finding]:
    for family in text_string_to_metric_families(metrics):
        for sample in family.samples:
            for sign in SIGNS:
                if sample.name == sign.metric and sign.is_wrong(sample.value):
                    of = "，".join(sample.labels.values())
                    yield Finding(name, f"{sign.what}（{of}）" if of else sign.what, sign.mend)


async def _clock(client: httpx.AsyncClient, house: Addresses, name: str) -> list[Finding]:
    try:
        asker = Asker(house.keys.signer(GATEWAY), f"/{CITY}/{GATEWAY}")
        headers = {"Authorization": f"Bearer {asker.token()}"}
        answer = await client.get(f"{house.inner_urls[name]}/v1/clock", headers=headers)
    except (OSError, ValueError):
        return []  # the key's own finding says it
    if answer.is_success and answer.json()["is_moved"]:
        return [Finding(name, "时钟处于演示时间", "演示未完成：再次执行 ./run 使其结束")]
    return []
