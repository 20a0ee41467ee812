"""Clearing: who gets how much at what price, exact and reproducible from terms and bids.

Pure integers: no clock, no database, no network, no randomness but the seed that was published.
"""

import gc
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from itertools import groupby, repeat
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
        return self.supply_minor - self.supply_minor % self.lot_minor

    def limit_minor(self, bidder: str) -> int | None:
        """The most that one bidder may buy, in whole lots; None if nothing limits it."""
        limits = [self.purchase_limit_minor, self.limits_minor.get(bidder)]
        held = [limit for limit in limits if limit is not None]
        return min(held) // self.lot_minor * self.lot_minor if held else None


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


class _Admitted(NamedTuple):
    """Bids in the order of time, and by their ids the quantities that limits cut.

    No object is made for a bid before it is awarded: a million of them take a few seconds.
    """

    bids: Sequence[Bid]
    cut_minor: Mapping[str, int]

    def quantities_minor(self, bids: Iterable[Bid]) -> list[int]:
        """What is asked for by each of these bids, after limits."""
        if not self.cut_minor:
            return [bid.quantity_minor for bid in bids]
        return [self.cut_minor.get(bid.bid_id, bid.quantity_minor) for bid in bids]


class _Served(NamedTuple):
    """Bids in the order served: those filled, then those the end of the supply cut or left out.

    A bid skipped for its least quantity stands in neither: it sets no price.
    """

    filled: list[Bid]
    filled_minor: list[int]
    short: list[tuple[Bid, int]]


def clear(terms: Terms, bids: Sequence[Bid]) -> Clearing:
    """The clearing of these bids under these terms, the same in whatever order they are given.

    Each `bid_id` stands once, and no bid has a least quantity if ties are `PRO_RATA`: a caller
    has seen to both. A supply below one lot sells nothing and is `FAILED`.
    """
    with _no_garbage():
        return _clear(terms, bids)


def _clear(terms: Terms, bids: Sequence[Bid]) -> Clearing:
    admitted, rejected = _admit(terms, bids)
    if terms.undersubscribed == "CANCEL" and _is_undersubscribed(terms, admitted):
        return _no_sale(terms, "CANCELLED", rejected)
    awards, price_fen = _award(terms, _serve(terms, admitted))
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


@contextmanager
def _no_garbage() -> Iterator[None]:
    # All that is made is kept; to look for garbage in it again and again took a third of the time.
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _is_undersubscribed(terms: Terms, admitted: _Admitted) -> bool:
    return 0 < sum(admitted.quantities_minor(admitted.bids)) < terms.offered_minor


def _no_sale(terms: Terms, outcome: Outcome, rejected: tuple[Rejected, ...]) -> Clearing:
    return Clearing(outcome, None, 0, terms.supply_minor, (), rejected, 0)


def _admit(terms: Terms, bids: Sequence[Bid]) -> tuple[_Admitted, tuple[Rejected, ...]]:
    floor_fen, lot_minor = terms.floor_fen, terms.lot_minor
    eligible = [b for b in bids if b.price_fen >= floor_fen and not b.quantity_minor % lot_minor]
    cut_minor: dict[str, int] = {}
    over: set[str] = set()
    if left_minor := _exceeded(terms, eligible):
        # Of these alone, before all are put in order: few bidders ask for too much.
        limited = [bid for bid in eligible if bid.bidder in left_minor]
        cut_minor, over = _cut(_by_time(limited), left_minor)
        eligible = [bid for bid in eligible if bid.bid_id not in over]
    admitted = _Admitted(_by_time(eligible), cut_minor)
    return admitted, _rejected(terms, bids, over) if len(eligible) < len(bids) else ()


def _rejected(terms: Terms, bids: Iterable[Bid], over: Set[str]) -> tuple[Rejected, ...]:
    floor_fen, lot_minor = terms.floor_fen, terms.lot_minor
    rejected: list[Rejected] = []
    for bid in bids:
        if bid.price_fen < floor_fen:
            rejected.append(Rejected(bid.bid_id, "BELOW_FLOOR"))
        elif bid.quantity_minor % lot_minor:
            rejected.append(Rejected(bid.bid_id, "OFF_LOT"))
        elif bid.bid_id in over:
            rejected.append(Rejected(bid.bid_id, "OVER_BID_LIMIT"))
    return tuple(rejected)


def _exceeded(terms: Terms, bids: Iterable[Bid]) -> dict[str, int]:
    """The limits of those bidders whose bids ask for more together."""
    if terms.purchase_limit_minor is None and not terms.limits_minor:
        return {}
    wanted_minor: dict[str, int] = {}
    for bid in bids:
        bidder = bid.bidder
        if bidder in wanted_minor:
            wanted_minor[bidder] += bid.quantity_minor
        else:
            wanted_minor[bidder] = bid.quantity_minor
    common = terms.limit_minor("")  # of all who have none of their own
    own = {bidder: terms.limit_minor(bidder) for bidder in terms.limits_minor}
    return {
        bidder: limit
        for bidder, wanted in wanted_minor.items()
        if (limit := own.get(bidder, common)) is not None and wanted > limit
    }


