"""How the board words what it tells: figures, units, titles. Pure."""

from typing import NamedTuple

from marketkit.units import ASSET_UNITS, YUAN, Unit

# From its announcement to its opening nothing may show that depends on who takes part.
SEALED_STATES = ("ANNOUNCED", "OPEN", "CLOSED", "SUSPENDED")
ENDED_STATES = ("SETTLED", "ARCHIVED", "FAILED", "CANCELLED")

UNIT_TITLES = {"tce": "吨标准煤", "t": "吨", "t/a": "吨/年", "mu": "亩"}
ASSET_TITLES = {"ENERGY": "用能权指标（能耗）", "COAL": "煤炭消费指标"}

ANNOUNCEMENT_TITLES = {
    "SALE": "竞购公告",
    "SUSPENSION": "中止公告",
    "RESUMPTION": "恢复交易公告",
    "CANCELLATION": "终止公告",
    "FAILURE": "未成交公告",
    "RESULT": "成交结果公告",
}
FAILURES = {
    "NO_AWARD": "没有可成交的有效报价。",
    "UNDERSUBSCRIBED": "申购量不足，按公告约定不予成交。",
    "TOO_FEW_BIDDERS": "有效竞买人数不足公告规定的最低人数。",
    "NOT_OPENED_IN_TIME": "未能在规定时限内开标。",
}


class Result(NamedTuple):
    """What a result announcement tells, in minor units."""

    asset: str
    clearing_price_fen: int | None
    sold_minor: int
    unsold_minor: int
    proceeds_fen: int


def unit_of(asset: str) -> Unit:
    """The unit of an asset; LookupError if the house has none for it."""
    return ASSET_UNITS[asset]


def grouped(decimal: str) -> str:
    """A decimal string with thousands separators: `-1234567.890` reads `-1,234,567.890`."""
    whole, point, fraction = decimal.partition(".")
    sign = "-" if whole.startswith("-") else ""
    return f"{sign}{int(whole.lstrip('-')):,}{point}{fraction}"


def announcement_title(kind: str, sale_title: str) -> str:
    return f"{sale_title}{ANNOUNCEMENT_TITLES[kind]}"


def result_text(result: Result) -> str:
    """The sentence of a result announcement."""
    unit = unit_of(result.asset)
    title = UNIT_TITLES[unit.name]
    sold, unsold = (grouped(unit.format(q)) for q in (result.sold_minor, result.unsold_minor))
    price = result.clearing_price_fen
    priced = (
        "各按其报价成交" if price is None else f"成交价每{title}{grouped(YUAN.format(price))}元"
    )
    proceeds = grouped(YUAN.format(result.proceeds_fen))
    return f"成交{sold}{title}，{priced}，成交金额合计{proceeds}元；未成交{unsold}{title}，已释放。"
