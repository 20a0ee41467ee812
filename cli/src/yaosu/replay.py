"""`yaosu replay`: parked events tried again, asked for by one administrator, allowed by another."""

import secrets
from typing import Annotated, Any

import typer

from yaosu.client import Client, Sent, Stopped
from yaosu.options import SENT_FOLDER, SentFolder, TokenFile, done, token_of

REQUESTS = "/v1/replays/requests"


class NothingAsked(Stopped):
    """Neither a source to ask for nor a request to allow."""


def replay(
    gateway_url: Annotated[str, typer.Argument(help="门户地址，如 http://127.0.0.1:8370")],
    token_file: TokenFile,
    source: Annotated[str, typer.Option(help="事件来源，如 /370500/energy-trade")] = "",
    reason: Annotated[str, typer.Option(help="为何现在可以重放")] = "",
    allow: Annotated[str, typer.Option(help="批准的申请编号（安全管理员）")] = "",
    sent_folder: SentFolder = SENT_FOLDER,
) -> None:
    """重放被搁置的事件：系统管理员申请（先试运行），安全管理员批准。"""

    async def work() -> str:
        if bool(source and reason) == bool(allow):
            raise NothingAsked("申请须给出 --source 与 --reason；批准须给出 --allow 申请编号")
        async with Client(gateway_url, Sent(sent_folder)) as client:
            token = token_of(token_file)
            if allow:
                path, key = f"{REQUESTS}/{allow}/confirmations", f"replay/allow/{allow}"
                return _said(await client.post(path, {}, key=key, token=token))
            wish = {"source": source, "reason": reason}
            # A look of its own each time: under a key used before, an old one would answer.
            key = f"replay/ask/{secrets.token_hex(16)}"
            return _said(await client.post(REQUESTS, wish, key=key, token=token))

    typer.echo(done(work()))


def _said(answer: dict[str, Any]) -> str:
    if "wish" in answer:
        wish = answer["wish"]
        return (
            f"试运行：搁置 {wish['parked']} 条，可恢复 {wish['would_apply']} 条。"
            f"申请编号 {answer['request']['request_id']}，待安全管理员批准"
        )
    return f"已恢复 {answer['applied']} 条，仍搁置 {answer['still_parked']} 条"
