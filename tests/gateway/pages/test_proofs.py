"""Where the code on a paper leads, from the scanner's camera to the log of the owning service."""

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from prometheus_client import generate_latest
from structlog.testing import capture_logs

from builders import Trust, a_client, a_uscc
from chromium import chromium
from databases import rows
from gateway.commands.routes import Upstream, proof_of
from gateway.pages.routes import routes as pages
from gateway.settings import UpstreamSettings
from gateway_site import served
from marketkit.db import Database
from marketkit.inner import add_documents
from marketkit.web import create_app
from marketkit.worker import sequence_once
from saleroom.papers import actions
from saleroom.papers.routes import routes as papers
from saleroom.papers.rules import proof
from stories import Story
from toy_market import TOY

AT = UpstreamSettings(api="http://a.test", inner="http://i.test", source="/370500/energy-trade")
PICTURES = Path(__file__).parents[3] / ".yaosu" / "reports" / "pages"
KINDS = ("bid-receipt", "deposit-receipt", "deal-confirmation", "payment-notice")
WRONG = "0" * 64


async def no_title(code: str) -> str | None:
    return None


class Papers:
    """Papers of bidder 1 at the owning service, and the gateway before it."""

    def __init__(self, story: Story, portal: Database) -> None:
        self.story = story
        owner = create_app(story.house, Trust().verifier, "papers", [papers(TOY)])
        add_documents(owner, owner)
        # A service without papers stands beside it, as land-index does.
        other = create_app(portal, Trust().verifier, "other", [])
        add_documents(other, other)
        self.upstreams = [
            Upstream("land", AT, httpx.ASGITransport(other)),
            Upstream("energy", AT, httpx.ASGITransport(owner)),
        ]
        routers = [pages({"energy": AT.source}, no_title, partial(proof_of, self.upstreams))]
        self.app: FastAPI = create_app(portal, Trust().verifier, "gateway", routers)

    async def address(self, kind: str) -> str:
        """What the code on the paper says."""
        (bid,) = await rows(
            self.story.house, "SELECT id FROM sealed_bid WHERE uscc = :uscc", uscc=a_uscc(1)
        )
        paper_id = bid.id if kind == "bid-receipt" else self.story.contract(1)
        find = actions.PROVABLE[kind][0]
        return proof(
            await self.story.house.run(lambda s: find(s, TOY, self.story.sale_id, paper_id))
        )

    async def seen(self, address: str, status: int = 200) -> str:
        async with a_client(self.app) as client:
            answer = await client.get(address)
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert answer.headers["cache-control"] == "no-store"
        return answer.text


@pytest.fixture
async def desk(energy_house: Database, gateway_house: Database) -> AsyncIterator[Papers]:
    story = Story(energy_house)
    await story.bidders(("226.50", "4000"), ("199.00", "1000"))
    found = Papers(story, gateway_house)
    yield found
    for upstream in found.upstreams:
        await upstream.close()


async def opened(desk: Papers) -> None:
    await desk.story.open()
    await desk.story.confirm()
    while await sequence_once(desk.story.house):
        pass


async def test_before_the_opening_a_receipt_holds_and_its_place_is_kept_back(desk: Papers) -> None:
    while await sequence_once(desk.story.house):
        pass
    for kind in KINDS[:2]:
        page = await desk.seen(await desk.address(kind))
        assert "核验相符" in page
        assert "存证位置不予公布" in page
        assert "链值" not in page
        assert a_uscc(1) not in page


async def test_after_the_opening_the_page_tells_the_place(desk: Papers) -> None:
    await opened(desk)
    for kind in KINDS:
        await tells_the_place(desk, kind)


async def tells_the_place(desk: Papers, kind: str) -> None:
    address = await desk.address(kind)
    page = await desk.seen(address)
    assert address.partition("=")[2] in page.replace(" ", "")
    for said in (
        "核验相符",
        "分区与序号",
        "链值（SM3）",
        "覆盖它的检查点",
        "号，签于",
        "yaosu.energy.sale.",
    ):
        assert said in page
    (entered,) = await rows(
        desk.story.house, "SELECT * FROM registration WHERE uscc = :uscc", uscc=a_uscc(1)
    )
    for personal in (entered.name, entered.uscc, entered.project_code, "226.50"):
        assert personal not in page


