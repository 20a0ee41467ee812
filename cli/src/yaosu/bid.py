"""`yaosu bid`: the bid is sealed on the bidder's machine; the house gets what it cannot read."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from marketkit.signing import b64, canonical, sm3, unb64, verify
from marketkit.units import ASSET_UNITS, YUAN, Unit
from saleroom.sealing import BidPlace, Step, seal_bid
from yaosu.client import Client, Sent, Stopped, Token
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

ATTEMPTS_MAX = 1000


def bid(
    sale: Annotated[str, typer.Argument(help="交易地址：http(s)://门户/v1/市场/sales/交易编号")],
    uscc: Annotated[str, typer.Option(help="本企业统一社会信用代码")],
    token_file: TokenFile,
    step: Annotated[
        list[str], typer.Option(help="单价:数量[:最低接受数量]，可重复；或 @文件.json")
    ],
    version: Annotated[int, typer.Option(min=1, help="第几版；替换已受理的报价时加一")] = 1,
    service_key: ServiceKey = "",
    sent_folder: SentFolder = SENT_FOLDER,
) -> None:
    """密封一份报价并提交；同一版重复执行，只重发同样的内容。"""

    async def work() -> Receipt:
        at = place_of(sale)
        if not at.sale_id:
            raise AddressUnreadable("请给出交易地址，以 /sales/交易编号 结尾")
        place = BidPlace(at.sale_id, uscc, version)
        token, key = token_of(token_file), key_of(service_key)
        async with Client(at.gateway_url, Sent(sent_folder)) as client:
            notice = await client.get(f"/v1/{at.market}/sales/{at.sale_id}", token=token)
            steps = read_steps(step, unit_of(notice))
            return await place_bid(client, at.market, place, steps, token=token, service_key=key)

    receipt = done(work())
    checked = "签名有效" if receipt.is_checked else "未核验签名：没有服务公钥"
    taken = f"已受理，回执 {receipt.receipt_id}，{receipt.received_at}（{checked}）"
    if receipt.is_again:
        taken += f"。所受理的是第 {version} 版首次执行时所写；要改报价，用 --version {version + 1}"
    typer.echo(taken)


class StepUnreadable(Stopped):
    """A price step that is none; says how one is written."""


class ReceiptNotGenuine(Stopped):
    """The receipt is not signed by the service, or is another bid's."""


@dataclass(frozen=True)
class Receipt:
    """The service's word that it took a bid in, and when; `is_checked` if its signature was.

    `is_again`: what it took in was kept before, whatever the steps now say.
    """

    receipt_id: str
    received_at: str
    document: dict[str, Any]
    is_checked: bool
    is_again: bool = False


def read_steps(texts: Sequence[str], unit: Unit) -> list[Step]:
    """Price steps written `price:quantity[:least quantity]`, or `@` and a JSON file of them.

    Raises:
        StepUnreadable: One of them cannot be read.
    """
    try:
        return [step for text in texts for step in _steps(text, unit)]
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        raise StepUnreadable(
            "报价须写作 单价:数量[:最低接受数量]，如 226.50:10000:5000；"
            '文件须为 {"steps": [{"price_yuan": …, "quantity": …, "min_accept_quantity": …}]}'
        ) from None


def _steps(text: str, unit: Unit) -> list[Step]:
    if not text.startswith("@"):
        return [_step(unit, *text.split(":"))]
    said = json.loads(Path(text[1:]).read_bytes())
    return [_step(unit, **step) for step in (said["steps"] if isinstance(said, dict) else said)]


def _step(
    unit: Unit, price_yuan: str, quantity: str, min_accept_quantity: str | None = None
) -> Step:
    least = min_accept_quantity
    return Step(
        price_fen=YUAN.parse(price_yuan),
        quantity_minor=unit.parse(quantity),
        min_accept_minor=unit.parse(least) if least is not None else None,
    )


async def place_bid(
    client: Client,
    market: str,
    place: BidPlace,
    steps: Sequence[Step],
    *,
    token: Token,
    service_key: bytes | None = None,
) -> Receipt:
    """Seal the steps for this place and send them; what was sent before is sent again as it was.

    A version that has a receipt keeps it: another bid is another version. A version whose outcome
    is unknown is sent again byte by byte, whatever the steps now say.

    Args:
        service_key: The service's public key; without it the one that the notice names.

    Raises:
        BidVoid: The bid would count for nothing.
        Refused: The service does not take it in.
        OutcomeUnknown: Nobody answered; the same command sends the same bytes.
        ReceiptNotGenuine: The receipt's signature is wrong.
    """
    notice = await client.get(f"/v1/{market}/sales/{place.sale_id}", token=token)
    key = _key_of_attempt(client.sent, place)
    is_again = client.sent.request(key) is not None
    document = await client.post(
        f"/v1/{market}/sales/{place.sale_id}/sealed-bids",
        _request(notice, place, steps),
        key=key,
        token=token,
    )
    sent = client.sent.request(key)
    assert sent is not None
    named = notice.get("receipt_key")
    trusted = service_key or (unb64(named) if named else None)
    check_receipt(document, json.loads(sent.body), trusted)
    receipt_id, received_at = document["receipt_id"], document["received_at"]
    return Receipt(receipt_id, received_at, document, trusted is not None, is_again)


def unit_of(notice: dict[str, Any]) -> Unit:
    """The unit in which a sale's quantities are said."""
    return ASSET_UNITS[notice["terms"]["asset"]]


def _request(notice: dict[str, Any], place: BidPlace, steps: Sequence[Step]) -> dict[str, Any]:
    public_key = unb64(notice["key"]["public_key"])
    sealed = seal_bid(steps, place, public_key=public_key, unit=unit_of(notice))
    return {
        "ciphertext": b64(sealed.ciphertext),
        "commitment": b64(sealed.commitment),
        "key_sm3": b64(sealed.key_sm3),
        "version": place.version,
    }


def _key_of_attempt(sent: Sent, place: BidPlace) -> str:
    # A refusal is for ever under its key; what is right now needs another.
    attempts = (
        f"bid/{place.sale_id}/{place.uscc}/{place.version}/{number}"
        for number in range(1, ATTEMPTS_MAX)
    )
    for key in attempts:
        answer = sent.answer(key)
        if answer is None or answer.status < 400:
            return key
    raise AssertionError("a bid refused a thousand times")


def check_receipt(
    receipt: dict[str, Any], request: dict[str, Any], public_key: bytes | None
) -> None:
    """Return if the receipt is of this request and, where a key is known, signed with it.

    Raises:
        ReceiptNotGenuine: It is not.
    """
    bid_sm3 = b64(sm3(unb64(request["ciphertext"])))
    if (receipt["bid_sm3"], receipt["commitment"]) != (bid_sm3, request["commitment"]):
        raise ReceiptNotGenuine("回执所载不是这份报价")
    said = canonical({name: field for name, field in receipt.items() if name != "signature"})
    if public_key is not None and not verify(public_key, said, unb64(receipt["signature"])):
        raise ReceiptNotGenuine("回执签名无效")
