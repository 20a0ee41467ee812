"""A gateway's projections from nothing, by the owner's feed, beside COPY of the rows they become.

`python -m bench rebuild` reads a log of a million events: some minutes. Start, heal and rebuild
are one thing to a reader: it follows the feed from its position on.
"""

import time
from itertools import islice

from bench import expected, town
from bench.figures import Figure
from bench.projection import Reading
from bench.site import Site, done, site
from marketkit.outbox import Placed, Telling

EVENTS = 1_000_000
CHUNK = 50_000
SECONDS_MAX = 600
NO_BROKER = "127.0.0.1:1"


def told(here: Site, url: str, count: int) -> expected.Fold:
    """A log of so many events, sealed by a checkpoint now and then, and what must come of it."""
    fold = expected.Fold()
    log = town.Log(here.house("energy_trade", url))

    def counted(telling: Telling) -> tuple[str, Placed]:
        key, event = log.placed(telling)
        fold.add(event)
        return key, event

    told = town.tellings(count)
    for _ in range(0, count, CHUNK):
        log.write(map(counted, islice(told, CHUNK)))
        done(log.seal())
    return fold


def measure(count: int = EVENTS) -> list[Figure]:
    with site() as here:
        owner_url = here.database("energy_trade")
        fold = told(here, owner_url, count)
        wanted = here.database("gateway")
        row_count, copy_s = expected.copied(wanted, fold)
        began = time.perf_counter()
        reading = Reading(here, NO_BROKER, owner_url)
        reading.until(count)
        seconds = time.perf_counter() - began
        is_same = town.digests(reading.url) == town.digests(wanted)
        assert is_same
    return [
        Figure(
            f"projections rebuilt from {count:,} events by the feed, process start to last row",
            f"{seconds:,.0f} s, {count / seconds:,.0f}/s",
            f"COPY of the {row_count:,} rows {copy_s:,.1f} s",
            f"{seconds / copy_s:,.0f}×",
            "≤ 600 s for 1,000,000, hash equal to the fold",
            is_same and seconds <= SECONDS_MAX,
        )
    ]
