"""A sale's result once more, from what was told of it: terms, revealed bids, seed. Pure.

The owner clears by `cleared_of` and whoever checks the owner by `recompute`, which calls it.
"""

from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Any, Literal, NamedTuple, TypeVar

from contracts.sale import (
    AwardedStep,
    BidsRevealed,
    RejectedStep,
    RevealedBid,
    SaleAnnounced,
    SaleCleared,
    SaleOpened,
    SaleTerms,
)
from marketkit.signing import unb64
from marketkit.units import ASSET_UNITS, MINOR_MAX, YUAN, Form, Unit
from saleroom.clearing import Award, Bid, Clearing, Terms, clear
from saleroom.sealing import (
    PLAINTEXT_BYTES,
    BidKeyWrong,
    BidMalformed,
    BidSizeWrong,
    BidUnreadable,
    BidVoid,
    CommitmentMismatch,
    read_bid,
)
from saleroom.shares import draw_seed

# An event may be 512 KB, its envelope and the fields beside the list included.
PART_BYTES = 384 * 1024

F = TypeVar("F", bound=Form)
FailureReason = Literal["NO_AWARD", "UNDERSUBSCRIBED", "TOO_FEW_BIDDERS"]


class TooManySteps(BidVoid):
    title = "密封报价的价位数超过公告所定"
    article = "notice"


# What may void a bid whose plaintext, where it is told, must show it: none is of the unreadable.
_SEEN = {BidUnreadable.code, CommitmentMismatch.code, BidMalformed.code}
# And what no plaintext shows: of the bidder, or of the ciphertext, which is not told.
_UNSEEN = {
    "NOT_QUALIFIED",
    "CORRECTION_NOT_ACCEPTED",
    "DEPOSIT_NOT_CONFIRMED",
    BidKeyWrong.code,
    BidSizeWrong.code,
}


class Offer(NamedTuple):
    """One step of a bid as the clearing takes it, and the bid it stands in."""

    bid: Bid
    revealed: RevealedBid


def recompute(
    announced: SaleAnnounced, opened: SaleOpened, parts: Sequence[BidsRevealed]
) -> SaleCleared:
    """The result that follows from the facts told, in one part: compare it with `whole(told)`."""
    bids = [bid for part in parts for bid in part.bids]
    return cleared_of(announced.terms, bytes.fromhex(opened.seed), bids)


def cleared_of(terms: SaleTerms, seed: bytes, revealed: Sequence[RevealedBid]) -> SaleCleared:
    """The result of a sale under its terms and the seed of its draws, in one part.

    It is `FAILED` with fewer bidders than `bidders_min`; who has a step that may be served counts.
    """
    unit = ASSET_UNITS[terms.asset]
    offers = list(offers_of(revealed, unit))
    barred = _barred(terms, offers)
    admitted = [offer.bid for offer in offers if offer.bid.bid_id not in barred]
    clearing = clear(_terms(terms, seed, revealed), admitted)
    codes: Mapping[str, str] = barred | dict(clearing.rejected)
    if _bidder_count(offers, codes) < terms.bidders_min:
        clearing = _none_sold(unit.parse(terms.supply))
    by_id = {offer.bid.bid_id: offer.revealed for offer in offers}
    return SaleCleared(
        **_sums(clearing, unit),
        awards=[_awarded(award, by_id[award.bid_id], unit) for award in clearing.awards],
        rejected=[
            RejectedStep(bid_id=bid.bid_id, code=codes[bid.bid_id])
            for bid, _ in offers
            if bid.bid_id in codes
        ],
    )


def reason_of(
    terms: SaleTerms, cleared: SaleCleared, revealed: Sequence[RevealedBid]
) -> FailureReason | None:
    """Why the sale ends without a deal; None if something is sold."""
    if cleared.outcome == "CANCELLED":
        return "UNDERSUBSCRIBED"
    if cleared.outcome != "FAILED":
        return None
    codes = {step.bid_id: step.code for step in cleared.rejected}
    count = _bidder_count(list(offers_of(revealed, ASSET_UNITS[terms.asset])), codes)
    return "TOO_FEW_BIDDERS" if 0 < count < terms.bidders_min else "NO_AWARD"


