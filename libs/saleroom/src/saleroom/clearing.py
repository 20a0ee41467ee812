"""Clearing: who gets how much at what price, exact and reproducible from terms and bids.

Pure integers: no clock, no database, no network, no randomness but the seed that was published.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from itertools import groupby
from operator import attrgetter
from typing import Literal, NamedTuple

from marketkit.units import Unit, half_up

PriceRule = Literal["LOWEST_ACCEPTED", "HIGHEST_REJECTED", "PAY_AS_BID"]
TieRule = Literal["TIME", "RANDOM", "PRO_RATA"]
Undersubscribed = Literal["SELL", "CANCEL"]
Outcome = Literal["SOLD", "PARTLY_SOLD", "FAILED", "CANCELLED"]
RejectionCode = Literal["BELOW_FLOOR", "OFF_LOT", "OVER_BID_LIMIT"]


@dataclass(frozen=True, slots=True)
class Bid:
    """One offer to buy at one price; `submitted_at` is the server's instant."""

    bid_id: str
    bidder: str
    price_fen: int
    quantity_minor: int
    submitted_at: datetime
    min_accept_minor: int | None = None


@dataclass(frozen=True)
class Terms:
    """The rules of one sale, fixed before any bid.

    `purchase_limit_minor` holds for every bidder, `limits_minor` for the bidder named (the most it
    registered for); both cut alike, and the least of them decides.
    """

    supply_minor: int
    floor_fen: int
    lot_minor: int
    unit: Unit
    price_rule: PriceRule = "LOWEST_ACCEPTED"
    tie_rule: TieRule = "TIME"
    undersubscribed: Undersubscribed = "SELL"
    purchase_limit_minor: int | None = None
    limits_minor: Mapping[str, int] = field(default_factory=dict)
    seed: bytes = b""

    @property
    def offered_minor(self) -> int:
        """The supply in whole lots: all that can be sold."""
        return self.whole_lots(self.supply_minor)

    def whole_lots(self, quantity_minor: int) -> int:
        """As much of a quantity as is in whole lots."""
        return quantity_minor - quantity_minor % self.lot_minor


class Award(NamedTuple):
    """What one bid gets; never nothing."""

    bid_id: str
    quantity_minor: int
    price_fen: int
    amount_fen: int


class Rejected(NamedTuple):
    """A bid that took no part, and why."""

    bid_id: str
    code: RejectionCode


@dataclass(frozen=True)
class Clearing:
    """The result of a sale: awards in the order served, rejected bids in the order given."""

    outcome: Outcome
    clearing_price_fen: int | None
    sold_minor: int
    unsold_minor: int
    awards: tuple[Award, ...]
    rejected: tuple[Rejected, ...]
    proceeds_fen: int


# A bid, and what the limits leave of the quantity it is for.
_Offer = tuple[Bid, int]


class _Served(NamedTuple):
    """Bids in the order served: those filled, then those the end of the supply cut or left out.

    A bid skipped for its least quantity stands in neither: it sets no price.
    """

    filled: Sequence[_Offer]
    short: Sequence[_Offer]


def clear(terms: Terms, bids: Sequence[Bid]) -> Clearing:
    """The clearing of these bids under these terms, the same in whatever order they are given.

    Each `bid_id` stands once, and no bid has a least quantity if ties are `PRO_RATA`: a caller
    has seen to both. A supply below one lot sells nothing and is `FAILED`.
    """
    codes: dict[str, RejectionCode] = {}
    offers = _within_limits(terms, _by_time(_eligible(terms, bids, codes)), codes)
    rejected = tuple(Rejected(bid.bid_id, codes[bid.bid_id]) for bid in bids if bid.bid_id in codes)
    demand_minor = sum(quantity_minor for _, quantity_minor in offers)
    if offers and demand_minor < terms.offered_minor and terms.undersubscribed == "CANCEL":
        return _no_sale(terms, "CANCELLED", rejected)
    awards, price_fen = _award(terms, _serve(terms, offers))
    if not awards:
        return _no_sale(terms, "FAILED", rejected)
    sold_minor = sum(award.quantity_minor for award in awards)
    return Clearing(
        outcome="SOLD" if sold_minor == terms.supply_minor else "PARTLY_SOLD",
        clearing_price_fen=price_fen,
        sold_minor=sold_minor,
        unsold_minor=terms.supply_minor - sold_minor,
        awards=tuple(awards),
        rejected=rejected,
        proceeds_fen=sum(award.amount_fen for award in awards),
    )


def _no_sale(terms: Terms, outcome: Outcome, rejected: tuple[Rejected, ...]) -> Clearing:
    return Clearing(outcome, None, 0, terms.supply_minor, (), rejected, 0)


def _eligible(terms: Terms, bids: Iterable[Bid], codes: dict[str, RejectionCode]) -> Iterator[Bid]:
    floor_fen, lot_minor = terms.floor_fen, terms.lot_minor
    for bid in bids:
        if bid.price_fen < floor_fen:
            codes[bid.bid_id] = "BELOW_FLOOR"
        elif bid.quantity_minor % lot_minor:
            codes[bid.bid_id] = "OFF_LOT"
        else:
            yield bid


