from collections import defaultdict
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from marketkit.units import TCE, half_up
from sale_builders import NINE, got_minor
from saleroom.clearing import Bid, Terms, clear

prices = st.integers(90, 110)
bid_lists = st.lists(
    st.builds(
        Bid,
        bid_id=st.uuids().map(str),
        bidder=st.sampled_from("uvwxyz"),
        price_fen=prices,
        quantity_minor=st.one_of(st.integers(1, 40).map(lambda n: n * 5), st.integers(1, 200)),
        submitted_at=st.integers(0, 3).map(lambda n: NINE + timedelta(seconds=n)),
        min_accept_minor=st.one_of(st.none(), st.integers(1, 60)),
    ).map(lambda bid: replace(bid, min_accept_minor=_at_most(bid))),
    max_size=25,
    unique_by=lambda bid: bid.bid_id,
)


def _at_most(bid: Bid) -> int | None:
    return bid.min_accept_minor and min(bid.min_accept_minor, bid.quantity_minor)


term_sets = st.builds(
    Terms,
    supply_minor=st.integers(1, 1500),
    floor_fen=st.integers(90, 100),
    lot_minor=st.just(5),
    unit=st.just(TCE),
    price_rule=st.sampled_from(["LOWEST_ACCEPTED", "HIGHEST_REJECTED", "PAY_AS_BID"]),
    tie_rule=st.sampled_from(["TIME", "RANDOM", "PRO_RATA"]),
    undersubscribed=st.sampled_from(["SELL", "CANCEL"]),
    purchase_limit_minor=st.one_of(st.none(), st.integers(1, 600)),
    limits_minor=st.dictionaries(st.sampled_from("uvwxyz"), st.integers(0, 600)),
    seed=st.binary(max_size=4),
)


def _fair(rules: Terms, bids: list[Bid]) -> list[Bid]:
    if rules.tie_rule == "PRO_RATA":
        return [replace(bid, min_accept_minor=None) for bid in bids]
    return bids


@settings(max_examples=300, deadline=None)
@given(term_sets, bid_lists)
def test_properties_of_every_clearing(rules: Terms, bids: list[Bid]) -> None:
    bids = _fair(rules, bids)
    clearing = clear(rules, bids)
    by_id = {bid.bid_id: bid for bid in bids}
    bought: dict[str, int] = defaultdict(int)
    assert clearing.sold_minor + clearing.unsold_minor == rules.supply_minor
    assert clearing.sold_minor == sum(award.quantity_minor for award in clearing.awards)
    assert clearing.proceeds_fen == sum(award.amount_fen for award in clearing.awards)
    assert clearing.unsold_minor >= 0
    for award in clearing.awards:
        bid = by_id[award.bid_id]
        bought[bid.bidder] += award.quantity_minor
        assert 0 < award.quantity_minor <= bid.quantity_minor
        assert award.quantity_minor % rules.lot_minor == 0
        assert award.quantity_minor >= (bid.min_accept_minor or 0)
        assert rules.floor_fen <= award.price_fen <= bid.price_fen
        assert award.price_fen == (clearing.clearing_price_fen or bid.price_fen)
        assert award.amount_fen == half_up(award.price_fen * award.quantity_minor, 1000)
    for bidder, quantity in bought.items():
        limits = [rules.purchase_limit_minor, rules.limits_minor.get(bidder)]
        assert all(quantity <= limit for limit in limits if limit is not None)
    served = [by_id[award.bid_id].price_fen for award in clearing.awards]
    assert served == sorted(served, reverse=True)


@settings(deadline=None)
@given(term_sets, bid_lists, st.randoms(use_true_random=False))
def test_order_of_input_changes_nothing(rules: Terms, bids: list[Bid], shuffler: Any) -> None:
    bids = _fair(rules, bids)
    shuffled = list(bids)
    shuffler.shuffle(shuffled)
    one, other = clear(rules, bids), clear(rules, shuffled)
    assert replace(one, rejected=()) == replace(other, rejected=())
    assert sorted(one.rejected) == sorted(other.rejected)
    assert one == clear(rules, bids)


