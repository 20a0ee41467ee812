"""The pages as a reader's browser has them. Pictures to look at: `.yaosu/reports/pages`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from builders import NOON
from chromium import Tab, chromium
from contracts import sale as told
from gateway_site import site
from marketkit.db import Database
from marketkit.facts import Fact
from marketkit.units import format_instant
from sale_story import SALE, Story
from told_board import Teller

pytestmark = pytest.mark.slow

PICTURES = Path(__file__).parents[3] / ".yaosu" / "reports" / "pages"
WIDE, NARROW = 1200, 380
NO_STREAM = """
delete window.EventSource;
const slow = window.setInterval.bind(window);
window.setInterval = (act, ms) => slow(act, ms / 50);
"""


@asynccontextmanager
async def reader(house: Database, folder: Path) -> AsyncIterator[tuple[Tab, str]]:
    async with site(house) as address, chromium(folder) as tab:
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