def _within_limits(
    terms: Terms, bids: Sequence[Bid], codes: dict[str, RejectionCode]
) -> list[_Offer]:
    """What the limits leave of bids in the order of time: a bidder's last in it are cut first."""
    most_minor = terms.purchase_limit_minor
    if most_minor is None:
        most_minor = sum(bid.quantity_minor for bid in bids)
    left_minor = {
        bidder: terms.whole_lots(min(limit_minor, most_minor))
        for bidder, limit_minor in terms.limits_minor.items()
    }
    most_minor = terms.whole_lots(most_minor)
    offers: list[_Offer] = []
    for bid in bids:
        bidder, quantity_minor = bid.bidder, bid.quantity_minor
        left = left_minor.get(bidder, most_minor)
        left_minor[bidder] = max(0, left - quantity_minor)
        if quantity_minor <= left:
            offers.append((bid, quantity_minor))
        elif left >= (bid.min_accept_minor or 1):
            offers.append((bid, left))
        else:
            codes[bid.bid_id] = "OVER_BID_LIMIT"
    return offers


def _by_time(bids: Iterable[Bid]) -> list[Bid]:
    # Stable sorts, the weightiest last: faster than one sort by a tuple, and bids that come in
    # the order of their receipt are nearly sorted already.
    ordered = sorted(bids, key=attrgetter("bid_id"))
    ordered.sort(key=attrgetter("submitted_at"))
    ordered.sort(key=attrgetter("price_fen"), reverse=True)
    return ordered


def _by_draw(offers: Iterable[_Offer], seed: bytes) -> list[_Offer]:
    seeded = sha256(seed)

    def drawn(offer: _Offer) -> bytes:
        draw = seeded.copy()
        draw.update(offer[0].bid_id.encode())
        return draw.digest()

    ordered = sorted(offers, key=drawn)
    ordered.sort(key=_price_of, reverse=True)
    return ordered


def _price_of(offer: _Offer) -> int:
    return offer[0].price_fen


def _serve(terms: Terms, offers: Sequence[_Offer]) -> _Served:
    """Serve offers that come in the order of time."""
    if terms.tie_rule == "TIME":
        return _serve_in_turn(offers, terms.offered_minor)
    ordered = _by_draw(offers, terms.seed)
    if terms.tie_rule == "RANDOM":
        return _serve_in_turn(ordered, terms.offered_minor)
    return _serve_by_level(ordered, terms.offered_minor, terms.lot_minor)


def _serve_in_turn(offers: Iterable[_Offer], offered_minor: int) -> _Served:
    left_minor = offered_minor
    filled: list[_Offer] = []
    for offer in offers:
        bid, quantity_minor = offer
        if quantity_minor <= left_minor:
            left_minor -= quantity_minor
            filled.append(offer)
        elif left_minor == 0 or left_minor >= (bid.min_accept_minor or 0):
            return _Served(filled, [(bid, left_minor)])
    return _Served(filled, [])


def _serve_by_level(offers: Iterable[_Offer], offered_minor: int, lot_minor: int) -> _Served:
    left_minor = offered_minor
    filled: list[_Offer] = []
    for _, same_price in groupby(offers, key=_price_of):
        level = list(same_price)
        wanted_minor = sum(quantity_minor for _, quantity_minor in level)
        if wanted_minor > left_minor:
            return _Served(filled, _share_out(level, left_minor, lot_minor))
        left_minor -= wanted_minor
        filled += level
    return _Served(filled, [])


def _share_out(level: Sequence[_Offer], left_minor: int, lot_minor: int) -> list[_Offer]:
    # Less is left than the level wants, so every floor is at least a lot under its bid and the
    # lots left over are fewer than the bids: one each in the order drawn hands out all of them.
    wanted_lots = sum(quantity_minor for _, quantity_minor in level) // lot_minor
    left_lots = left_minor // lot_minor
    lots = [quantity_minor // lot_minor * left_lots // wanted_lots for _, quantity_minor in level]
    over = left_lots - sum(lots)
    return [
        (bid, (share + (place < over)) * lot_minor)
        for place, ((bid, _), share) in enumerate(zip(level, lots, strict=True))
    ]


def _award(terms: Terms, served: _Served) -> tuple[list[Award], int | None]:
    """Awards in the order served, and the one price of all if there is one."""
    won = [*served.filled, *((bid, part_minor) for bid, part_minor in served.short if part_minor)]
    price_fen = _price(terms, served, won)
    scale = terms.unit.scale

    def award(bid: Bid, quantity_minor: int) -> Award:
        price = bid.price_fen if price_fen is None else price_fen
        return Award(bid.bid_id, quantity_minor, price, half_up(price * quantity_minor, scale))

    return [award(bid, quantity_minor) for bid, quantity_minor in won], price_fen


def _price(terms: Terms, served: _Served, won: Sequence[_Offer]) -> int | None:
    if terms.price_rule == "PAY_AS_BID":
        return None
    if terms.price_rule == "HIGHEST_REJECTED":
        return served.short[0][0].price_fen if served.short else terms.floor_fen
    return won[-1][0].price_fen if won else None
