"""Bids and terms of a sale, with defaults that a test need not name."""

from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from marketkit.units import TCE
from saleroom.clearing import Bid, Clearing, Terms

NINE = datetime(2022, 11, 8, 9, 0, tzinfo=UTC)


def a_bid(bid_id: str, quantity: int, price: int | str, **changes: Any) -> Bid:
    """Quantity in whole units of three decimals, price in yuan, one bidder a bid."""
    whole, _, cents = str(price).partition(".")
    fields: dict[str, Any] = {
        "bid_id": bid_id,
        "bidder": bid_id,
        "price_fen": int(whole) * 100 + int(cents.ljust(2, "0")),
        "quantity_minor": quantity * 1000,
        "submitted_at": NINE,
    }
    return Bid(**fields | changes)


def terms(supply: int, **changes: Any) -> Terms:
    fields: dict[str, Any] = {
        "supply_minor": supply * 1000,
        "floor_fen": 100,
        "lot_minor": 1000,
        "unit": TCE,
    }
    return Terms(**fields | changes)


def got(clearing: Clearing) -> dict[str, int]:
    """Whole units by bid."""
    return {award.bid_id: award.quantity_minor // 1000 for award in clearing.awards}


def seed_that_draws(*bid_ids: str) -> bytes:
    """A seed whose draw puts these bids in this order."""
    for number in range(10_000):
        seed = number.to_bytes(2, "big")
        if sorted(bid_ids, key=lambda i: sha256(seed + i.encode()).digest()) == list(bid_ids):
            return seed
    raise AssertionError


def got_minor(clearing: Clearing) -> dict[str, int]:
    return {award.bid_id: award.quantity_minor for award in clearing.awards}
