"""Facts of a sale, the same in both trading markets: `yaosu.<market>.sale.…`, the sale as key.

Before the opening no fact says who takes part, how many, or at what price.
"""

from typing import ClassVar, Literal

from marketkit.facts import Fact
from marketkit.movements import Movement
from marketkit.units import AmountYuan, AmountYuanOrZero, Form, Instant, PriceYuan, Quantity

Format = Literal["SEALED"]
PriceRule = Literal["LOWEST_ACCEPTED", "HIGHEST_REJECTED", "PAY_AS_BID"]
TieRule = Literal["TIME", "RANDOM", "PRO_RATA"]
Undersubscribed = Literal["SELL", "CANCEL"]
Outcome = Literal["SOLD", "PARTLY_SOLD", "FAILED", "CANCELLED"]


class SaleTerms(Form):
    """What a notice fixes: asset, supply, price and rules. Instants stand in `Timetable`."""

    asset: str
    unit: str
    format: Format
    supply: Quantity
    lot_size: Quantity
    floor_price_yuan: PriceYuan
    price_rule: PriceRule
    tie_rule: TieRule
    undersubscribed: Undersubscribed
    purchase_limit: Quantity | None = None
    bidders_min: int
    deposit_ratio_bp: int
    deposit_interest_bp: int = 0
    is_dual_high_barred: bool
    steps_max: int


class Timetable(Form):
    """The instants of a sale; a suspension moves those still to come by its length."""

    registration_closes_at: Instant
    opens_at: Instant
    closes_at: Instant
    deposit_due_at: Instant
    opens_by: Instant
    pay_days: int
    publicity_days: int


class WrappedShare(Form):
    """One key officer's share of the sale's private key, readable by that officer alone."""

    officer: str
    share: str


class SaleKey(Form):
    """The key bids are encrypted to, its SM3, and the committed secret of the draw."""

    public_key: str
    key_sm3: str
    draw_secret_sha256: str
    draw_secret_ciphertext: str


class SaleDrafted(Fact):
    kind: ClassVar[str] = "sale.drafted"
    title: str
    format: Format


class SaleAnnounced(Fact):
    """The notice: terms, timetable, the key to bid to; the supply is held from this moment.

    `drilled_at` is when the last of the five key officers proved that it can use its key.
    """

    kind: ClassVar[str] = "sale.announced"
    is_step: ClassVar[bool] = True
    title: str
    body: str
    seller: str
    terms: SaleTerms
    timetable: Timetable
    key: SaleKey
    drilled_at: Instant
    follows_sale_id: str | None = None
    movements: list[Movement]


class SaleRegistered(Fact):
    kind: ClassVar[str] = "sale.registered"
    registration_id: str


class SaleQualified(Fact):
    kind: ClassVar[str] = "sale.qualified"
    registration_id: str
    verdict: Literal["QUALIFIED", "REFUSED"]


class RegistrationWithdrawn(Fact):
    kind: ClassVar[str] = "sale.registration_withdrawn"
    registration_id: str


class DepositConfirmed(Fact):
    kind: ClassVar[str] = "sale.deposit_confirmed"
    registration_id: str


class SaleOpenedForBids(Fact):
    kind: ClassVar[str] = "sale.opened_for_bids"
    is_step: ClassVar[bool] = True


class SealedBidPlaced(Fact):
    """A bid was taken in: an opaque receipt and the commitment to what it says."""

    kind: ClassVar[str] = "sale.sealed_bid_placed"
    receipt_id: str
    commitment: str


class SealedBidWithdrawn(Fact):
    kind: ClassVar[str] = "sale.sealed_bid_withdrawn"
    receipt_id: str


class SaleClosed(Fact):
    kind: ClassVar[str] = "sale.closed"
    is_step: ClassVar[bool] = True
    closed_at: Instant


class DepositsReconciled(Fact):
    kind: ClassVar[str] = "sale.deposits_reconciled"


class OpeningConfirmed(Fact):
    """Two people want the sale opened; key officers may now look for the session key."""

    kind: ClassVar[str] = "sale.opening_confirmed"
    is_step: ClassVar[bool] = True
    opening_id: str


class OpeningSessionBegun(Fact):
    """The opener's key for this opening, to which officers wrap their shares."""

    kind: ClassVar[str] = "sale.opening_session_begun"
    opening_id: str
    session_id: str
    session_key: str


class OpeningSessionFailed(Fact):
    """The shares did not join; the officers are asked again, to another key."""

    kind: ClassVar[str] = "sale.opening_session_failed"
    opening_id: str
    session_id: str


class RevealedBid(Form):
    """A bid that stood at closing, as decrypted, or why it is void.

    `plaintext` is without the spaces that fill it to 4,096 bytes: add them to check `commitment`.
    """

    receipt_id: str
    registration_id: str
    bidder: str
    bidder_name: str
    project_code: str
    quantity_max: Quantity
    version: int
    submitted_at: Instant
    commitment: str
    plaintext: str | None = None
    void_code: str | None = None


class BidsRevealed(Fact):
    """One numbered part of all bids, void ones included."""

    kind: ClassVar[str] = "sale.bids_revealed"
    part: int
    part_count: int
    bids: list[RevealedBid]


