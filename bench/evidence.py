"""Evidence of a long log: exported by the feed, then verified offline, as anyone may.

`python -m bench evidence` writes a log of a million events first: some minutes.
"""

import asyncio
import time

from bench.figures import Figure
from bench.rebuild import told
from bench.site import site, source_of
from yaosu.evidence.check import check
from yaosu.evidence.collect import Asker, export

EVENTS = 1_000_000
SECONDS_MAX = 60


def measure(count: int = EVENTS) -> list[Figure]:
    with site() as here:
        url = here.database("energy_trade")
        told(here, url, count)
        owner = here.service("energy_trade", "api", url)
        asker = Asker(here.keys.signer("gateway"), source_of("gateway"))
        file = here.directory / "evidence.zip"
        began = time.perf_counter()
        inner_urls = {"energy": f"http://127.0.0.1:{owner.inner}"}
        exported = asyncio.run(export(file, inner_urls, asker))
        export_s = time.perf_counter() - began
        began = time.perf_counter()
        report = check(file)
        verify_s = time.perf_counter() - began
        assert report.is_sound, report.findings
        assert exported.event_count == count
        megabytes = file.stat().st_size / 1e6
    return [
        Figure(
            f"`yaosu verify` of {count:,} events, offline",
            f"{verify_s:,.0f} s, {count / verify_s:,.0f}/s",
            f"`yaosu export` of them {export_s:,.0f} s, {megabytes:,.0f} MB",
            "",
            "≤ 60 s for 1,000,000",
            verify_s <= SECONDS_MAX,
        )
    ]