@settings(deadline=None)
@given(term_sets, bid_lists)
def test_a_higher_bid_never_gets_less_than_a_lower_one_of_equal_quantity(
    rules: Terms, bids: list[Bid]
) -> None:
    plain = [replace(bid, min_accept_minor=None, bidder=bid.bid_id) for bid in bids]
    rules = replace(rules, limits_minor={})
    awarded = defaultdict(int, got_minor(clear(rules, plain)))
    eligible = [b for b in plain if b.price_fen >= rules.floor_fen and b.quantity_minor % 5 == 0]
    for high in eligible:
        for low in eligible:
            if high.price_fen > low.price_fen and high.quantity_minor == low.quantity_minor:
                assert awarded[high.bid_id] >= awarded[low.bid_id]


@settings(deadline=None)
@given(term_sets, bid_lists)
def test_nothing_is_left_while_a_bid_that_would_take_it_goes_short(
    rules: Terms, bids: list[Bid]
) -> None:
    plain = [replace(bid, min_accept_minor=None, bidder=bid.bid_id) for bid in bids]
    rules = replace(rules, limits_minor={}, purchase_limit_minor=None, undersubscribed="SELL")
    clearing = clear(rules, plain)
    refused = {bid.bid_id for bid in clearing.rejected}
    wanted = sum(bid.quantity_minor for bid in plain if bid.bid_id not in refused)
    assert clearing.sold_minor == min(wanted, rules.supply_minor // 5 * 5)


def _kept(rules: Terms, bids: list[Bid]) -> dict[str, int]:
    """What the rejections and the limits leave of each bid, cut lot by lot."""
    lot = rules.lot_minor
    good = [b for b in bids if b.price_fen >= rules.floor_fen and b.quantity_minor % lot == 0]
    kept = {bid.bid_id: bid.quantity_minor for bid in good}
    good.sort(key=lambda b: (-b.price_fen, b.submitted_at, b.bid_id))
    for bidder in {bid.bidder for bid in good}:
        own = [bid for bid in good if bid.bidder == bidder]
        limits = [rules.purchase_limit_minor, rules.limits_minor.get(bidder)]
        for limit in (limit // lot * lot for limit in limits if limit is not None):
            while sum(kept[bid.bid_id] for bid in own) > limit:
                last = next(bid for bid in reversed(own) if kept[bid.bid_id])
                kept[last.bid_id] -= lot
    return {b.bid_id: kept[b.bid_id] for b in good if kept[b.bid_id] >= (b.min_accept_minor or 1)}


def _shared(level: dict[str, int], left: int, lot: int) -> dict[str, int]:
    wanted = sum(level.values())
    gets = {bid_id: left * quantity // wanted // lot * lot for bid_id, quantity in level.items()}
    for bid_id in list(level)[: (left - sum(gets.values())) // lot]:
        gets[bid_id] += lot
    return gets


def _reference(rules: Terms, bids: list[Bid]) -> dict[str, int]:
    """The paragraph of the fixed interface, level by level and as slow as it reads."""
    kept = _kept(rules, bids)
    by_id = {bid.bid_id: bid for bid in bids}
    left = rules.supply_minor // rules.lot_minor * rules.lot_minor
    if sum(kept.values()) < left and rules.undersubscribed == "CANCEL":
        return {}
    gets: dict[str, int] = {}
    for price in sorted({by_id[i].price_fen for i in kept}, reverse=True):
        level = [by_id[i] for i in kept if by_id[i].price_fen == price]
        level.sort(key=lambda b: sha256(rules.seed + b.bid_id.encode()).digest())
        if rules.tie_rule == "TIME":
            level.sort(key=lambda b: (b.submitted_at, b.bid_id))
        wanted = {bid.bid_id: kept[bid.bid_id] for bid in level}
        if rules.tie_rule == "PRO_RATA" and sum(wanted.values()) > left:
            wanted = _shared(wanted, left, rules.lot_minor)
        for bid_id, quantity in wanted.items():
            offer = min(left, quantity)
            gets[bid_id] = offer if offer >= (by_id[bid_id].min_accept_minor or 0) else 0
            left -= gets[bid_id]
    return {bid_id: quantity for bid_id, quantity in gets.items() if quantity}


@settings(max_examples=300, deadline=None)
@given(term_sets, bid_lists)
def test_agrees_with_the_paragraph_read_slowly(rules: Terms, bids: list[Bid]) -> None:
    bids = _fair(rules, bids)
    assert list(got_minor(clear(rules, bids)).items()) == list(_reference(rules, bids).items())
