"""How the board speaks to people: Chinese words for codes, figures and instants. Pure."""

import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from gateway.board.rules import SourceStaleness
from gateway.holdings.rules import UNIT_TITLES, grouped
from marketkit.codes import REGION_NAMES
from marketkit.signing import sm3, unb64
from marketkit.units import ASSET_UNITS, SHANGHAI, YUAN

BID_BYTES = 4096

MARKETS = {"energy": "能耗指标", "emission": "排污权", "land": "土地指标"}
FORMATS = {"SEALED": "密封报价"}
STATES = {
    "ANNOUNCED": "公告中",
    "OPEN": "报价中",
    "CLOSED": "报价截止，待开标",
    "OPENED": "已开标",
    "CLEARED": "结果公示",
    "CONFIRMED": "成交确认，履约中",
    "SETTLED": "履约完毕",
    "ARCHIVED": "已归档",
    "SUSPENDED": "中止",
    "FAILED": "流拍",
    "CANCELLED": "终止",
}
# The way of a sale that comes to its end; whatever stands aside shows as its last state.
COURSE = ("ANNOUNCED", "OPEN", "CLOSED", "OPENED", "CLEARED", "CONFIRMED", "SETTLED", "ARCHIVED")
COURSE_WORDS = (
    "公告报名",
    "密封报价",
    "报价截止",
    "开标",
    "结果公示",
    "成交确认",
    "履约完毕",
    "归档",
)
REACHED_BY = {
    "sale.announced": "ANNOUNCED",
    "sale.opened_for_bids": "OPEN",
    "sale.closed": "CLOSED",
}
GIVEN_UP = {"sale.failed": "FAILED", "sale.cancelled": "CANCELLED"}
RUNNING = ("ANNOUNCED", "OPEN", "CLOSED", "OPENED", "CLEARED", "CONFIRMED", "SUSPENDED")
OUTCOMES = {"SOLD": "全部成交", "PARTLY_SOLD": "部分成交", "FAILED": "流拍", "CANCELLED": "取消"}
PRICE_RULES = {
    "LOWEST_ACCEPTED": "统一价，取最低中标报价",
    "HIGHEST_REJECTED": "统一价，取最高未中标报价",
    "PAY_AS_BID": "按各自报价成交",
}
TIE_RULES = {"TIME": "同价时间优先", "RANDOM": "同价随机抽取", "PRO_RATA": "同价按量分摊"}
UNDERSUBSCRIBED = {"SELL": "按申购量成交", "CANCEL": "本场取消"}
SETTLEMENTS = {
    "CONFIRMED": "待签约",
    "SIGNED": "已签约，待付款",
    "PAID": "价款到账，待交割",
    "DELIVERED": "已交割",
    "DEFAULTED": "违约",
}
STEPS = {
    "sale.announced": "发布出让公告，出让数量冻结",
    "sale.opened_for_bids": "开始接受密封报价",
    "sale.closed": "报价截止",
    "sale.opening_confirmed": "两名工作人员确认开标",
    "sale.bids_revealed": "公布全部报价",
    "sale.opened": "开标",
    "sale.cleared": "公布成交结果",
    "sale.confirmed": "成交确认",
    "sale.contract_signed": "受让方签订合同",
    "sale.paid": "价款全额到账",
    "payment.reversed": "价款登记有误，两人办理冲正",
    "sale.deposit_reversed": "保证金登记有误，两人办理冲正",
    "revenue.remitted": "价款缴入国库",
    "forfeit.remitted": "没收的保证金缴入国库",
    "quota.credited": "指标过户",
    "sale.delivered": "交割完成",
    "sale.delivery_reversed": "交割有误，凭文件由两人冲正，指标退回冻结",
    "sale.defaulted": "受让方违约，保证金不予退还",
    "sale.corrected": "发布变更公告，已报名者须重新接受",
    "sale.suspended": "交易中止",
    "sale.resumed": "交易恢复",
    "sale.failed": "流拍，保证金退还",
    "sale.cancelled": "交易终止，保证金退还",
    "sale.settled": "履约完毕",
    "sale.archived": "归档",
}
# By kind of paper: what people call it, and the fact it is of.
PAPERS = {
    "bid-receipt": ("密封报价回执", "受理密封报价"),
    "deposit-receipt": ("保证金收据", "保证金到账确认"),
    "deal-confirmation": ("成交确认书", "成交确认"),
    "payment-notice": ("缴款通知单", "成交确认"),
}
# Why a bid or a step of one counts for nothing.
BID_CODES = {
    "DEPOSIT_NOT_CONFIRMED": "保证金未按时到账",
    "NOT_QUALIFIED": "未通过资格审查",
    "CORRECTION_NOT_ACCEPTED": "未接受变更公告",
    "TOO_MANY_STEPS": "价位数超过公告所定",
    "BID_KEY_WRONG": "所用公钥不是本场公钥",
    "BID_SIZE_WRONG": "密文长度不符",
    "BID_UNREADABLE": "无法解密",
    "COMMITMENT_MISMATCH": "与承诺值不符",
    "BID_MALFORMED": "报价内容有误",
    "BELOW_FLOOR": "低于底价",
    "OFF_LOT": "不是最小交易单位的整数倍",
    "OVER_BID_LIMIT": "超出可购数量",
    "LEAST_QUANTITY_NOT_ALLOWED": "本场不接受最低成交量",
    "PRICE_OUT_OF_RANGE": "单价过大，成交金额无法表示",
}