def _cut(by_time: Iterable[Bid], left_minor: dict[str, int]) -> tuple[dict[str, int], set[str]]:
    """By their ids, what is left of bids that limits cut, and those of which nothing is."""
    # The lowest price goes first, then the latest bid: what is kept is served in the order of time.
    cut_minor: dict[str, int] = {}
    over: set[str] = set()
    for bid in by_time:
        left = left_minor[bid.bidder]
        if bid.quantity_minor <= left:
            left_minor[bid.bidder] = left - bid.quantity_minor
            continue
        left_minor[bid.bidder] = 0
        if left >= (bid.min_accept_minor or 1):
            cut_minor[bid.bid_id] = left
        else:
            over.add(bid.bid_id)
    return cut_minor, over


def _by_time(bids: Iterable[Bid]) -> list[Bid]:
    # Stable sorts, the weightiest last: faster than one sort by a tuple, and bids that come in
    # the order of their receipt are nearly sorted already.
    ordered = sorted(bids, key=attrgetter("bid_id"))
    ordered.sort(key=attrgetter("submitted_at"))
    ordered.sort(key=attrgetter("price_fen"), reverse=True)
    return ordered


def _by_draw(bids: Iterable[Bid], seed: bytes) -> list[Bid]:
    seeded = sha256(seed)

    def drawn(bid: Bid) -> bytes:
        draw = seeded.copy()
        draw.update(bid.bid_id.encode())
        return draw.digest()

    ordered = sorted(bids, key=drawn)
    ordered.sort(key=attrgetter("price_fen"), reverse=True)
    return ordered


def _serve(terms: Terms, admitted: _Admitted) -> _Served:
    if terms.tie_rule == "TIME":
        return _serve_in_turn(admitted, admitted.bids, terms.offered_minor)
    drawn = _by_draw(admitted.bids, terms.seed)
    if terms.tie_rule == "RANDOM":
        return _serve_in_turn(admitted, drawn, terms.offered_minor)
    return _serve_by_level(terms, admitted, drawn)


def _serve_in_turn(admitted: _Admitted, bids: Iterable[Bid], offered_minor: int) -> _Served:
    left_minor = offered_minor
    cut_minor = admitted.cut_minor
    served = _Served([], [], [])
    for bid in bids:
        quantity_minor = bid.quantity_minor
        if cut_minor:
            quantity_minor = cut_minor.get(bid.bid_id, quantity_minor)
        if quantity_minor <= left_minor:
            left_minor -= quantity_minor
            served.filled.append(bid)
            served.filled_minor.append(quantity_minor)
        elif left_minor == 0 or left_minor >= (bid.min_accept_minor or 0):
            served.short.append((bid, left_minor))
            break
    return served


def _serve_by_level(terms: Terms, admitted: _Admitted, bids: Iterable[Bid]) -> _Served:
    left_minor = terms.offered_minor
    served = _Served([], [], [])
    for _, same_price in groupby(bids, key=attrgetter("price_fen")):
        level = list(same_price)
        wanted_minor = admitted.quantities_minor(level)
        if sum(wanted_minor) > left_minor:
            shares_minor = _share_out(wanted_minor, left_minor, terms.lot_minor)
            served.short.extend(zip(level, shares_minor, strict=True))
            break
        left_minor -= sum(wanted_minor)
        served.filled.extend(level)
        served.filled_minor.extend(wanted_minor)
    return served


def _share_out(wanted_minor: Sequence[int], left_minor: int, lot_minor: int) -> list[int]:
    # Less is left than the level wants, so every floor is at least a lot under its bid and the
    # lots left over are fewer than the bids: one each in the order drawn hands out all of them.
    wanted_lots = sum(wanted_minor) // lot_minor
    left_lots = left_minor // lot_minor
    lots = [wanted // lot_minor * left_lots // wanted_lots for wanted in wanted_minor]
    over = left_lots - sum(lots)
    return [(share + (place < over)) * lot_minor for place, share in enumerate(lots)]


def _award(terms: Terms, served: _Served) -> tuple[list[Award], int | None]:
    """Awards in the order served, and the one price of all if there is one."""
    won = [(bid, quantity_minor) for bid, quantity_minor in served.short if quantity_minor]
    price_fen = _price(terms, served, won)
    scale = terms.unit.scale
    bids = [*served.filled, *(bid for bid, _ in won)]
    quantities_minor = [*served.filled_minor, *(quantity_minor for _, quantity_minor in won)]
    if price_fen is None:
        prices_fen = [bid.price_fen for bid in bids]
        amounts = [half_up(p * q, scale) for p, q in zip(prices_fen, quantities_minor, strict=True)]
    else:
        # At one price there are few quantities, and so few amounts.
        prices_fen = [price_fen] * len(bids)
        by_quantity = {q: half_up(price_fen * q, scale) for q in set(quantities_minor)}
        amounts = list(map(by_quantity.__getitem__, quantities_minor))
    ids = [bid.bid_id for bid in bids]
    columns = zip(ids, quantities_minor, prices_fen, amounts, strict=True)
    # As `Award(*column)` each, in half the time.
    return list(map(tuple.__new__, repeat(Award), columns)), price_fen


def _price(terms: Terms, served: _Served, won: Sequence[tuple[Bid, int]]) -> int | None:
    if terms.price_rule == "PAY_AS_BID":
        return None
    if terms.price_rule == "HIGHEST_REJECTED":
        return served.short[0][0].price_fen if served.short else terms.floor_fen
    last = won[-1][0] if won else served.filled[-1] if served.filled else None
    return last.price_fen if last else None
