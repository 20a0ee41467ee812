"""`yaosu up`: the house, the demonstration on it, and where to look."""

import asyncio
import importlib
import importlib.util
import signal
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from yaosu import screen
from yaosu.addresses import write_addresses
from yaosu.client import Stopped
from yaosu.keys import Keys
from yaosu.processes import CannotStart
from yaosu.stack import Stack

Play = Callable[[str, Mapping[str, str], Path, Keys], Awaitable[None]]


def up(
    port: Annotated[int, typer.Option(help="门户端口", min=0, max=65535)] = 8370,
    once: Annotated[bool, typer.Option("--once", help="演示结束后即退出")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="清除原有数据，重新开始")] = False,
    data_dir: Annotated[Path, typer.Option(help="数据目录")] = Path(".yaosu"),
) -> None:
    """在本机启动全部服务，播放演示，Ctrl-C 停止。"""
    try:
        asyncio.run(live(data_dir, port=port, once=once, fresh=fresh))
    except (CannotStart, Stopped) as reason:
        typer.echo(f"\n{reason}", err=True)
        raise typer.Exit(1) from None


async def live(
    data_dir: Path,
    *,
    port: int,
    once: bool,
    fresh: bool,
    play: Play | None = None,
    programs: Mapping[str, Sequence[str | Path]] | None = None,
) -> None:
    """Start the house, play the demonstration, and stay until Ctrl-C or, with `once`, end.

    Raises:
        CannotStart: Saying in one line what is missing and what to type.
    """
    console = screen.console()
    stopped = _when_signalled(console)
    house = Stack(data_dir, port=port, fresh=fresh, say=console.print, programs=programs)
    work = asyncio.create_task(_live_in(house, console, play or _demonstration(), once=once))
    stopping = asyncio.create_task(stopped.wait())
    await asyncio.wait({work, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not work.done():
        work.cancel()
        await asyncio.wait({work})
        console.print("已停止。")
    if not work.cancelled():
        work.result()


async def _live_in(house: Stack, console: Console, play: Play | None, *, once: bool) -> None:
    began = time.monotonic()
    async with house:
        console.print(f"全部就绪（{time.monotonic() - began:.1f} 秒）{house.gateway_url}/")
        write_addresses(house.data_dir, house.gateway_url, house.inner_urls)
        if play is not None:
            await play(house.gateway_url, house.inner_urls, house.data_dir, house.keys)
        console.print(table_of_urls(house))
        if not once:
            console.print("按 Ctrl-C 停止；数据保留，下次 ./run 继续；./run --fresh 重新开始。")
            await asyncio.Event().wait()


def _when_signalled(console: Console) -> asyncio.Event:
    stopped = asyncio.Event()

    def stop() -> None:
        if not stopped.is_set():
            console.print("\n正在停止 …")
        stopped.set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    return stopped


def _demonstration() -> Play | None:
    # The one place that knows of it: the house stands without its demonstration.
    if importlib.util.find_spec("yaosu.demo") is None:
        return None
    play: Play = importlib.import_module("yaosu.demo").play
    return play


def table_of_urls(house: Stack) -> Table:
    """Where to look: portal, then API documents and metrics of each service."""
    table = Table(title="要素市场 Yaosu", title_justify="left", show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, overflow="ignore")
    table.add_row("门户", f"[bold]{house.gateway_url}/[/bold]")
    for service in house.services.values():
        table.add_row(f"{service.title} 接口文档", f"{service.inner_url}/docs")
        table.add_row(f"{service.title} 指标", f"{service.inner_url}/metrics")
    table.add_row("数据与日志", str(house.data_dir))
    return table