async def test_whatever_is_not_this_paper_has_one_same_page(desk: Papers) -> None:
    address = await desk.address("bid-receipt")
    path, _, right = address.partition("?sm3=")
    _, _, sale_id, kind, paper_id = path.split("/")
    other = f"/proofs/{sale_id}"
    hostile = [
        f"{path}?sm3={WRONG}",
        f"{path}?sm3={right.upper()}",
        f"{path}?sm3={right}0",
        f"{path}?sm3={right}%0d%0aX-A:b",
        path,
        f"{other}/deposit-receipt/{paper_id}?sm3={right}",
        f"{other}/contract/{paper_id}?sm3={right}",
        f"{other}/{kind}/01ARZ3NDEKTSV4RRFFQ69G5FB0?sm3={right}",
        f"/proofs/01ARZ3NDEKTSV4RRFFQ69G5FB0/{kind}/{paper_id}?sm3={right}",
        f"{other}/{kind}/..?sm3={right}".replace("..", "%2e%2e"),
        f"{other}/{kind}/%3Cscript%3E?sm3={right}",
        f"{other}/{kind}/{paper_id}%3Fsm3=x?sm3={right}",
        f"{other}/{kind}/{'x' * 900}?sm3={right}",
        f"{other}/deal-confirmation/{desk.story.contract(1)}?sm3={WRONG}",
    ]
    pages = {await desk.seen(address, 404) for address in hostile}
    assert len(pages) == 1
    assert "核验不符" in pages.pop()
    assert "核验相符" in await desk.seen(address)


async def test_what_can_be_read_in_two_ways_is_not_read(desk: Papers) -> None:
    address = await desk.address("bid-receipt")
    path = address.partition("?")[0]
    async with a_client(desk.app) as client:
        for hostile in (f"{address}&sm3={WRONG}", f"{path}?sm3=%00", f"{path}%00?sm3={WRONG}"):
            assert (await client.get(hostile)).status_code in {400, 404}


async def test_a_service_that_is_down_is_no_word_against_a_paper(
    desk: Papers, gateway_house: Database
) -> None:
    address = await desk.address("bid-receipt")

    async def nobody(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("planted")

    desk.upstreams[1] = Upstream("energy", AT, httpx.MockTransport(nobody))
    page = await desk.seen(address, 503)
    assert "暂时无法核验" in page
    assert "核验不符" not in page


async def test_one_service_that_is_down_hides_no_other_s_proof(desk: Papers) -> None:
    async def nobody(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("planted")

    desk.upstreams[0] = Upstream("land", AT, httpx.MockTransport(nobody))
    assert "核验相符" in await desk.seen(await desk.address("bid-receipt"))


async def test_who_looks_at_a_receipt_is_neither_logged_nor_counted(desk: Papers) -> None:
    address = await desk.address("bid-receipt")
    with capture_logs() as logs:
        await desk.seen(address)
    assert {entry["route"] for entry in logs if entry["event"] == "request"} <= {"/openapi.json"}
    assert b"proof" not in generate_latest()


@pytest.mark.slow
async def test_the_page_in_a_browser(desk: Papers, tmp_path: Path) -> None:
    sealed = await desk.address("bid-receipt")
    async with served(desk.app) as site, chromium(tmp_path) as tab:
        for name, address, said in (
            ("proof-sealed", sealed, "核验相符"),
            ("proof-wrong", sealed[:-1] + "g", "核验不符"),
        ):
            await tab.size(1200)
            await tab.open(site + address)
            assert said in await tab.text()
            await tab.picture(PICTURES / f"{name}.png")
        await opened(desk)
        for width in (1200, 380):
            await tab.size(width)
            await tab.open(site + await desk.address("deal-confirmation"))
            assert "覆盖它的检查点" in await tab.text()
            assert await tab.run("document.documentElement.scrollWidth") <= width
            await tab.picture(PICTURES / f"proof-{width}.png")
        # The page that is none is complained of by the browser, and nothing else.
        assert [error for error in tab.errors if "404" not in error] == []
