"""Before the opening: no price, no quantity, no bidder's name and no count, wherever one looks."""

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from folds import rows
from lab.canaries import files_under
from marketkit.codes import CITY
from marketkit.units import TCE, YUAN
from saleroom.sealing import BidPlace
from yaosu.bid import place_bid, read_steps
from yaosu.client import Client, Sent
from yaosu.demo import facts, quota
from yaosu.demo.clock import Clock
from yaosu.demo.facts import BIDDERS, minutes_after
from yaosu.demo.market import Sale, until
from yaosu.demo.people import Desk, enterprise
from yaosu.evidence.collect import Asker
from yaosu.keys import GATEWAY
from yaosu.stack import Stack

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

# Where the owner keeps who takes part; nobody else reads these tables. Offers stand in none.
NAMED = {"energy.public.registration", "energy.public.screening", "energy.public.stored_answer"}
# Prices and quantities that nothing else in the house is: below what each registered for.
OFFERS = tuple(
    tuple(offer.split(":"))
    for offer in ("243.17:2683", "193.29:1787", "237.43:4391", "231.61:3373", "227.89:3847")
)
# What moves by itself: clock, process, the ledger's check, the house's questions to each other, how
# long ago a relay was last level, which it is without anything to send, too.
TIMELY = re.compile(
    r"python_|process_|\w+_(bucket|sum|created)\b|yaosu_clock_offset_seconds|yaosu_ledger_|"
    r"yaosu_task_restarts_total|yaosu_outbox_oldest_unsent_seconds"
    r'|\w+\{.*route="/(v1/(events|checkpoints|clock|keys)|metrics|readyz|healthz)'
)
BYTES = re.compile(r"\\+x((?:[0-9a-f]{2})+)")


def forms() -> Iterator[str]:
    """Each price in yuan and in fen, each quantity in tce and in kgce."""
    for price, quantity in OFFERS:
        kgce = TCE.parse(quantity)
        yield from (price, str(YUAN.parse(price)), quantity, TCE.format(kgce), str(kgce))


# A gauge would say them with a point; within a longer number or a key they are chance.
OFFER = re.compile(rf"(?<![\w.])({'|'.join(map(re.escape, forms()))})(?:\.0)?(?!\w|\.\d)")


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[Stack]:
    async with Stack(tmp_path / "data") as stack:
        yield stack


@contextlib.asynccontextmanager
async def entered(house: Stack) -> AsyncIterator[Sale]:
    """The demonstration up to where its five bidders may bid."""
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
        yield sale


@contextlib.asynccontextmanager
async def listening(house: Stack) -> AsyncIterator[list[str]]:
    """What the board's stream brings meanwhile to anyone, once it has begun."""
    heard: list[str] = []

    async def listen() -> None:
        async with (
            httpx.AsyncClient(timeout=None, trust_env=False) as client,
            client.stream("GET", f"{house.gateway_url}/v1/board/stream") as answer,
        ):
            async for text in answer.aiter_text():
                heard.append(text)

    listener = asyncio.create_task(listen())
    try:
        await until_heard(heard, "retry")
        yield heard
    finally:
        listener.cancel()
        await asyncio.wait([listener])


async def until_heard(heard: list[str], word: str) -> None:
    async def is_heard() -> bool:
        return word in "".join(heard)

    await until(is_heard, "stream")


async def ask_for_notices(sale: Sale) -> None:
    """What a bidder's client does before it bids."""
    for bidder in BIDDERS:
        await sale.desk.ask(enterprise(bidder.uscc, bidder.region_code), sale.path)


async def bid(sale: Sale) -> None:
    for bidder, offer in zip(BIDDERS, OFFERS, strict=True):
        await place_bid(
            sale.desk.client,
            "energy",
            BidPlace(sale.sale_id, bidder.uscc, 1),
            read_steps([":".join(offer)], TCE),
            token=sale.desk.token(enterprise(bidder.uscc, bidder.region_code)),
        )


