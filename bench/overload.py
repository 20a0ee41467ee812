"""Three times as many clients as one api serves at its best, for five minutes: takes of one lot.

`python -m bench overload` is about what is left of a service that is asked for too much.
"""

from collections import Counter
from dataclasses import dataclass
from statistics import median

import psutil

from bench import holds, hot, load
from bench.figures import Figure
from bench.site import Ports, Site, done, site

TIMES = 3
ROUNDS = 10
REQUESTS = 30_000
GOODPUT_MIN = 0.9
P99_TIMES_MAX = 2.0
RSS_MB_MAX = 50


def measure(rounds: int = ROUNDS, requests: int = REQUESTS) -> list[Figure]:
    with site() as here:
        url = here.database("energy_trade")
        done(holds.holder(here.house("energy_trade", url)))
        at = here.service("energy_trade", "api", url)
        crowd = Crowd(here, at)
        crowd.takes(load.CLIENTS, requests // TIMES)  # connections, plans, caches
        usual = crowd.takes(load.CLIENTS, requests)
        before = psutil.Process(at.pid).memory_info().rss
        rushes = [crowd.takes(TIMES * load.CLIENTS, requests) for _ in range(rounds)]
        grown_mb = (psutil.Process(at.pid).memory_info().rss - before) / 1e6
        assert done(holds.taken_twice(here.house("energy_trade", url))) == 0
    per_second = median(one.per_second for one in rushes)
    p99_ms = median(one.p99_ms for one in rushes)
    goodput, p99_times = per_second / usual.per_second, p99_ms / usual.p99_ms
    statuses = sum((Counter(one.statuses) for one in rushes), Counter())
    minutes = sum(one.seconds for one in rushes) / 60
    return [
        Figure(
            f"{TIMES} times as many clients as usual for {minutes:.1f} min, takes of one lot",
            f"{per_second:,.0f}/s, p99 {p99_ms:.0f} ms, {grown_mb:.0f} MB grown, "
            + ", ".join(f"{status}×{count:,}" for status, count in sorted(statuses.items())),
            f"{load.CLIENTS} clients {usual.per_second:,.0f}/s, p99 {usual.p99_ms:.0f} ms",
            f"{goodput:.2f}; p99 {p99_times:.1f}×",
            f"≥ {GOODPUT_MIN:.2f}; p99 ≤ {P99_TIMES_MAX:.0f}×; ≤ {RSS_MB_MAX} MB; no 500",
            goodput >= GOODPUT_MIN
            and p99_times <= P99_TIMES_MAX
            and grown_mb <= RSS_MB_MAX
            and statuses.keys() <= {201, *load.AGAIN},
        )
    ]


@dataclass
class Crowd:
    """Clients of one api; what they take is never asked for twice."""

    here: Site
    at: Ports
    _asked: int = 0

    def takes(self, clients: int, count: int) -> load.Load:
        token = self.here.token("enterprise", "person-of-1", region_code="", uscc=holds.HOLDER)
        numbers = range(self._asked, self._asked + count)
        self._asked += count
        requests = [
            [
                hot.posted(self.at.api, "/v1/pledges", holds.body(number), token)
                for number in numbers[client::clients]
            ]
            for client in range(clients)
        ]
        return load.run(self.at.api, requests, self.here.directory)