def offers_of(revealed: Sequence[RevealedBid], unit: Unit) -> Iterator[Offer]:
    """Every step of the bids that are not void; `bid_id` is the receipt and the step's number.

    Raises:
        BidVoid: A bid said to be good is not the one committed to, or none.
    """
    for one in revealed:
        if one.void_code is None:
            steps = read_bid(padded(one), unb64(one.commitment), unit)
            for number, step in enumerate(steps, 1):
                bid = Bid(
                    bid_id=f"{one.receipt_id}-{number}",
                    bidder=one.bidder,
                    price_fen=step.price_fen,
                    quantity_minor=step.quantity_minor,
                    submitted_at=one.submitted_at,
                    min_accept_minor=step.min_accept_minor,
                )
                yield Offer(bid, one)


def padded(bid: RevealedBid) -> bytes:
    """The bytes that were committed to; they are told without the spaces at their end."""
    return (bid.plaintext or "").encode().ljust(PLAINTEXT_BYTES)


def in_parts(forms: Sequence[F]) -> list[list[F]]:
    """The same in their order, in as many lists as events must carry them; none if none."""
    parts: list[list[F]] = []
    left_bytes = 0
    for form in forms:
        size = len(form.model_dump_json().encode()) + 1
        if not parts or size > left_bytes:
            parts.append([])
            left_bytes = PART_BYTES
        parts[-1].append(form)
        left_bytes -= size
    return parts


def cleared_parts(cleared: SaleCleared) -> list[SaleCleared]:
    """A result in numbered parts, each small enough for an event; at least one."""
    slices = in_parts([*cleared.awards, *cleared.rejected]) or [[]]
    return [
        cleared.model_copy(
            update={
                "part": number,
                "part_count": len(slices),
                "awards": [step for step in steps if isinstance(step, AwardedStep)],
                "rejected": [step for step in steps if isinstance(step, RejectedStep)],
            }
        )
        for number, steps in enumerate(slices, 1)
    ]


def whole(parts: Sequence[SaleCleared]) -> SaleCleared:
    """A result told in parts, as one again."""
    return parts[0].model_copy(
        update={
            "part": 1,
            "part_count": 1,
            "awards": [award for part in parts for award in part.awards],
            "rejected": [step for part in parts for step in part.rejected],
        }
    )


def opening_faults(
    announced: SaleAnnounced,
    commitments: Mapping[str, str],
    opened: SaleOpened,
    parts: Sequence[BidsRevealed],
) -> Iterator[str]:
    """What of an opening does not follow from what was told before it; nothing if all does.

    Args:
        commitments: By receipt, of every bid told before closing, in the order of the chain.
    """
    if [part.part for part in parts] != list(range(1, opened.part_count + 1)):
        yield "公布的报价不全"
    secret = bytes.fromhex(opened.draw_secret)
    if sha256(secret).hexdigest() != announced.key.draw_secret_sha256:
        yield "抽签种子的秘密与公告的摘要不符"
    if draw_seed(secret, map(unb64, commitments.values())).hex() != opened.seed:
        yield "抽签种子与由承诺值推导的不符"
    bids = [bid for part in parts for bid in part.bids]
    if len({bid.receipt_id for bid in bids}) != len(bids):
        yield "同一回执的报价公布了两次"
    for bid in bids:
        if commitments.get(bid.receipt_id) != bid.commitment:
            yield f"报价 {bid.receipt_id} 的承诺值与截止前记录的不符"
        else:
            yield from _faults_of_bid(bid, announced.terms)