class SaleOpened(Fact):
    """The bids are told; with the secret of the draw, the seed and how many parts there are."""

    kind: ClassVar[str] = "sale.opened"
    is_step: ClassVar[bool] = True
    opening_id: str
    part_count: int
    draw_secret: str
    seed: str


class AwardedStep(Form):
    """One step of one bid that gets something."""

    bid_id: str
    registration_id: str
    bidder: str
    bidder_name: str
    project_code: str
    quantity: Quantity
    price_yuan: PriceYuan
    amount_yuan: AmountYuan


class RejectedStep(Form):
    bid_id: str
    code: str


class SaleCleared(Fact):
    """One numbered part of the result anyone can recompute: terms, revealed bids, seed.

    Every part says the whole's outcome, price and sums; awards and rejected steps go on from part
    to part.
    """

    kind: ClassVar[str] = "sale.cleared"
    is_step: ClassVar[bool] = True
    part: int = 1
    part_count: int = 1
    outcome: Outcome
    clearing_price_yuan: PriceYuan | None = None
    sold: Quantity
    unsold: Quantity
    proceeds_yuan: AmountYuanOrZero
    awards: list[AwardedStep]
    rejected: list[RejectedStep]


class SaleConfirmed(Fact):
    """The result stands; what was not sold is released."""

    kind: ClassVar[str] = "sale.confirmed"
    is_step: ClassVar[bool] = True
    movements: list[Movement]


class DepositRefunded(Fact):
    """A deposit is to go back; how much is told only once the bids are: it tells the quantity."""

    kind: ClassVar[str] = "sale.deposit_refunded"
    registration_id: str
    amount_yuan: AmountYuan | None = None
    interest_yuan: AmountYuanOrZero | None = None
    refund_due_at: Instant


class ContractSigned(Fact):
    kind: ClassVar[str] = "sale.contract_signed"
    registration_id: str
    amount_yuan: AmountYuan
    deposit_yuan: AmountYuanOrZero
    due_yuan: AmountYuanOrZero
    pay_by: Instant


class PaymentRecorded(Fact):
    """The full price is in escrow; the deposit counts as part of it from now on."""

    kind: ClassVar[str] = "payment.recorded"
    registration_id: str
    amount_yuan: AmountYuan
    deposit_converted_yuan: AmountYuanOrZero


class SalePaid(Fact):
    kind: ClassVar[str] = "sale.paid"
    is_step: ClassVar[bool] = True
    registration_id: str


class RevenueRemitted(Fact):
    """The treasury's receipt of one participant's price."""

    kind: ClassVar[str] = "revenue.remitted"
    registration_id: str
    amount_yuan: AmountYuan
    treasury_receipt_no: str


class QuotaCredited(Fact):
    """Quota reached the buyer's account, after the money reached the treasury."""

    kind: ClassVar[str] = "quota.credited"
    registration_id: str
    account: str
    quantity: Quantity
    asset: str
    movements: list[Movement]


class SaleDelivered(Fact):
    kind: ClassVar[str] = "sale.delivered"
    is_step: ClassVar[bool] = True
    registration_id: str


class DeliveryReversed(Fact):
    """A delivery was wrong: by a document and two people the quota is held under the sale again.

    The price stays paid and remitted; the contract waits for the right delivery.
    """

    kind: ClassVar[str] = "sale.delivery_reversed"
    is_step: ClassVar[bool] = True
    registration_id: str
    account: str
    quantity: Quantity
    asset: str
    document_no: str
    reason: str
    movements: list[Movement]


class SaleDefaulted(Fact):
    """A winner did not sign or pay in time: deposit forfeited, quantity released."""

    kind: ClassVar[str] = "sale.defaulted"
    is_step: ClassVar[bool] = True
    registration_id: str
    forfeited_yuan: AmountYuanOrZero
    movements: list[Movement]


class SaleSuspended(Fact):
    kind: ClassVar[str] = "sale.suspended"
    is_step: ClassVar[bool] = True
    reason: str


class SaleResumed(Fact):
    kind: ClassVar[str] = "sale.resumed"
    is_step: ClassVar[bool] = True
    timetable: Timetable


class SaleCorrected(Fact):
    """The notice as it stands from now on; those registered must accept it to go on bidding."""

    kind: ClassVar[str] = "sale.corrected"
    is_step: ClassVar[bool] = True
    correction: int
    text: str
    body: str
    timetable: Timetable


class CorrectionAccepted(Fact):
    """One of those registered goes on under a corrected notice."""

    kind: ClassVar[str] = "sale.correction_accepted"
    registration_id: str
    correction: int


class SaleFailed(Fact):
    """No sale: no valid bid, cancelled by its terms, or not opened in time. All is given back."""

    kind: ClassVar[str] = "sale.failed"
    is_step: ClassVar[bool] = True
    reason: Literal["NO_AWARD", "UNDERSUBSCRIBED", "TOO_FEW_BIDDERS", "NOT_OPENED_IN_TIME"]
    movements: list[Movement]


class SaleCancelled(Fact):
    kind: ClassVar[str] = "sale.cancelled"
    is_step: ClassVar[bool] = True
    reason: str
    movements: list[Movement]


class SaleSettled(Fact):
    kind: ClassVar[str] = "sale.settled"
    is_step: ClassVar[bool] = True


class SaleArchived(Fact):
    kind: ClassVar[str] = "sale.archived"
    is_step: ClassVar[bool] = True