async def refused(house: Stack, sale: Sale) -> dict[str, str]:
    """What those are answered who send in the clear what should be sealed, or register wrongly."""
    bidder, (price, quantity) = BIDDERS[0], OFFERS[0]
    step = {"price_yuan": price, "quantity": quantity}
    sealed = {"version": 2, "ciphertext": "AA", "commitment": "AA", "key_sm3": "AA"}
    entry = {"project_code": bidder.project_code, "name": bidder.name, "quantity_max": quantity}
    sent = [
        ("sealed-bids", json.dumps({"steps": [step], "bidder_name": bidder.name})),
        ("sealed-bids", json.dumps(sealed | {"ciphertext": json.dumps(step)})),
        ("sealed-bids", json.dumps(sealed | {"version": price, "note": bidder.name})),
        ("sealed-bids", f'{{"price_yuan":"{price}","quantity":{quantity},"name":"{bidder.name}"'),
        ("sealed-bids", json.dumps(sealed)),
        ("registrations", json.dumps(entry | {"quantity_max": f"{quantity}.0001", "note": price})),
        ("registrations", json.dumps(entry)),
    ]
    token = await sale.desk.token(enterprise(bidder.uscc, bidder.region_code))()
    texts = {}
    async with httpx.AsyncClient(timeout=10, trust_env=False) as client:
        for number, (what, body) in enumerate(sent, 1):
            answer = await client.post(
                f"{house.gateway_url}{sale.path}/{what}",
                content=body,
                headers={
                    "Authorization": f"Bearer {token}",
                    "Content-Type": "application/json",
                    "Idempotency-Key": f"refused-{number}",
                },
            )
            assert 400 <= answer.status_code < 500, answer.text
            texts[f"refusal {number}"] = f"{answer.headers} {answer.text}"
    return texts


def in_the_clear(text: str) -> str:
    """The text with bytes read as the text they are."""
    return BYTES.sub(lambda found: bytes.fromhex(found[1]).decode("utf-8", "replace"), text)


def table_texts(house: Stack) -> dict[str, str]:
    """Every row of every table of every database, as text."""
    texts = {}
    for service in house.services:
        tables = rows(
            house,
            service,
            "SELECT schemaname, tablename FROM pg_tables "
            "WHERE schemaname NOT IN ('pg_catalog', 'information_schema')",
        )
        for schema, table in tables:
            found = rows(house, service, f'SELECT t::text FROM "{schema}"."{table}" t')
            texts[f"{service}.{schema}.{table}"] = "\n".join(in_the_clear(row) for (row,) in found)
    return texts


async def public_texts(house: Stack, sale: Sale) -> dict[str, str]:
    """What anyone gets: the board, its pages, the owner's public reads and refusals."""
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
    async with httpx.AsyncClient(timeout=10, trust_env=False) as client:
        texts = {path: (await client.get(house.gateway_url + path)).text for path in paths}
    return {path: re.sub(r'"trace_id":"\w+"', "", text) for path, text in texts.items()}


async def metric_texts(house: Stack) -> dict[str, str]:
    async with httpx.AsyncClient(timeout=10, trust_env=False) as client:
        return {
            f"{name} metrics": (await client.get(f"{url}/metrics")).text
            for name, url in house.inner_urls.items()
        }


def log_texts(house: Stack) -> dict[str, str]:
    # PostgreSQL says the number of its process in brackets.
    return {
        file.name: re.sub(r"\[\d+\]", "", file.read_text("utf-8"))
        for file in (house.data_dir / "logs").glob("*.log")
    }


async def seen(house: Stack, sale: Sale) -> dict[str, str]:
    """All that is kept, shown and noted, by where."""
    return {
        **table_texts(house),
        **await public_texts(house, sale),
        **await metric_texts(house),
        **log_texts(house),
    }


def with_offers(texts: dict[str, str]) -> dict[str, set[str]]:
    """Which prices and quantities stand where."""
    found = {place: set(OFFER.findall(text)) for place, text in texts.items()}
    return {place: offers for place, offers in found.items() if offers}


def with_names(texts: dict[str, str]) -> set[str]:
    return {
        place for place, text in texts.items() if any(bidder.name in text for bidder in BIDDERS)
    }


@dataclass
class Shown:
    """What anyone may read of a house that is quiet: the public texts, the metrics, the stream."""

    texts: dict[str, str]
    counts: dict[str, float]
    heard: str

    def moved_since(self, before: "Shown") -> dict[str, float]:
        """By how much each series moved; one that appeared moved from nothing."""
        both = self.counts.keys() | before.counts.keys()
        moved = {one: self.counts.get(one, 0.0) - before.counts.get(one, 0.0) for one in both}
        return {one: by for one, by in moved.items() if by or one not in before.counts}


