"""`yaosu share`: a key officer's part in a drill and an opening, on the officer's own machine.

The private key never leaves it; what is sent can be read by this opening's session only, and of a
drill only a digest is sent.
"""

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer

from marketkit.signing import b64, canonical, unb64, verify
from marketkit.units import SHANGHAI
from saleroom.drills import Drill
from saleroom.sealing import new_key_pair, public_key_of
from saleroom.shares import Opening, rewrap_share
from yaosu.client import Client, Refused, Sent, Stopped, Token
from yaosu.options import (
    SENT_FOLDER,
    AddressUnreadable,
    SentFolder,
    ServiceKey,
    TokenFile,
    done,
    key_of,
    place_of,
    token_of,
)
from yaosu.secret_files import read_key, write_key

SIGNED = ("sale_id", "opening_id", "session_id", "session_key")


def share(
    address: Annotated[
        str, typer.Argument(help="交易地址；登记公钥时为市场地址：http(s)://门户/v1/市场")
    ],
    token_file: TokenFile,
    key_file: Annotated[Path, typer.Option(help="密钥管理员私钥文件，须仅本人可读")],
    register: Annotated[
        bool, typer.Option("--register", help="登记本人公钥；私钥文件没有则生成")
    ] = False,
    drill: Annotated[
        bool, typer.Option("--drill", help="公告前的密钥演练：证明本人能打开封给自己的内容")
    ] = False,
    service_key: ServiceKey = "",
    sent_folder: SentFolder = SENT_FOLDER,
) -> None:
    """密钥管理员：登记公钥，公告前演练，或在开标时提交本人的密钥份额。"""

    async def work() -> str:
        at = place_of(address)
        if bool(at.sale_id) == register or (register and drill):
            raise AddressUnreadable(
                "提交份额、演练（--drill）须给出交易地址；登记公钥（--register）须给出市场地址"
            )
        token, key = token_of(token_file), key_of(service_key)
        async with Client(at.gateway_url, Sent(sent_folder)) as client:
            if register:
                officer = await register_key(client, at.market, key_file, token=token)
                return f"已登记公钥，密钥管理员编号 {officer}"
            own = read_key(key_file)
            if drill:
                await answer_drill(client, at.market, at.sale_id, own, token=token)
                return "已完成密钥演练；此后更换公钥须重新演练"
            await give_share(client, at.market, at.sale_id, own, token=token, service_key=key)
            return "已提交密钥份额，仅本次开标会话可解"

    typer.echo(done(work()))


class TooEarly(Stopped):
    """By the officer's own clock the sale is not closed yet."""


class DrillNotBegun(Stopped):
    """Nobody has begun a drill of this sale, or this officer has no part in it."""


class OpeningNotConfirmed(Stopped):
    """Two people have not asked for the opening, or its key is not the service's."""


async def register_key(client: Client, market: str, key_file: Path, *, token: Token) -> str:
    """Register the officer's public key, of a key made now if the file is not there yet.

    Raises:
        SecretFileUnsafe: The file is there and others may read it.
        Refused: The service does not take it.
    """
    public_key = b64(public_key_of(own_key(key_file)))
    document = await client.post(
        f"/v1/{market}/key-officers",
        {"public_key": public_key},
        key=f"key-officer/{public_key}",
        token=token,
    )
    return str(document["officer_id"])


def own_key(key_file: Path) -> bytes:
    """The officer's private key, made now if the file is not there yet.

    Raises:
        SecretFileUnsafe: The file is there, and others may read it or it holds no key.
    """
    if not key_file.exists():
        write_key(key_file, new_key_pair().private_key)
    return read_key(key_file)


