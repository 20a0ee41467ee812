"""What the demonstration shows: tables in Chinese, out of the evidence it exported."""

import json
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from marketkit.codes import REGION_NAMES
from marketkit.movements import Leg, Movement, fold
from marketkit.units import ASSET_UNITS
from yaosu.demo.facts import BIDDERS
from yaosu.evidence.archive import Reader, sale_name

ASSET_NAMES = {"ENERGY": "能耗指标（吨标准煤）", "COAL": "煤炭指标（吨）"}
VOID_NAMES = {
    "DEPOSIT_NOT_CONFIRMED": "无效：未缴保证金",
    "BELOW_FLOOR": "无效：低于底价",
}
_KINDS = ("pool", "province", "city", "county", "enterprise")


@dataclass(frozen=True)
class Ledger:
    """Balances by (asset, account), before the sale and after it, in minor units."""

    before: Mapping[tuple[str, str], int]
    after: Mapping[tuple[str, str], int]


def read_ledger(file: Path, sale_id: str) -> Ledger:
    """Every holding there is, folded from the movements in a file of evidence.

    All movements of a sale stand under its own key: without them it is the ledger before.
    """
    before: list[Leg] = []
    during: list[Leg] = []
    for event in _events(file):
        legs = [Movement.model_validate(one).leg() for one in event["data"].get("movements", [])]
        (during if event["partitionkey"] == sale_id else before).extend(legs)
    return Ledger(_balances(before), _balances([*before, *during]))


def _events(file: Path) -> Iterator[dict[str, Any]]:
    with closing(Reader(file)) as reader:
        for name in sorted(reader.names):
            if name.startswith("events/"):
                yield from map(json.loads, reader.lines(name))


def _balances(legs: list[Leg]) -> dict[tuple[str, str], int]:
    balances: dict[tuple[str, str], int] = {}
    for (account, asset, _), (posted, _) in fold(legs).items():
        balances[asset, account] = balances.get((asset, account), 0) + posted
    return {place: posted for place, posted in balances.items() if posted}


def table_of_ledger(ledger: Ledger) -> Table:
    """Who holds how much, before the sale and after it; the sums stay what they were."""
    table = Table(title="台账：竞购前后（由全部变动累计得出）", title_justify="left")
    for heading in ("指标", "持有人"):
        table.add_column(heading, overflow="fold")
    for heading in ("竞购前", "竞购后", "变动"):
        table.add_column(heading, justify="right", no_wrap=True)
    places = ledger.before.keys() | ledger.after.keys()
    for asset in sorted({asset for asset, _ in places}, reverse=True):
        accounts = [account for held, account in places if held == asset]
        name = ASSET_NAMES[asset]
        for account in sorted(filter(_is_holder, accounts), key=_order):
            table.add_row(name, holder_name(account), *_row(ledger, asset, account))
            name = ""
        table.add_row("", "合计", *_sums(ledger, asset), style="bold", end_section=True)
    return table


def _is_holder(account: str) -> bool:
    return not account.startswith("issuance:")


def _order(account: str) -> tuple[int, str]:
    kind = account.partition(":")[0]
    return (_KINDS.index(kind) if kind in _KINDS else len(_KINDS), account)


def holder_name(account: str) -> str:
    """An account as people call it."""
    kind, _, owner = account.partition(":")
    if kind == "enterprise":
        uscc = owner.partition(":")[0]
        return next((escape(bidder.name) for bidder in BIDDERS if bidder.uscc == uscc), uscc)
    region = REGION_NAMES.get(owner, owner)
    names = {"pool": "“十四五”增量池", "province": "收储", "city": "市级留存", "county": "县级留存"}
    return f"{region} {names.get(kind, kind)}"


def _row(ledger: Ledger, asset: str, account: str) -> list[str]:
    before, after = (side.get((asset, account), 0) for side in (ledger.before, ledger.after))
    return _formatted(asset, before, after)


def _sums(ledger: Ledger, asset: str) -> list[str]:
    before, after = (
        sum(posted for (of, account), posted in side.items() if of == asset and _is_holder(account))
        for side in (ledger.before, ledger.after)
    )
    return _formatted(asset, before, after)


def _formatted(asset: str, before: int, after: int) -> list[str]:
    unit = ASSET_UNITS[asset]
    change = after - before
    sign = "+" if change > 0 else ""
    return [unit.format(before), unit.format(after), sign + unit.format(change) if change else "—"]


def read_sale(file: Path, sale_id: str) -> dict[str, Any]:
    """The sale as a file of evidence tells it."""
    with closing(Reader(file)) as reader:
        found: dict[str, Any] = json.loads(reader.content(sale_name(sale_id)))
        return found


def table_of_bids(sale: Mapping[str, Any]) -> Table:
    """Each bid as it was opened, and what it got."""
    result = sale["result"]
    table = Table(title=f"开标结果：成交价 {result['clearing_price_yuan']} 元/吨标准煤")
    table.title_justify = "left"
    for heading in ("竞买人", "报价（元）", "申购量", "成交量", "价款（元）", "结果"):
        is_text = heading in {"竞买人", "结果"}
        table.add_column(heading, justify="left" if is_text else "right", overflow="fold")
    awards = {award["bid_id"]: award for award in result["awards"]}
    codes = {step["bid_id"]: step["code"] for step in result["rejected"]}
    for bid in sale["bids"]:
        for number, step in enumerate(json.loads(bid["plaintext"])["steps"], 1):
            bid_id = f"{bid['receipt_id']}-{number}"
            award = awards.get(bid_id)
            code = bid["void_code"] or codes.get(bid_id)
            table.add_row(
                escape(bid["bidder_name"]),
                step["price_yuan"],
                step["quantity"],
                award["quantity"] if award else "—",
                award["amount_yuan"] if award else "—",
                VOID_NAMES.get(code, f"无效：{code}") if code else _verdict(award, step),
            )
    table.add_row("合计", "", "", result["sold"], result["proceeds_yuan"], "", style="bold")
    return table


def _verdict(award: Mapping[str, Any] | None, step: Mapping[str, Any]) -> str:
    if award is None:
        return "未成交"
    return "足额成交" if award["quantity"] == step["quantity"] else "边际截断，部分成交"
