"""What the demonstration tells: the plan's own numbers; every name is invented and marked 示例."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from marketkit.units import SHANGHAI

MARK = "（示例）"


def at(month: int, day: int, hour: int = 9, minute: int = 0) -> datetime:
    """An instant of the demonstration's year, in the city."""
    return datetime(2022, month, day, hour, minute, tzinfo=SHANGHAI)


BEGINS = at(4, 11)
# Quota of the province for other than 两高 projects.
_NOT_DUAL_HIGH = {"is_dual_high_barred": True}
POOL = {
    "account_kind": "POOL",
    "region_code": "370500",
    "asset": "ENERGY",
    "quantity": "780000.000",
    "document_no": "鲁政办字〔2022〕1号（示例）",
    "effective_on": "2022-04-06",
    "article": "art. 3",
    "restrictions": _NOT_DUAL_HIGH,
}


@dataclass(frozen=True)
class Unit:
    """One running extraction-condensing coal unit of the register (art. 4)."""

    number: int
    region_code: str
    capacity_mw: str

    @property
    def unit_id(self) -> str:
        return f"CN-370500-{self.number:02d}"

    @property
    def name(self) -> str:
        return f"{self.number}号抽凝机组{MARK}"


# 18 units, 1,203 MW in all, each below 300 MW.
_MEGAWATTS = (150, 135, 135, 100, 100, 83, 60, 60, 60, 60, 50, 50, 50, 30, 30, 25, 15, 10)
_COUNTIES = ("370502", "370503", "370505", "370522", "370523", "370571", "370572")
UNITS = tuple(
    Unit(number, _COUNTIES[(number - 1) % len(_COUNTIES)], str(megawatts))
    for number, megawatts in enumerate(_MEGAWATTS, 1)
)


RETIRE_BY = "2025-12-31"
REPLACEMENT = "周边大型机组集中供热与可再生能源替代（示例）"

# A province-dispatched public plant, as worked out in the plan's own cases.
SHUT_UNIT = UNITS[4]
SHUTDOWN = {
    "case": "PROV_DISPATCH_PLANT",
    "name": f"示例公用电厂关停{MARK}",
    "industry": "电力、热力生产和供应业",
    "region_code": SHUT_UNIT.region_code,
    "document_no": "鲁发改能源〔2022〕12号（示例）",
    "effective_on": "2022-05-10",
    "energy_tce": "90000.001",
    "coal_t": "300000.000",
    "unit_id": SHUT_UNIT.unit_id,
}
SHUTDOWN_AT = at(5, 12)


@dataclass(frozen=True)
class Bidder:
    """An enterprise with its project, what it registered for and what it offers."""

    name: str
    uscc: str
    project_code: str
    region_code: str
    quantity_max: str
    step: str
    note: str
    pays_deposit: bool = True
    wins: bool = False


# Supply 10,000 tce at a floor of 200.00: C and D in full, E cut at the margin, at 226.50.
BIDDERS = (
    Bidder(
        f"示例石化有限公司{MARK}",
        "91370502MA3DYAA19Q",
        "2203-370502-04-01-123456",
        "370502",
        "3000.000",
        "240.00:3000",
        note="未缴保证金",
        pays_deposit=False,
    ),
    Bidder(
        f"示例新材料有限公司{MARK}",
        "91370503MA3HKBB23P",
        "2203-370503-04-01-234567",
        "370503",
        "2000.000",
        "190.00:2000",
        note="低于底价",
    ),
    Bidder(
        f"示例精细化工有限公司{MARK}",
        "91370505MA3KLCC392",
        "2203-370505-04-01-345678",
        "370505",
        "4500.000",
        "236.00:4500",
        note="足额成交",
        wins=True,
    ),
    Bidder(
        f"示例绿色制造有限公司{MARK}",
        "91370522MA3LJDD46D",
        "2203-370522-04-01-456789",
        "370522",
        "3500.000",
        "230.00:3500",
        note="足额成交",
        wins=True,
    ),
    Bidder(
        f"示例装备科技有限公司{MARK}",
        "91370523MA3GREE529",
        "2203-370523-04-01-567890",
        "370523",
        "4000.000",
        "226.50:4000",
        note="边际截断",
        wins=True,
    ),
)

ISSUED = at(6, 1, 10)
ISSUE = {
    "account_kind": "PROVINCE",
    "region_code": "370000",
    "asset": "ENERGY",
    "quantity": "30000.000",
    "document_no": "鲁发改环资〔2022〕100号（示例）",
    "effective_on": "2022-06-01",
    "article": "art. 5",
    "restrictions": _NOT_DUAL_HIGH,
}

DRAFTED = at(6, 6)
DEPOSITS = at(6, 9, 16)
OPENS = at(6, 15)
REGISTRATION_CLOSES = at(6, 20, 17)
CLOSES = at(6, 24, 10)
OPENS_BY = at(6, 26, 17)
# After the seven days for which the result is public.
CONFIRMS = at(7, 4)
PAYS = at(7, 6)
DELIVERS = at(7, 8)
ARCHIVES = at(7, 11)

TREASURY_RECEIPT = "鲁财缴〔2022〕示例"

TITLE = f"2022年第一批能耗指标市场竞购{MARK}"
BODY = (
    "山东省收储能耗指标一批，按《2022年要素保障创新工作方案》第五条以市场竞购方式出让。"
    "密封报价，统一成交价，价格优先、时间优先；数量单位为吨标准煤。本公告为演示数据。"
)
SALE = {
    "title": TITLE,
    "body": BODY,
    "asset": "ENERGY",
    "format": "SEALED",
    "supply": "10000.000",
    "lot_size": "1.000",
    "floor_price_yuan": "200.00",
    "price_rule": "LOWEST_ACCEPTED",
    "tie_rule": "TIME",
    "undersubscribed": "SELL",
    "purchase_limit": None,
    "bidders_min": 1,
    "deposit_ratio_bp": 2000,
    "pay_days": 7,
    "publicity_days": 7,
    "registration_closes_at": REGISTRATION_CLOSES.isoformat(),
    "opens_at": OPENS.isoformat(),
    "closes_at": CLOSES.isoformat(),
    "deposit_due_at": CLOSES.isoformat(),
    "opens_by": OPENS_BY.isoformat(),
    "fair_review": {
        "document_no": "东市监竞审〔2022〕6号（示例）",
        "reviewed_on": "2022-06-02",
        "has_locality_condition": False,
        "has_ownership_condition": False,
        "has_designated_supplier": False,
    },
}


def minutes_after(instant: datetime, minutes: int) -> datetime:
    return instant + timedelta(minutes=minutes)