async def answer_drill(
    client: Client, market: str, sale_id: str, private_key: bytes, *, token: Token
) -> dict[str, Any]:
    """Open this officer's challenge in a sale's drill, and send the digest that proves it.

    Raises:
        DrillNotBegun: There is none, or none for this officer.
        ChallengeUnreadable: The challenge is not for this key, or is none.
        Refused: The service does not take it.
    """
    try:
        found = await client.get(f"/v1/{market}/sales/{sale_id}/drill", token=token)
    except Refused as refused:
        if refused.status != httpx.codes.NOT_FOUND:
            raise
        raise DrillNotBegun(f"本场交易尚未开始密钥演练：{refused}") from None
    drill, officer = Drill(sale_id, found["drill_id"]), found["officer_id"]
    answer = drill.answer(unb64(found["challenge"]), private_key=private_key, officer=officer)
    answered: dict[str, Any] = await client.post(
        f"/v1/{market}/sales/{sale_id}/drills/{drill.drill_id}/answers",
        {"answer": b64(answer)},
        key=f"drill/{drill.drill_id}/{officer}",
        token=token,
    )
    return answered


async def give_share(
    client: Client,
    market: str,
    sale_id: str,
    private_key: bytes,
    *,
    token: Token,
    service_key: bytes | None = None,
) -> dict[str, Any]:
    """Unwrap this officer's share of a sale's key and send it to the opening's session.

    Args:
        service_key: The service's public key; without it the one that the notice names.

    Raises:
        TooEarly: Before `closes_at`, by this machine's own clock.
        OpeningNotConfirmed: Nobody asked, only one did, or the session key is not signed.
        ShareUnreadable: The share is not for this key.
        Refused: The service does not take it.
    """
    notice = await client.get(f"/v1/{market}/sales/{sale_id}", token=token)
    check_closed(notice)
    opening = await _opening(client, market, sale_id, token)
    named = notice.get("receipt_key")
    trusted = service_key or (unb64(named) if named else None)
    check_session(opening, trusted)
    wrapped = rewrap_share(
        unb64(opening["share"]),
        private_key=private_key,
        session_key=unb64(opening["session_key"]),
        opening=Opening(sale_id, opening["opening_id"]),
        officer=opening["officer_id"],
    )
    found: dict[str, Any] = await client.post(
        f"/v1/{market}/sales/{sale_id}/openings/{opening['opening_id']}/shares",
        {"session_id": opening["session_id"], "share": b64(wrapped)},
        key=f"share/{opening['session_id']}/{opening['officer_id']}",
        token=token,
    )
    return found


def check_closed(notice: dict[str, Any]) -> None:
    """Return if bidding has ended by this machine's clock, which no service can move.

    Raises:
        TooEarly: It has not.
    """
    closes_at = datetime.fromisoformat(notice["timetable"]["closes_at"])
    if datetime.fromtimestamp(time.time(), UTC) < closes_at:
        said = closes_at.astimezone(SHANGHAI).strftime("%Y-%m-%d %H:%M:%S")
        raise TooEarly(f"报价至 {said} 截止，按本机时钟尚未截止，不得提交密钥份额")


async def _opening(client: Client, market: str, sale_id: str, token: Token) -> dict[str, Any]:
    try:
        opening = await client.get(f"/v1/{market}/sales/{sale_id}/opening", token=token)
    except Refused as refused:
        if refused.status not in {404, 409}:
            raise
        raise OpeningNotConfirmed(f"本场开标尚未经两人申请并确认：{refused}") from None
    if opening["state"] != "CONFIRMED":
        raise OpeningNotConfirmed("本场开标已经完成，不再需要密钥份额")
    if not opening.get("session_key"):
        raise OpeningNotConfirmed("开标程序尚未生成会话密钥，请稍后再试")
    found: dict[str, Any] = opening
    return found


def check_session(opening: dict[str, Any], service_key: bytes | None) -> None:
    """Return if the service signed this opening's session key.

    Raises:
        OpeningNotConfirmed: It did not.
    """
    said = canonical({name: opening[name] for name in SIGNED})
    if service_key is None or not verify(service_key, said, unb64(opening["signature"])):
        raise OpeningNotConfirmed("会话密钥没有本服务的有效签名")
