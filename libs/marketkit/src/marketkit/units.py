"""Units: integers in minor units inside, strict decimal strings at the edges, exact splits.

The only place where one becomes the other. Input is never rounded. Pure.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cache
from typing import Annotated, Any, NewType
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    StringConstraints,
)
from pydantic_core import core_schema

Fen = NewType("Fen", int)
Kgce = NewType("Kgce", int)
KgCoal = NewType("KgCoal", int)
GramsPerYear = NewType("GramsPerYear", int)
MuE4 = NewType("MuE4", int)

MINOR_MAX = 2**63 - 1
SHANGHAI = ZoneInfo("Asia/Shanghai")


@cache
def _decimal(places: int, signed: bool) -> re.Pattern[str]:
    fraction = rf"(\.[0-9]{{1,{places}}})?" if places else ""
    return re.compile(("-?" if signed else "") + r"(0|[1-9][0-9]{0,18})" + fraction, re.ASCII)


@dataclass(frozen=True)
class Unit:
    """A unit people use and the decimal places it has; its minor unit is 10^-places of it."""

    name: str
    places: int

    @property
    def scale(self) -> int:
        return int(10**self.places)

    def pattern(self, signed: bool = False) -> str:
        return _decimal(self.places, signed).pattern

    def parse(self, text: str, *, signed: bool = False) -> int:
        """The quantity in minor units; ValueError, saying nothing of the text, if malformed."""
        if len(text) > 40 or not _decimal(self.places, signed).fullmatch(text):
            raise ValueError(f"须为十进制数字文本，至多{self.places}位小数")
        whole, _, fraction = text.partition(".")
        minor = int(whole + fraction.ljust(self.places, "0"))
        if abs(minor) > MINOR_MAX:
            raise ValueError("数值超出可表示范围")
        return minor

    def format(self, minor: int) -> str:
        """The decimal string with all places of the unit."""
        whole, fraction = divmod(abs(minor), self.scale)
        sign = "-" if minor < 0 else ""
        return f"{sign}{whole}.{fraction:0{self.places}d}" if self.places else f"{sign}{whole}"

    def edge(self, minor: int) -> Any:
        """The same text for a field that reads it back; such a field's type is the minor unit."""
        return self.format(minor)


TCE = Unit("tce", 3)
TONNE = Unit("t", 3)
TONNE_PER_YEAR = Unit("t/a", 6)
MU = Unit("mu", 4)
YUAN = Unit("yuan", 2)
MW = Unit("MW", 3)
PERCENT = Unit("%", 2)
DAYS = Unit("day", 2)

ASSET_UNITS = {"ENERGY": TCE, "COAL": TONNE}


@dataclass(frozen=True)
class Edge:
    """Pydantic type of a decimal string at an edge: text outside, minor units inside."""

    unit: Unit
    positive: bool = False
    signed: bool = False

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        def read(text: str) -> int:
            minor = self.unit.parse(text, signed=self.signed)
            if self.positive and minor <= 0:
                raise ValueError("必须大于零")
            return minor

        # A pattern alone tells a reader of the description that zero is not positive.
        not_zero = r"(?![0.]+$)" if self.positive else ""
        pattern = f"^{not_zero}{self.unit.pattern(self.signed)}$"
        return core_schema.no_info_after_validator_function(
            read,
            core_schema.str_schema(strict=True),
            serialization=core_schema.plain_serializer_function_ser_schema(
                self.unit.format, return_schema=core_schema.str_schema()
            ),
            metadata={
                "pydantic_js_updates": {"type": "string", "format": "decimal", "pattern": pattern}
            },
        )


QuantityTce = Annotated[Kgce, Edge(TCE, positive=True)]
QuantityTceOrZero = Annotated[Kgce, Edge(TCE)]
QuantityTonne = Annotated[KgCoal, Edge(TONNE, positive=True)]
QuantityTonneOrZero = Annotated[KgCoal, Edge(TONNE)]
AmountYuan = Annotated[Fen, Edge(YUAN, positive=True)]
AmountYuanOrZero = Annotated[Fen, Edge(YUAN)]
PriceYuan = Annotated[Fen, Edge(YUAN, positive=True)]
# A quantity whose unit its sale or asset says: text until parsed by ASSET_UNITS[asset].
_DECIMAL = Field(json_schema_extra={"format": "decimal"})
Quantity = Annotated[
    str, StringConstraints(pattern=r"^(0|[1-9][0-9]{0,18})(\.[0-9]{1,6})?$"), _DECIMAL
]
SignedQuantity = Annotated[
    str, StringConstraints(pattern=r"^-?(0|[1-9][0-9]{0,18})(\.[0-9]{1,6})?$"), _DECIMAL
]

