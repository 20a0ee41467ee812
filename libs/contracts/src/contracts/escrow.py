"""Facts of the escrow account: files, money that goes back, records taken back, forfeits.

What may be told before an opening tells neither sums nor counts nor whose.
"""

from typing import ClassVar

from marketkit.facts import Fact
from marketkit.units import AmountYuan


class BankFileKept(Fact):
    """A file of the bank was taken in as it came; its digest (SM3) is its name."""

    kind: ClassVar[str] = "bank_file.kept"
    sm3: str


class StrayReturnDecided(Fact):
    """Money that belongs nowhere is to go back to where it came from."""

    kind: ClassVar[str] = "stray.return_decided"
    booking_id: str


class StrayReturned(Fact):
    """The bank has paid money that belonged nowhere back to where it came from."""

    kind: ClassVar[str] = "stray.returned"
    booking_id: str


class DepositReturned(Fact):
    """The bank has paid a deposit, or what of it exceeded the price, back to where it came from."""

    kind: ClassVar[str] = "sale.deposit_returned"
    registration_id: str


class DepositReversed(Fact):
    """A deposit was recorded wrongly: two people took the record back, by a document."""

    kind: ClassVar[str] = "sale.deposit_reversed"
    registration_id: str
    document_no: str


class PaymentReversed(Fact):
    """A payment was recorded wrongly: two people took the record back, by a document."""

    kind: ClassVar[str] = "payment.reversed"
    is_step: ClassVar[bool] = True
    registration_id: str
    amount_yuan: AmountYuan
    document_no: str


class ForfeitRemitted(Fact):
    """The treasury's receipt of a forfeited deposit."""

    kind: ClassVar[str] = "forfeit.remitted"
    registration_id: str
    amount_yuan: AmountYuan
    treasury_receipt_no: str