class Stage(NamedTuple):
    """A step of the usual course: `done`, `now` or `ahead`."""

    word: str
    place: str


_ID = re.compile(r"[0-9A-Za-z-]{1,64}", re.ASCII)
_SM3 = re.compile(r"[0-9a-f]{64}", re.ASCII)


def may_be_paper(sale_id: str, kind: str, paper_id: str, sm3: str) -> bool:
    """Whether an address is one that a paper's code can lead to; any other is not asked about."""
    ids = _ID.fullmatch(sale_id) and _ID.fullmatch(paper_id)
    return bool(kind in PAPERS and ids and _SM3.fullmatch(sm3))


def yuan(amount_fen: int) -> str:
    return grouped(YUAN.format(amount_fen))


def unit_title(asset: str) -> str:
    name = ASSET_UNITS[asset].name
    return UNIT_TITLES.get(name, name)


def moment(at: datetime | None) -> str:
    """An instant in the city's own time, to the second."""
    if at is None:
        return "—"
    return at.astimezone(SHANGHAI).strftime("%Y-%m-%d %H:%M:%S")


def in_eights(digest: str) -> str:
    """A digest as papers print it, so that eyes can compare."""
    return " ".join(digest[at : at + 8] for at in range(0, len(digest), 8))


def moment_told(at: str) -> str:
    """An instant as a service wrote it, in the city's own time."""
    return moment(datetime.fromisoformat(at))


def precisely(at: datetime) -> str:
    """An instant to the microsecond, where the order of bids depends on it."""
    return at.astimezone(SHANGHAI).strftime("%Y-%m-%d %H:%M:%S.%f")


def per_cent(basis_points: int) -> str:
    whole, part = divmod(basis_points, 100)
    return f"{whole}.{part:02d}%" if part else f"{whole}%"


def region_name(code: str) -> str:
    return REGION_NAMES.get(code, code)


def given_up(kinds: Iterable[str]) -> str:
    """The state in which a sale that failed or was cancelled ended; empty of any other."""
    return next((GIVEN_UP[kind] for kind in kinds if kind in GIVEN_UP), "")


def course(state: str, kinds: Sequence[str]) -> list[Stage]:
    """How far a sale is on the usual way; one that was given up has left it, archived or not.

    Args:
        state: The sale's.
        kinds: Of the steps it took, in order; they say where it was suspended.
    """
    if given_up(kinds):
        return []
    if state == "SUSPENDED":
        state = [REACHED_BY[kind] for kind in kinds if kind in REACHED_BY][-1]
    if state not in COURSE:
        return []
    at = COURSE.index(state)
    places = ["done"] * at + ["now"] + ["ahead"] * (len(COURSE) - at - 1)
    return [Stage(word, place) for word, place in zip(COURSE_WORDS, places, strict=True)]


def is_as_committed(plaintext: str | None, commitment: str) -> bool:
    """Whether the plaintext, filled with spaces again, is the one committed to before closing."""
    if plaintext is None:
        return False
    try:
        return sm3(plaintext.encode().ljust(BID_BYTES)) == unb64(commitment)
    except ValueError:
        return False


def behind(source: SourceStaleness) -> str:
    """Why a source may have more to tell than the page shows; empty if it has not."""
    if source.is_stopped:
        return "数据有疑问，已暂停更新"
    return f"尚有{source.lag_events}条待更新" if source.lag_events else ""


def page_count(total: int, page_size: int) -> int:
    return max(1, -(-total // page_size))


def channels(described: dict[str, Any]) -> list[dict[str, Any]]:
    """The wires of an AsyncAPI description, each with its events, for a person to read."""
    messages, schemas = described["components"]["messages"], described["components"]["schemas"]
    return [
        {
            "title": channel["title"],
            "address": channel["address"],
            "partitions": channel["bindings"]["kafka"]["partitions"],
            "events": [_event(name, messages[name], schemas) for name in channel["messages"]],
        }
        for channel in described["channels"].values()
    ]


def _event(name: str, message: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    data = message["payload"]["properties"]["data"]["$ref"].rpartition("/")[2]
    fields = list(schemas[data].get("properties", {}))
    return {"name": name, "summary": message.get("summary", ""), "fields": fields}
