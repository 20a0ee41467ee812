"""Before the opening: no price, no quantity, no bidder's name and no count, wherever one looks."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from folds import rows
from marketkit.codes import CITY
from yaosu.client import Client, Sent
from yaosu.demo import facts, quota
from yaosu.demo.clock import Clock
from yaosu.demo.facts import BIDDERS
from yaosu.demo.market import Sale
from yaosu.demo.people import Desk
from yaosu.evidence.collect import Asker
from yaosu.keys import GATEWAY
from yaosu.stack import Stack

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

# Where the owner keeps who takes part; nobody else reads these tables.
OWN_TABLES = {"registration", "deposit", "sealed_bid", "screening", "stored_answer", "account"}


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[Stack]:
    async with Stack(tmp_path / "data") as stack:
        yield stack


async def bids_are_in(house: Stack) -> Sale:
    """The demonstration up to its five sealed bids."""
    asker = Asker(house.keys.signer(GATEWAY), f"/{CITY}/{GATEWAY}")
    folder = house.data_dir / "demo"
    async with (
        Client(house.gateway_url, Sent(folder / "sent"), trust_env=False) as client,
        Clock(house.inner_urls, asker) as clock,
    ):
        await clock.begin(facts.BEGINS, has_begun=False)
        desk = Desk(client)
        await quota.play(desk, clock, lambda line: None)
        sale = Sale(desk, clock, folder / "officers", lambda line: None)
        await sale.announce()
        await sale.enter()
        await sale.bid()
    return sale


def prices() -> list[str]:
    return [bidder.step.split(":")[0] for bidder in BIDDERS]


def names() -> list[str]:
    return [bidder.name for bidder in BIDDERS]


def table_texts(house: Stack, name: str, but: set[str]) -> dict[str, str]:
    """Every row of every table of a database, as text, but of some tables."""
    tables = rows(
        house,
        name,
        "SELECT schemaname, tablename FROM pg_tables "
        "WHERE schemaname NOT IN ('pg_catalog', 'information_schema')",
    )
    return {
        table: json.dumps(
            rows(house, name, f'SELECT t::text FROM "{schema}"."{table}" t'), ensure_ascii=False
        )
        for schema, table in tables
        if table not in but
    }


def told(house: Stack) -> str:
    found = rows(house, "energy", "SELECT convert_from(event, 'UTF8') FROM log")
    return "\n".join(event for (event,) in found)


async def public_texts(house: Stack, sale: Sale) -> dict[str, str]:
    """What anyone gets: the board, its pages, the owner's public reads, refusals, metrics."""
    paths = [
        "/",
        f"/sales/{sale.sale_id}",
        "/v1/board/sales",
        f"/v1/board/sales/{sale.sale_id}",
        "/v1/board/holdings",
        "/v1/board/announcements",
        "/v1/board/announcements.atom",
        f"/v1/energy/sales/{sale.sale_id}",
        f"/v1/energy/sales/{sale.sale_id}/registrations",
        f"/v1/energy/sales/{sale.sale_id}/sealed-bids",
        f"/v1/energy/sales/{sale.sale_id}/revealed-bids",
        f"/v1/energy/sales/{sale.sale_id}/result",
    ]
    texts = {}
    async with httpx.AsyncClient(timeout=10, trust_env=False) as client:
        for path in paths:
            texts[path] = (await client.get(house.gateway_url + path)).text
        for name, url in house.inner_urls.items():
            texts[f"{name} metrics"] = (await client.get(f"{url}/metrics")).text
    return texts


async def test_nothing_of_a_bid_is_anywhere_before_the_opening(house: Stack) -> None:
    sale = await bids_are_in(house)
    looked_at = {
        **{f"energy.{k}": v for k, v in table_texts(house, "energy", OWN_TABLES).items()},
        **{f"gateway.{k}": v for k, v in table_texts(house, "gateway", set()).items()},
        "told": told(house),
        **await public_texts(house, sale),
        **{file.name: file.read_text("utf-8") for file in (house.data_dir / "logs").glob("*.log")},
    }
    # The sale itself is seen, so that we know we look in the right places.
    assert sale.sale_id in looked_at["gateway.board_sale"]
    assert sale.sale_id in looked_at["told"]
    assert facts.TITLE in looked_at["/"]
    offers = [f'"price_yuan":"{price}"' for price in prices()] + prices()
    for place, text in looked_at.items():
        assert [name for name in names() if name in text] == [], place
        assert [offer for offer in offers if offer in text] == [], place
    await nothing_on_disk_or_counted(house, sale)


async def nothing_on_disk_or_counted(house: Stack, sale: Sale) -> None:
    """No byte of the store holds an offer; no metric and no log line counts bids."""
    offers = [f'"price_yuan":"{price}"'.encode() for price in prices()]
    files = [file for file in (house.data_dir / "postgres").rglob("*") if file.is_file()]
    assert len(files) > 100
    found = [file for file in files for offer in offers if offer in file.read_bytes()]
    assert found == []
    texts = await public_texts(house, sale)
    for place in ("energy metrics", "gateway metrics"):
        assert "sealed-bids" not in texts[place]
        assert "registrations" not in texts[place]
    for file in (house.data_dir / "logs").glob("*.log"):
        assert "sealed-bids" not in file.read_text("utf-8")
    # What anyone may read of a sale with five bids is what they could read of one with none.
    shown = json.loads(texts[f"/v1/board/sales/{sale.sale_id}"])
    assert {step["registration_id"] for step in shown["steps"]} == {None}
    assert shown["result"] is None
