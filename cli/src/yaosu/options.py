"""What several commands are told alike, and how they end."""

import asyncio
import re
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypeVar

import typer

from marketkit.errors import Refusal
from marketkit.signing import unb64
from yaosu.client import Stopped, Token
from yaosu.processes import CannotStart
from yaosu.secret_files import SecretFileUnsafe, read_secret

T = TypeVar("T")

TokenFile = Annotated[
    Path, typer.Option(help="访问令牌文件，须仅本人可读", envvar="YAOSU_TOKEN_FILE")
]
ServiceKey = Annotated[str, typer.Option(help="服务的Ed25519公钥（base64url）；不给则用公告所载的")]
SentFolder = Annotated[Path, typer.Option(help="保存已发请求的目录")]
DataDir = Annotated[Path, typer.Option(help="数据目录")]

_ADDRESS = re.compile(
    r"(?P<gateway>https?://[^/?#]+)/v1/(?P<market>[a-z]+)(/sales/(?P<sale>[0-9A-Za-z]+))?/?"
)

SENT_FOLDER = Path(".yaosu-sent")
DATA_DIR = Path(".yaosu")


class AddressUnreadable(Stopped):
    """An address that is neither a market's nor a sale's."""


class Place(NamedTuple):
    """Where a command goes: a gateway, a market behind it and, unless it is all of it, a sale."""

    gateway_url: str
    market: str
    sale_id: str


def place_of(address: str) -> Place:
    """What an address says, such as `http://127.0.0.1:8370/v1/energy/sales/01M8…`.

    Raises:
        AddressUnreadable: It is no such address.
    """
    found = _ADDRESS.fullmatch(address)
    if found is None:
        raise AddressUnreadable("地址须写作 http(s)://门户/v1/市场/sales/交易编号")
    return Place(found["gateway"], found["market"], found["sale"] or "")


def done(work: Coroutine[Any, Any, T]) -> T:
    """What the work answers; what stops it is said in Chinese, and the command ends with 1."""
    try:
        return asyncio.run(work)
    except Refusal as refusal:
        reason = f"{refusal.title}（{refusal.code}）"
    except (Stopped, CannotStart) as stopped:
        reason = str(stopped)
    typer.echo(reason, err=True)
    raise typer.Exit(1)


def token_of(file: Path) -> Token:
    """The token in a file, read each time it is needed: whoever renews it writes it there."""

    async def token() -> str:
        return read_secret(file)

    return token


def key_of(text: str) -> bytes | None:
    """A service's public key from the command line; None if none was given.

    Raises:
        SecretFileUnsafe: It is no key.
    """
    if not text:
        return None
    try:
        return unb64(text)
    except ValueError:
        raise SecretFileUnsafe("服务公钥须为base64url文本") from None
