"""The demonstration from its first document to evidence that anyone can check."""

import time
from collections.abc import Mapping
from datetime import datetime
from functools import partial
from pathlib import Path

import stamina
from rich.console import Console

from marketkit.codes import CITY
from marketkit.feed import FeedDown
from marketkit.units import SHANGHAI
from yaosu import screen
from yaosu.client import Client, Sent, Stopped
from yaosu.demo import facts, quota
from yaosu.demo.clock import Clock
from yaosu.demo.market import Sale, shown_at_its_end, until
from yaosu.demo.people import Desk
from yaosu.demo.tables import read_ledger, read_sale, table_of_bids, table_of_ledger
from yaosu.evidence.check import check
from yaosu.evidence.collect import Asker, CannotExport, export, is_signed
from yaosu.keys import GATEWAY, Keys
from yaosu.verify import table_of


class EvidenceNotSound(Stopped):
    """What the house told does not follow from itself: a defect."""


async def play(gateway_url: str, services: Mapping[str, str], data_dir: Path, keys: Keys) -> None:
    """Play the demonstration; what it did before it does not do again, and it shows the same.

    Args:
        gateway_url: The one address people use.
        services: Inner addresses, by service: for the clock and the export alone.
        data_dir: Where it keeps what it sent and its key officers' keys.
        keys: The house's keys: the clock and the feeds are asked for in the gateway's name.

    Raises:
        Stopped: It cannot go on; says in Chinese why.
    """
    folder = data_dir / "demo"
    folder.mkdir(exist_ok=True, mode=0o700)
    asker = Asker(keys.signer(GATEWAY), f"/{CITY}/{GATEWAY}")
    console = screen.console()
    began_s = time.monotonic()
    console.print("\n[bold]演示：2022年要素保障[/bold]（时钟为演示时钟，名称与文号均为示例）")
    async with (
        Client(gateway_url, Sent(folder / "sent"), trust_env=False) as client,
        Clock(services, asker) as clock,
    ):

        def say(line: str) -> None:
            console.print(
                f"  [green]✓[/green] [dim]{clock.at:%Y-%m-%d}[/dim] {line}", soft_wrap=True
            )

        desk = Desk(client)
        await clock.begin(facts.BEGINS, has_begun=quota.has_begun(client.sent))
        await quota.play(desk, clock, say)
        sale = Sale(desk, clock, folder / "officers", say)
        for act in (sale.announce, sale.enter, sale.bid, sale.open, sale.settle):
            await act()
        await clock.end()
        shown = await shown_at_its_end(client, sale.sale_id)
    await until(partial(_is_signed, services["energy"], asker), "检查点签名")
    await _show(console, folder, services, asker, sale)
    console.print(f"成交公告 {gateway_url}/sales/{sale.sale_id}", soft_wrap=True)
    as_of = datetime.fromisoformat(shown["as_of"]).astimezone(SHANGHAI)
    console.print(f"门户公示：已归档（{shown['state']}），数据截至 {as_of:%Y-%m-%d %H:%M:%S}")
    console.print(f"演示用时 {time.monotonic() - began_s:.1f} 秒\n")


async def _is_signed(inner_url: str, asker: Asker) -> bool:
    try:
        return await is_signed(inner_url, asker)
    except FeedDown:
        return False  # it is being started again


async def _show(
    console: Console, folder: Path, services: Mapping[str, str], asker: Asker, sale: Sale
) -> None:
    file = folder / "evidence.zip"
    async for attempt in stamina.retry_context(on=CannotExport, timeout=60, attempts=None):
        with attempt:
            await export(file, services, asker)
    console.print(table_of_bids(read_sale(file, sale.sale_id)))
    console.print(table_of_ledger(read_ledger(file, sale.sale_id)))
    report = check(file)
    console.print(table_of(report, file.name))
    if not report.is_sound:
        raise EvidenceNotSound(f"证据核验不一致：{file}")
    console.print(f"自行核验：.venv/bin/yaosu verify {file}", soft_wrap=True)