_INSTANT = re.compile(
    r"\d{4}-\d\d-\d\dT([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,6})?(Z|[+-]\d\d:[0-5]\d)", re.ASCII
)
_FIRST, _LAST = datetime(1902, 1, 1, tzinfo=UTC), datetime(3000, 1, 1, tzinfo=UTC)
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


def _read_instant(value: object) -> datetime:
    if isinstance(value, str) and _INSTANT.fullmatch(value):
        value = datetime.fromisoformat(value)
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise ValueError("须为带时区偏移的RFC 3339时间")
    return in_reach(value)


def in_reach(at: datetime) -> datetime:
    """The instant in UTC, if days can be added to it and any zone can say it; else ValueError."""
    # A row whose instant cannot be read would stop whoever comes upon it, for ever; and before 1901
    # the city went by the sun, by seconds of an offset that RFC 3339 cannot say.
    if not _FIRST <= at < _LAST:
        raise ValueError("年份须在1902至2999之间")
    return at.astimezone(UTC)


def _read_day(value: object) -> date:
    if isinstance(value, str) and _DAY.fullmatch(value):
        return date.fromisoformat(value)
    if type(value) is date:
        return value
    raise ValueError("须为YYYY-MM-DD日期")


def _edge_of(read: Any, write: Any, form: str) -> Any:
    class _Schema:
        @classmethod
        def __get_pydantic_core_schema__(
            cls, source: Any, handler: GetCoreSchemaHandler
        ) -> core_schema.CoreSchema:
            return core_schema.no_info_plain_validator_function(
                read,
                json_schema_input_schema=core_schema.str_schema(),
                serialization=core_schema.plain_serializer_function_ser_schema(
                    write, return_schema=core_schema.str_schema()
                ),
                metadata={"pydantic_js_updates": {"type": "string", "format": form}},
            )

    return _Schema


def format_instant(at: datetime) -> str:
    """RFC 3339 in the city's own zone, microseconds kept; of an instant in reach."""
    return at.astimezone(SHANGHAI).isoformat()


Instant = Annotated[datetime, _edge_of(_read_instant, format_instant, "date-time")]
Day = Annotated[date, _edge_of(_read_day, date.isoformat, "date")]


_TWINS = {"Cc", "Cf", "Cs", "Co"}


def _clean(text: str) -> str:
    # Cc, Cf, Cs: controls, zero-width and direction marks, lone surrogates make twins of names; no
    # XML, as of the board's feed, can say the last two.
    if any(unicodedata.category(c) in _TWINS or c in "\ufffe\uffff" for c in text):
        raise ValueError("含有不允许的字符")
    cleaned = unicodedata.normalize("NFC", text).strip()
    if not cleaned:
        raise ValueError("不得为空白")
    return cleaned


_PLAIN = Field(json_schema_extra={"format": "plain-text"})
Text = Annotated[
    str, StringConstraints(min_length=1, max_length=200), AfterValidator(_clean), _PLAIN
]
LongText = Annotated[
    str, StringConstraints(min_length=1, max_length=4000), AfterValidator(_clean), _PLAIN
]
# What a machine calls something: an id, a code, a key's text.
Id = Annotated[str, StringConstraints(pattern=r"^[!-~]{1,200}$")]
# Read by `signing.unb64`, which takes no padding.
Base64Url = Annotated[str, Field(max_length=16_000, json_schema_extra={"format": "base64url"})]


class Form(BaseModel):
    """What stands at an edge: strict, frozen, unknown fields refused."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


def day_of(at: datetime) -> date:
    """The day on which an instant falls in the city."""
    return at.astimezone(SHANGHAI).date()


def split(total: int, weights: Sequence[int]) -> list[int]:
    """Shares of `total` by largest remainder, ties to the earlier; they sum to `total` exactly."""
    whole = sum(weights)
    shares = [total * weight // whole for weight in weights]
    by_remainder = sorted(range(len(weights)), key=lambda i: (-(total * weights[i] % whole), i))
    for i in by_remainder[: total - sum(shares)]:
        shares[i] += 1
    return shares


def half_up(numerator: int, denominator: int) -> int:
    """The quotient of two non-negative integers, ROUND_HALF_UP."""
    return (2 * numerator + denominator) // (2 * denominator)


def amount_fen(price_fen: int, quantity_minor: int, unit: Unit) -> Fen:
    """Money of one award: price of a whole unit × quantity, rounded once to the fen."""
    return Fen(half_up(price_fen * quantity_minor, unit.scale))
