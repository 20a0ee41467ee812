"""A hundred thousand takes of a lot that holds half of them, by four processes at once.

`python -m bench takes` is about a promise, not a speed: as many are taken as there are, and the
ledger adds up whenever it is looked at.
"""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

from bench import holds, hot, load, town
from bench.figures import Figure
from bench.site import done, site
from lab.sampler import ASKED

TAKES = 100_000
THERE = TAKES // 2
TAKE_MINOR = 1_000
PROCESSES = 4
# A refused take of an empty lot.
REFUSED = 409
STANDS = b"""
SELECT sum(held), (SELECT count(*) FROM pledge), (SELECT sum(remaining) FROM hold) FROM balance
"""


class Looks(threading.Thread):
    """Recomputes the ledger every second until told to stop."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url
        self.stop = threading.Event()
        self.count = 0
        self.faults: list[tuple[object, ...]] = []

    def run(self) -> None:
        with town.superuser(self.url) as connection:
            while not self.stop.is_set():
                row = connection.execute(ASKED.encode()).fetchone()
                assert row is not None
                if any(row[:3]):
                    self.faults.append(row)
                self.count += 1
                self.stop.wait(1.0)


def measure(takes: int = TAKES, there: int = THERE) -> list[Figure]:
    with site() as here:
        url = here.database("energy_trade")
        done(holds.holder(here.house("energy_trade", url), there * TAKE_MINOR))
        token = here.token("enterprise", "person-of-1", region_code="", uscc=holds.HOLDER)
        ports = [here.service("energy_trade", "api", url).api for _ in range(PROCESSES)]
        looks = Looks(url)
        looks.start()

        def take(process: int) -> load.Load:
            port, own = ports[process], range(process, takes, PROCESSES)
            clients = load.CLIENTS // PROCESSES
            requests = [
                [
                    hot.posted(port, "/v1/pledges", holds.body(n), token)
                    for n in own[client::clients]
                ]
                for client in range(clients)
            ]
            directory = here.directory / f"load-{process}"
            directory.mkdir()
            return load.run(port, requests, directory)

        began = time.perf_counter()
        with ThreadPoolExecutor(PROCESSES) as several:
            found = list(several.map(take, range(PROCESSES)))
        seconds = time.perf_counter() - began
        looks.stop.set()
        looks.join()
        with town.superuser(url) as connection:
            stands = connection.execute(STANDS).fetchone()
    taken = sum(one.statuses.get(201, 0) for one in found)
    refused = sum(one.statuses.get(REFUSED, 0) for one in found)
    is_right = stands == (there * TAKE_MINOR, there, there * TAKE_MINOR)
    is_right &= (taken, refused) == (there, takes - there) and not looks.faults
    return [
        Figure(
            f"{takes:,} takes of a lot that holds {there:,}, by {PROCESSES} processes at once",
            f"{taken:,} taken, {refused:,} refused, {takes / seconds:,.0f}/s",
            f"{looks.count} looks at the ledger, {len(looks.faults)} at which it did not add up",
            "",
            "as many as there are, 0 looks",
            is_right,
        )
    ]
