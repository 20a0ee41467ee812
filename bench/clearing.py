"""Clearing beside an integer sort of as many, in turn, in one process."""

import random
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from statistics import median

from bench.figures import Figure, spread
from marketkit.units import TCE
from saleroom.clearing import Bid, Terms, clear

COUNTS = (10_000, 100_000, 1_000_000)
ROUNDS = 5
BID_MAX = 50_000
SEED = 7


def bids_of(count: int, draw: random.Random) -> list[Bid]:
    """Bids as they come in: by instant, prices at random, four of each bidder."""
    began_at = datetime(2022, 11, 8, tzinfo=UTC)
    return [
        Bid(
            bid_id=f"{number:09d}-1",
            bidder=f"bidder-{draw.randrange(count // 4)}",
            price_fen=draw.randrange(20_000, 40_000),
            quantity_minor=draw.randrange(1, 51) * 1_000,
            submitted_at=began_at + timedelta(microseconds=number),
        )
        for number in range(count)
    ]


def seconds(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def measure() -> list[Figure]:
    """Three sizes without a limit that cuts, and the largest with one that cuts half of all."""
    figures = []
    medians: dict[int, float] = {}
    for count, limit in [*((count, 400_000) for count in COUNTS), (COUNTS[-1], 40_000)]:
        draw = random.Random(SEED)
        bids = bids_of(count, draw)
        numbers = [draw.randrange(1 << 60) for _ in range(count)]
        terms = Terms(
            supply_minor=count * 10_000,
            floor_fen=22_000,
            lot_minor=1_000,
            unit=TCE,
            purchase_limit_minor=limit,
        )
        pairs = [
            (seconds(lambda: sorted(numbers)), seconds(lambda: clear(terms, bids)))  # noqa: B023
            for _ in range(ROUNDS)
        ]
        ratios = [ours / sort for sort, ours in pairs]
        ours_s = median(ours for _, ours in pairs)
        is_usual = limit == 400_000
        growth = ours_s / medians[count // 10] if is_usual and count // 10 in medians else None
        if is_usual:
            medians[count] = ours_s
        figures.append(
            Figure(
                work=f"`sale.clearing`, {count:,} bids" + ("" if is_usual else ", half cut"),
                ours=f"{ours_s:.3f} s CPU",
                beside=f"integer sort {median(sort for sort, _ in pairs):.3f} s",
                ratio=spread(ratios) + (f"; {growth:.1f}× for 10×" if growth else ""),
                goal=GOALS[count] if is_usual else "",
                met=_is_met(count, ours_s, median(ratios)) if is_usual else None,
            )
        )
    return figures


GOALS = {10_000: "", 100_000: "< 0.3 s", 1_000_000: "≤ 6× the sort"}


def _is_met(count: int, ours_s: float, ratio: float) -> bool | None:
    match count:
        case 100_000:
            return ours_s < 0.3
        case 1_000_000:
            return ratio <= 6
        case _:
            return None
