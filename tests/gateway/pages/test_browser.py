"""The pages as a reader's browser has them. Pictures to look at: `.yaosu/reports/pages`."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import uvicorn

from builders import MAC_KEY, NOON, Trust
from chromium import Tab, chromium
from contracts import sale as told
from gateway.board import routes as board
from gateway.pages import routes as pages
from gateway.streams import routes as streams
from marketkit.db import Database
from marketkit.facts import Fact
from marketkit.strict_http import StrictHttp
from marketkit.units import format_instant
from marketkit.web import create_app
from sale_story import SALE, Story
from told_board import ENERGY, Teller

pytestmark = pytest.mark.slow

PICTURES = Path(__file__).parents[3] / ".yaosu" / "reports" / "pages"
SOURCES = {"energy": ENERGY}
WIDE, NARROW = 1200, 380
NO_STREAM = """
delete window.EventSource;
const slow = window.setInterval.bind(window);
window.setInterval = (act, ms) => slow(act, ms / 50);
"""


@asynccontextmanager
async def gateway(house: Database) -> AsyncIterator[str]:
    """Board, stream and pages on a free port; its address."""
    stopping = threading.Event()

    async def title_of(code: str) -> str | None:
        return None

    routers = [
        streams.routes(house, SOURCES, MAC_KEY, stopping.is_set),
        board.routes(SOURCES),
        pages.routes(SOURCES, title_of),
    ]
    app = create_app(house, Trust().verifier, "gateway", routers)
    config = uvicorn.Config(
        app, host="127.0.0.1", port=0, log_config=None, http=StrictHttp, ws="none", lifespan="off"
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:
        assert not serving.done()
        await asyncio.sleep(0.01)
    host, port = server.servers[0].sockets[0].getsockname()[:2]
    try:
        yield f"http://{host}:{port}"
    finally:
        stopping.set()
        server.should_exit = True
        async with asyncio.timeout(5):
            await serving


@asynccontextmanager
async def reader(house: Database, folder: Path) -> AsyncIterator[tuple[Tab, str]]:
    async with gateway(house) as address, chromium(folder) as tab:
        await tab.size(WIDE)
        yield tab, address
        assert tab.errors == []


def split(story: Story, last: type[Fact]) -> tuple[list[tuple[str, Fact]], list[tuple[str, Fact]]]:
    """The story's facts up to one, and those after it."""
    facts = story.facts()
    at = max(n for n, (_, fact) in enumerate(facts) if isinstance(fact, last)) + 1
    return facts[:at], facts[at:]


def settled() -> list[tuple[str, Fact]]:
    signed = told.ContractSigned.model_validate(
        {
            "registration_id": "registration-1",
            "amount_yuan": "880000.00",
            "deposit_yuan": "160000.00",
            "due_yuan": "720000.00",
            "pay_by": format_instant(NOON),
        }
    )
    facts: list[Fact] = [
        told.SaleConfirmed(movements=[]),
        signed,
        told.SalePaid(registration_id="registration-1"),
        told.SaleDelivered(registration_id="registration-1"),
    ]
    return [(SALE, fact) for fact in facts]


async def test_a_sale_is_followed_to_its_end_without_loading_the_page_again(
    gateway_house: Database, tmp_path: Path
) -> None:
    teller = Teller(gateway_house)
    before, after = split(Story(), told.SaleClosed)
    await teller.tell(before)
    async with reader(gateway_house, tmp_path) as (tab, address):
        await tab.open(f"{address}/sales/{SALE}")
        await tab.run("window.mark = 'the same page'")
        text = await tab.text()
        assert "报价截止，待开标" in text
        assert "开标情况" not in text
        await tab.picture(PICTURES / "sale-closed.png")
        await tab.until("document.body.innerText.includes('本页随事项发生自动更新')")
        await teller.tell(after)
        await tab.until("document.body.innerText.includes('226.50 × 4,000.000')")
        await teller.tell(settled())
        await tab.until("document.body.innerText.includes('已交割')")
        assert await tab.run("window.mark") == "the same page"
        await tab.picture(PICTURES / "sale-delivered.png")


async def test_without_a_stream_the_page_asks_now_and_then(
    gateway_house: Database, tmp_path: Path
) -> None:
    teller = Teller(gateway_house)
    before, after = split(Story(), told.SaleAnnounced)
    async with reader(gateway_house, tmp_path) as (tab, address):
        await tab.ask("Page.addScriptToEvaluateOnNewDocument", source=NO_STREAM)
        await tab.open(f"{address}/")
        await tab.run("window.mark = 'the same page'")
        assert "目前没有正在进行的交易。" in await tab.text()
        await teller.tell(before)
        await tab.until("document.body.innerText.includes('公告中')")
        await teller.tell(after)
        await tab.until("document.body.innerText.includes('结果公示')")
        assert await tab.run("window.mark") == "the same page"


async def test_pages_fit_wide_and_narrow_screens_and_paper(
    gateway_house: Database, tmp_path: Path
) -> None:
    teller = Teller(gateway_house)
    await teller.tell([*Story().facts(), *settled()])
    async with reader(gateway_house, tmp_path) as (tab, address):
        for name, path in (
            ("home", "/"),
            ("announcements", "/announcements"),
            ("sale", f"/sales/{SALE}"),
            ("problem", "/problems/BELOW_FLOOR"),
        ):
            for width in (WIDE, NARROW):
                await tab.size(width)
                await tab.open(address + path)
                assert await tab.run("document.documentElement.scrollWidth") <= width
                await tab.picture(PICTURES / f"{name}-{width}.png")
            assert await tab.run("document.querySelectorAll('h1').length") == 1
            assert (
                await tab.run("document.querySelectorAll('table:not(:has(caption))').length") == 0
            )
        await tab.size(WIDE)
        await tab.open(f"{address}/sales/{SALE}")
        await tab.ask("Emulation.setEmulatedMedia", media="print")
        await tab.picture(PICTURES / "sale-print.png")
