"""The command line `yaosu`: commands are thin, each calls one function of its own module."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from yaosu.processes import CannotStart

app = typer.Typer(
    name="yaosu",
    help="要素：用能权、排污权与土地指标市场。",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def _several_commands() -> None: ...


@app.command(help="在本机启动全部服务，播放演示，Ctrl-C 停止。")
def up(
    port: Annotated[int, typer.Option(help="门户端口", min=0, max=65535)] = 8370,
    once: Annotated[bool, typer.Option("--once", help="演示结束后即退出")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="清除原有数据，重新开始")] = False,
    data_dir: Annotated[Path, typer.Option(help="数据目录")] = Path(".yaosu"),
) -> None:
    from yaosu.up import up

    try:
        asyncio.run(up(data_dir, port=port, once=once, fresh=fresh))
    except CannotStart as reason:
        typer.echo(f"\n{reason}", err=True)
        raise typer.Exit(1) from None


# Further commands follow here, one function each: demo, trial, bid, share, export, verify.


if __name__ == "__main__":
    app()