async def shown(house: Stack, sale: Sale, heard: list[str]) -> Shown:
    """Wait until the gateway has read all that was told, then look."""
    told = "SELECT sum(last) FROM (SELECT max(sequence) AS last FROM log GROUP BY partition) l"
    source = house.services["energy"].source
    read = f"SELECT sum(sequence) FROM position WHERE source = '{source}'"

    async def is_read() -> bool:
        is_told = rows(house, "energy", "SELECT count(*) FROM outbox") == [(0,)]
        return is_told and rows(house, "energy", told) == rows(house, "gateway", read)

    await until(is_read, "board")
    # The stream's watcher looks twice a second, the workers measure as often.
    await asyncio.sleep(1.5)
    lines = [
        f"{place} {line}"
        for place, text in (await metric_texts(house)).items()
        for line in text.splitlines()
        if not line.startswith("#") and not TIMELY.match(line)
    ]
    pairs = (line.rsplit(" ", 1) for line in lines)
    counts = {series: float(value) for series, value in pairs}
    said = "".join(heard).replace(": keep-alive\n\n", "")
    return Shown(await public_texts(house, sale), counts, said)


def on_disk(house: Stack) -> list[Path]:
    """Files of the store in which an offer stands as the bidder wrote it, dead rows and WAL too."""
    offers = [f'"price_yuan":"{price}"'.encode() for price, _ in OFFERS]
    files = files_under(house.data_dir / "postgres")
    return [file for file, content in files if any(offer in content for offer in offers)]


async def test_nothing_of_a_bid_is_anywhere_before_the_opening(house: Stack) -> None:
    async with entered(house) as sale, listening(house) as heard:
        await sale.clock.move(minutes_after(facts.OPENS, 30))
        await until_heard(heard, sale.sale_id)
        before = await shown(house, sale, heard)
        await ask_for_notices(sale)
        none = await shown(house, sale, heard)
        await bid(sale)
        five = await shown(house, sale, heard)
        refusals = await refused(house, sale)
        looked_at = {**await seen(house, sale), **refusals, "stream": "".join(heard)}
        assert rows(house, "energy", "SELECT count(*) FROM sealed_bid") == [(5,)]
        # The sale itself is seen, so that we know we look in the right places.
        places = ("gateway.projection.board_sale", "energy.public.log", "stream", "/v1/board/sales")
        assert [place for place in places if sale.sale_id not in looked_at[place]] == []
        assert with_offers(looked_at) == {}
        assert on_disk(house) == []
        assert with_names(looked_at) == NAMED
        nothing_counts(looked_at, before, none, five)
        await sale.open()
        await everything_is_seen_once_opened(house, sale, heard)


def nothing_counts(looked_at: dict[str, str], before: Shown, none: Shown, five: Shown) -> None:
    """Who reads five notices and who makes five bids leave the same marks."""
    assert none.moved_since(before)
    assert five.moved_since(none) == none.moved_since(before)
    assert five.heard == none.heard
    assert five.texts == none.texts
    for place, text in looked_at.items():
        if place.endswith((" metrics", ".log")):
            assert "sealed-bids" not in text, place
            assert "registrations" not in text, place


async def everything_is_seen_once_opened(house: Stack, sale: Sale, heard: list[str]) -> None:
    """The same looks find every offer: before, it was not that they could not."""
    await shown(house, sale, heard)
    texts = await seen(house, sale)
    found = with_offers(texts)
    offers = {text for price, quantity in OFFERS for text in (price, f"{quantity}.000")}
    for place in (
        "energy.public.revealed_bid",
        "energy.public.log",
        "gateway.projection.board_bid",
        f"/v1/energy/sales/{sale.sale_id}/revealed-bids",
    ):
        assert offers <= found.get(place, set()), (place, found)
    # In minor units, too: the one price that winners pay, and what those cut by nothing get.
    assert found["energy.public.award"] >= {"22789", "4391000", "3373000"}
    assert on_disk(house)
    assert with_names(texts) > NAMED
