"""`yaosu export`: the evidence of a house, as a file."""

from pathlib import Path
from typing import Annotated

import typer

from yaosu.addresses import read_addresses
from yaosu.client import Stopped
from yaosu.evidence.collect import Asker, Exported
from yaosu.evidence.collect import export as write_evidence
from yaosu.keys import GATEWAY, Keys
from yaosu.options import DATA_DIR, DataDir, done


class InnerUnreadable(Stopped):
    """An inner address that is not written `service=url`."""


def export(
    file: Annotated[Path, typer.Argument(help="证据文件（ZIP）")],
    data_dir: DataDir = DATA_DIR,
    inner: Annotated[
        list[str] | None,
        typer.Option(help="服务=内网地址，可重复；不给则用本机已启动的系统"),
    ] = None,
) -> None:
    """导出证据：各服务的事件、签名检查点与各场交易，任何人可离线核验。"""

    async def work() -> Exported:
        return await write_evidence(file, _inner_urls(data_dir, inner), asker(data_dir))

    exported = done(work())
    typer.echo(f"{exported.file}：{exported.event_count} 个事件，{exported.sale_count} 场交易")
    for source, at in exported.as_of.items():
        typer.echo(f"  {source} 截至 {at}")


def asker(data_dir: Path) -> Asker:
    """The gateway, in whose name a house's feeds are asked."""
    from marketkit.codes import CITY

    return Asker(Keys(data_dir / "keys").signer(GATEWAY), f"/{CITY}/gateway")


def _inner_urls(data_dir: Path, inner: list[str] | None) -> dict[str, str]:
    if not inner:
        return dict(read_addresses(data_dir).inner_urls)
    pairs = [one.partition("=") for one in inner]
    if not all(name and url for name, _, url in pairs):
        raise InnerUnreadable("内网地址须写作 服务=地址，如 energy=http://10.0.0.5:8001")
    return {name: url for name, _, url in pairs}
