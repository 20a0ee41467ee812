"""Clearing tried out 试算: the sale's own code on an official's input, nothing stored. Pure."""

import re
import unicodedata
from collections.abc import Iterator
from typing import Annotated

from pydantic import AfterValidator, StringConstraints

from marketkit.errors import FieldFault, InputInvalid
from marketkit.units import TCE, YUAN, Form, Instant, PriceYuan, QuantityTce
from saleroom.clearing import (
    Bid,
    Outcome,
    PriceRule,
    RejectionCode,
    Terms,
    TieRule,
    Undersubscribed,
    clear,
)


def _as_written(text: str) -> str:
    # A draw hashes the id as written: it is refused rather than normalized.
    unseen = {"Cc", "Cf", "Cs", "Co"}
    if text.isspace() or any(unicodedata.category(character) in unseen for character in text):
        raise ValueError("含有不允许的字符")
    return text


def _seed(text: str) -> str:
    if not re.fullmatch(r"([0-9A-Fa-f]{2})*", text, re.ASCII):
        raise ValueError("须为十六进制文本")
    return text


Id = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(_as_written)]
Seed = Annotated[str, AfterValidator(_seed)]


class BidIn(Form):
    bid_id: Id
    bidder: Id
    price_yuan: PriceYuan
    quantity: QuantityTce
    submitted_at: Instant
    min_accept_quantity: QuantityTce | None = None


class ClearingIn(Form):
    """A sale's terms and its bids; quantities with up to three decimals."""

    supply: QuantityTce
    floor_price_yuan: PriceYuan
    lot_size: QuantityTce
    price_rule: PriceRule
    tie_rule: TieRule
    undersubscribed: Undersubscribed
    purchase_limit: QuantityTce | None = None
    seed: Seed | None = None
    bids: list[BidIn]


class AwardOut(Form):
    bid_id: str
    quantity: str
    price_yuan: str
    amount_yuan: str


class RejectedOut(Form):
    bid_id: str
    code: RejectionCode


class ClearingOut(Form):
    """Awards in the order served, rejected bids in the order of the input."""

    outcome: Outcome
    clearing_price_yuan: str | None
    sold: str
    unsold: str
    awards: list[AwardOut]
    rejected: list[RejectedOut]
    proceeds_yuan: str


def clear_trial(form: ClearingIn, policy: object = None) -> ClearingOut:
    """The clearing of these bids under these terms; the notice fixes them, no policy bears on it.

    Raises:
        InputInvalid: a `bid_id` used twice; a least quantity above its bid's, or with `PRO_RATA`.
    """
    faults = list(_faults(form))
    if faults:
        raise InputInvalid(errors=faults)
    clearing = clear(_terms(form), [_bid(bid) for bid in form.bids])
    price_fen = clearing.clearing_price_fen
    return ClearingOut(
        outcome=clearing.outcome,
        clearing_price_yuan=None if price_fen is None else YUAN.format(price_fen),
        sold=TCE.format(clearing.sold_minor),
        unsold=TCE.format(clearing.unsold_minor),
        awards=[
            AwardOut(
                bid_id=award.bid_id,
                quantity=TCE.format(award.quantity_minor),
                price_yuan=YUAN.format(award.price_fen),
                amount_yuan=YUAN.format(award.amount_fen),
            )
            for award in clearing.awards
        ],
        rejected=[RejectedOut(bid_id=bid.bid_id, code=bid.code) for bid in clearing.rejected],
        proceeds_yuan=YUAN.format(clearing.proceeds_fen),
    )


def _faults(form: ClearingIn) -> Iterator[FieldFault]:
    used: set[str] = set()
    for place, bid in enumerate(form.bids):
        if bid.bid_id in used:
            yield FieldFault(f"/bids/{place}/bid_id", "报价编号重复")
        used.add(bid.bid_id)
        least = bid.min_accept_quantity
        if least is None:
            continue
        if form.tie_rule == "PRO_RATA":
            yield FieldFault(f"/bids/{place}/min_accept_quantity", "按比例分配时不得设最低接受数量")
        elif least > bid.quantity:
            yield FieldFault(f"/bids/{place}/min_accept_quantity", "最低接受数量大于申报数量")


def _terms(form: ClearingIn) -> Terms:
    return Terms(
        supply_minor=form.supply,
        floor_fen=form.floor_price_yuan,
        lot_minor=form.lot_size,
        unit=TCE,
        price_rule=form.price_rule,
        tie_rule=form.tie_rule,
        undersubscribed=form.undersubscribed,
        purchase_limit_minor=form.purchase_limit,
        seed=bytes.fromhex(form.seed or ""),
    )


def _bid(bid: BidIn) -> Bid:
    return Bid(
        bid_id=bid.bid_id,
        bidder=bid.bidder,
        price_fen=bid.price_yuan,
        quantity_minor=bid.quantity,
        submitted_at=bid.submitted_at,
        min_accept_minor=bid.min_accept_quantity,
    )