def _faults_of_bid(bid: RevealedBid, terms: SaleTerms) -> Iterator[str]:
    said, seen = bid.void_code, _seen(bid, terms)
    if said is None and seen not in {None, TooManySteps.code}:
        yield f"报价 {bid.receipt_id} 的明文与承诺值不符"
    elif said in {None, TooManySteps.code}:
        # What is void for another reason need not be readable; what is void for this one must be.
        if said != seen:
            yield f"报价 {bid.receipt_id} 是否因价位数无效，与公告所定的最多价位数不符"
    elif said in _SEEN:
        # What is no text is not told; where it is, anyone sees what is wrong with it.
        if bid.plaintext is not None and said != seen:
            yield f"报价 {bid.receipt_id} 以 {said} 判为无效，与公布的明文不符"
    elif said not in _UNSEEN:
        yield f"报价 {bid.receipt_id} 的无效原因不在规则之列"


def _seen(bid: RevealedBid, terms: SaleTerms) -> str | None:
    """What voids a bid for its own sake as its plaintext shows; None if it is good."""
    try:
        steps = read_bid(padded(bid), unb64(bid.commitment), ASSET_UNITS[terms.asset])
    except BidVoid as void:
        return void.code
    return TooManySteps.code if len(steps) > terms.steps_max else None


def _barred(terms: SaleTerms, offers: Sequence[Offer]) -> dict[str, str]:
    unit = ASSET_UNITS[terms.asset]
    # No sum of money may leave what can be written down, whoever gets how much: one bid that nobody
    # means would else end no sale. Half of it, for each award is rounded by itself.
    price_fen_max = MINOR_MAX // 2 * unit.scale // unit.parse(terms.supply)
    barred = {
        bid.bid_id: "PRICE_OUT_OF_RANGE" for bid, _ in offers if bid.price_fen > price_fen_max
    }
    # Who would rather have nothing than a part cannot stand where ties are served in part.
    if terms.tie_rule == "PRO_RATA":
        parted = (bid for bid, _ in offers if bid.min_accept_minor is not None)
        barred |= {bid.bid_id: "LEAST_QUANTITY_NOT_ALLOWED" for bid in parted}
    return barred


def _bidder_count(offers: Sequence[Offer], codes: Mapping[str, str]) -> int:
    return len({bid.bidder for bid, _ in offers if bid.bid_id not in codes})


def _terms(terms: SaleTerms, seed: bytes, revealed: Sequence[RevealedBid]) -> Terms:
    unit = ASSET_UNITS[terms.asset]
    limit = terms.purchase_limit
    return Terms(
        supply_minor=unit.parse(terms.supply),
        floor_fen=terms.floor_price_yuan,
        lot_minor=unit.parse(terms.lot_size),
        unit=unit,
        price_rule=terms.price_rule,
        tie_rule=terms.tie_rule,
        undersubscribed=terms.undersubscribed,
        purchase_limit_minor=None if limit is None else unit.parse(limit),
        limits_minor={bid.bidder: unit.parse(bid.quantity_max) for bid in revealed},
        seed=seed,
    )


def _none_sold(supply_minor: int) -> Clearing:
    return Clearing("FAILED", None, 0, supply_minor, (), (), 0)


def _sums(clearing: Clearing, unit: Unit) -> dict[str, Any]:
    price_fen = clearing.clearing_price_fen
    return {
        "outcome": clearing.outcome,
        "clearing_price_yuan": None if price_fen is None else YUAN.edge(price_fen),
        "sold": unit.format(clearing.sold_minor),
        "unsold": unit.format(clearing.unsold_minor),
        "proceeds_yuan": YUAN.edge(clearing.proceeds_fen),
    }


def _awarded(award: Award, bid: RevealedBid, unit: Unit) -> AwardedStep:
    return AwardedStep(
        bid_id=award.bid_id,
        registration_id=bid.registration_id,
        bidder=bid.bidder,
        bidder_name=bid.bidder_name,
        project_code=bid.project_code,
        quantity=unit.format(award.quantity_minor),
        price_yuan=YUAN.edge(award.price_fen),
        amount_yuan=YUAN.edge(award.amount_fen),
    )
