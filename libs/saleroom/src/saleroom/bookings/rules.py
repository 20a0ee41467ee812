"""What a booking of the bank is, whose it may be, and what a deposit bears. Pure."""

import re
import unicodedata
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal

from marketkit.errors import Conflict, NotFound, RuleBroken
from marketkit.units import AmountYuan, Form, Id, Instant, Text, half_up

Direction = Literal["IN", "OUT"]

SUB_ACCOUNT_DIGITS = 14
DAYS_OF_YEAR = 365
_BRACKETS = str.maketrans("（）［］｛｝【】", "()[]{}[]")


class BankSerialUsed(Conflict):
    title = "该银行流水号已登记"


class TreasuryReceiptUsed(Conflict):
    title = "该缴库凭证号已登记"


class BankLinesUnresolved(Conflict):
    title = "尚有款项未处理，请先逐笔入账或决定退回"


class BankBookingUnknown(NotFound):
    title = "银行流水不存在"


class ThirdPartyPayer(RuleBroken):
    title = "付款户名与报名单位名称不一致，不接受第三方付款"
    article = "notice"


@dataclass(frozen=True)
class Line:
    """One booking as the bank states it; `other_*` are unknown where a person typed it."""

    bank_serial: str
    direction: Direction
    amount_fen: int
    booked_at: datetime
    other_name: str | None = None
    other_account: str | None = None
    sub_account: str = ""
    memo: str = ""


class BookedIn(Form):
    """Money in escrow as an officer types the bank's booking of it."""

    amount_yuan: AmountYuan
    booked_at: Instant
    bank_serial: Id
    payer_name: Text | None = None
    payer_account: Id | None = None

    @property
    def line(self) -> Line:
        return Line(
            self.bank_serial,
            "IN",
            self.amount_yuan,
            self.booked_at,
            self.payer_name,
            self.payer_account,
        )


def with_check_digits(digits: str) -> str:
    """Twelve digits with two that check them (ISO 7064 MOD 97-10)."""
    return f"{digits}{98 - int(digits) * 100 % 97:02d}"


def is_sub_account(text: str) -> bool:
    """Whether the text can be a sub-account's number: fourteen digits that check."""
    shape = rf"[0-9]{{{SUB_ACCOUNT_DIGITS}}}"
    return bool(re.fullmatch(shape, text, re.ASCII)) and int(text) % 97 == 1


def folded(name: str) -> str:
    """A party's name as far as two spellings of it are the same: NFC, brackets, no spaces."""
    plain = unicodedata.normalize("NFC", name).translate(_BRACKETS)
    return "".join(plain.split())


def check_payer(payer_name: str | None, registered_name: str) -> None:
    """Return if the payer is who registered, as far as the bank said who paid.

    Raises:
        ThirdPartyPayer: the payer's account bears another name; `notice`.
    """
    if payer_name is not None and folded(payer_name) != folded(registered_name):
        raise ThirdPartyPayer()


def is_same(stored: Line, said: Line, *, is_typed: bool) -> bool:
    """Whether a line says what is stored under its serial.

    What a person typed need not say who paid, and never says to which sub-account.
    """
    plain = ("direction", "amount_fen", "booked_at")
    if any(getattr(stored, name) != getattr(said, name) for name in plain):
        return False
    unsaid = {None, ""} if is_typed else set[str | None]()
    return (
        (
            stored.other_name in unsaid
            or folded(stored.other_name or "") == folded(said.other_name or "")
        )
        and stored.other_account in unsaid | {said.other_account}
        and stored.sub_account in unsaid | {said.sub_account}
    )


def interest_fen(amount_fen: int, rate_bp: int, since: date, until: date) -> int:
    """Simple interest, act/365, rounded half up to the fen: amount × rate × days / 365.

    Args:
        amount_fen: The principal.
        rate_bp: Hundredths of a percent a year.
        since: The day of the bank's booking, which bears interest.
        until: The day its return was decided, which does not.
    """
    days = max(0, (until - since).days)
    return half_up(amount_fen * rate_bp * days, 10_000 * DAYS_OF_YEAR)
