import re
from collections.abc import AsyncIterator
from html.parser import HTMLParser
from typing import ClassVar

import httpx
import pytest

from builders import NOON, Trust, a_client
from contracts import sale as told
from gateway.pages.routes import routes
from gateway_site import no_proof
from marketkit.db import Database
from marketkit.facts import Fact
from marketkit.units import TCE, format_instant
from marketkit.web import create_app
from sale_story import SALE, SUPPLY, Story
from told_board import ENERGY, Teller

SEALED_FACTS = (told.SaleRegistered, told.SealedBidPlaced, told.DepositConfirmed)


class Texts(HTMLParser):
    """What a reader sees, and the tags that were not closed in order."""

    VOID: ClassVar = {"meta", "link", "br"}

    def __init__(self, text: str) -> None:
        super().__init__()
        self.said: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.said.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.said).split())


@pytest.fixture
async def site(gateway_house: Database) -> AsyncIterator[httpx.AsyncClient]:
    """The pages alone, of a gateway that reads one service."""

    async def title_of(code: str) -> str | None:
        return {"BIDDING_CLOSED": "报价已截止"}.get(code)

    pages = routes({"energy": ENERGY}, title_of, no_proof)
    async with a_client(create_app(gateway_house, Trust().verifier, "gateway", [pages])) as client:
        yield client


async def seen(site: httpx.AsyncClient, address: str, status: int = 200) -> str:
    answer = await site.get(address)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert 'lang="zh-CN"' in answer.text
    assert not re.findall(r"(?:src|href)=\"(?:https?:)?//", answer.text)
    return Texts(answer.text).text


def until(story: Story, last: type) -> list[tuple[str, Fact]]:
    facts = story.facts()
    at = max(n for n, (_, fact) in enumerate(facts) if isinstance(fact, last))
    return facts[: at + 1]


async def test_an_empty_board_says_that_there_is_nothing_yet(site: httpx.AsyncClient) -> None:
    text = await seen(site, "/")
    assert "暂无公告。" in text
    assert "目前没有正在进行的交易。" in text
    assert "数据截至 —" in text
    assert "暂无公告。" in await seen(site, "/announcements")


async def test_an_announced_sale_is_on_every_page(
    site: httpx.AsyncClient, gateway_house: Database
) -> None:
    story = Story()
    await Teller(gateway_house).tell(until(story, told.SaleAnnounced))
    home = await seen(site, "/")
    assert "2022年第一批能耗指标市场竞购（示例）竞购公告 2022-06-01 12:04:00" in home
    assert "能耗指标 10,000.000 吨标准煤 200.00" in home
    assert "山东省 能耗指标 吨标准煤 10,000.000 10,000.000 0.000" in home
    assert "数据截至 2022-06-01 12:04:00" in home
    page = await seen(site, f"/sales/{SALE}")
    assert "2022年第一批能耗指标市场竞购（示例） 公告中" in page
    assert "底价 200.00 元/吨标准煤" in page
    assert "保证金 底价金额的 20%" in page
    assert "成交结果" not in page
    assert "开标情况" not in page
    assert "竞购公告" in await seen(site, "/announcements")


async def test_before_the_opening_pages_show_nothing_of_those_who_take_part(
    site: httpx.AsyncClient, gateway_house: Database
) -> None:
    story = Story()
    teller = Teller(gateway_house)
    await teller.tell(until(story, told.SaleAnnounced))
    addresses = ("/", f"/sales/{SALE}", "/announcements")
    before = [await seen(site, address) for address in addresses]
    bids = [fact for fact in story.facts() if isinstance(fact[1], told.SealedBidPlaced)]
    taking_part = [
        (SALE, told.SaleRegistered(registration_id="registration-1")),
        (SALE, told.SaleQualified(registration_id="registration-1", verdict="QUALIFIED")),
        (SALE, told.DepositConfirmed(registration_id="registration-1")),
        *bids,
        (SALE, told.DepositsReconciled()),
    ]
    assert len(bids) == 3
    await teller.tell(taking_part)
    assert [await seen(site, address) for address in addresses] == before


async def test_an_opened_sale_shows_every_bid_and_what_became_of_it(
    site: httpx.AsyncClient, gateway_house: Database
) -> None:
    story = Story()
    await Teller(gateway_house).tell(story.facts())
    page = await seen(site, f"/sales/{SALE}")
    assert "成交价（元/吨标准煤） 220.00" in page
    assert "成交金额（元） 2,200,000.00" in page
    assert "226.50 × 4,000.000" in page
    assert "示例企业3" in page
    assert "199.99 × 1,000.000 低于底价" in page
    assert page.count("与承诺值一致") == 3
    assert story.seed.hex() in page


async def test_a_bid_that_is_not_what_was_committed_to_is_marked(
    site: httpx.AsyncClient, gateway_house: Database
) -> None:
    story = Story()
    void = {"plaintext": None, "void_code": "BID_UNREADABLE"}
    story.revealed[0] = story.revealed[0].model_copy(update=void)
    other = {"commitment": story.revealed[2].commitment}
    story.revealed[1] = story.revealed[1].model_copy(update=other)
    await Teller(gateway_house).tell(until(story, told.SaleOpened))
    page = await seen(site, f"/sales/{SALE}")
    assert "报价无效：无法解密" in page.replace("： ", "：")
    assert page.count("与承诺值不符") == 1
    assert page.count("与承诺值一致") == 1


async def test_a_winner_is_followed_until_the_quota_is_delivered(
    site: httpx.AsyncClient, gateway_house: Database
) -> None:
    story = Story()
    teller = Teller(gateway_house)
    await teller.tell(story.facts())
    confirmed = told.SaleConfirmed(movements=[])
    signed = told.ContractSigned.model_validate(
        {
            "registration_id": "registration-1",
            "amount_yuan": "880000.00",
            "deposit_yuan": "160000.00",
            "due_yuan": "720000.00",
            "pay_by": format_instant(NOON),
        }
    )
    await teller.tell([(SALE, confirmed), (SALE, signed)])
    assert "已签约，待付款" in await seen(site, f"/sales/{SALE}")
    delivered = told.SaleDelivered(registration_id="registration-1")
    await teller.tell([(SALE, delivered)])
    page = await seen(site, f"/sales/{SALE}")
    assert "已交割" in page
    assert "待签约" in page
    assert "交割完成（示例企业1）" in page
    assert "成交结果公告" in await seen(site, "/announcements")


async def test_what_is_told_is_shown_as_text(
    site: httpx.AsyncClient, gateway_house: Database
) -> None:
    story = Story()
    facts = until(story, told.SaleAnnounced)
    key, announced = facts[-1]
    assert isinstance(announced, told.SaleAnnounced)
    hostile = announced.model_copy(
        update={"title": "<script>alert(1)</script>", "body": '"><img src=x onerror=alert(1)>'}
    )
    await Teller(gateway_house).tell([*facts[:-1], (key, hostile)])
    for address in ("/", f"/sales/{SALE}", "/announcements"):
        answer = await site.get(address)
        assert "<script>alert" not in answer.text
        assert "<img" not in answer.text
        assert "&lt;script&gt;alert(1)" in answer.text


async def test_an_unknown_sale_has_a_page_that_says_so(site: httpx.AsyncClient) -> None:
    assert "没有这宗已公告的交易" in await seen(site, "/sales/01NONE", 404)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("BIDDING_CLOSED", "报价已截止"),
        ("DEPOSIT_NOT_CONFIRMED", "保证金未按时到账"),
    ],
)
async def test_a_code_is_explained(site: httpx.AsyncClient, code: str, said: str) -> None:
    text = await seen(site, f"/problems/{code}")
    assert said in text
    assert code in text


async def test_an_unknown_code_is_not_repeated(site: httpx.AsyncClient) -> None:
    assert "NO_SUCH" not in await seen(site, "/problems/NO_SUCH", 404)


@pytest.mark.parametrize(
    ("name", "kind"), [("board.css", "text/css"), ("board.js", "text/javascript")]
)
async def test_its_style_and_script_are_served_here(
    site: httpx.AsyncClient, name: str, kind: str
) -> None:
    answer = await site.get(f"/static/{name}")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith(kind)
    assert "http" not in answer.text


@pytest.mark.parametrize("name", ["routes.py", "..%2froutes.py", "board.css.map"])
async def test_nothing_else_is_served(site: httpx.AsyncClient, name: str) -> None:
    assert (await site.get(f"/static/{name}")).status_code == 404


@pytest.mark.parametrize("address", ["/announcements?page=0", f"/sales/{SALE}?page=x"])
async def test_a_page_that_is_none_is_refused(site: httpx.AsyncClient, address: str) -> None:
    answer = await site.get(address)
    assert answer.status_code == 422
    assert answer.json()["code"] == "INPUT_INVALID"


async def test_a_long_list_goes_on_pages(site: httpx.AsyncClient, gateway_house: Database) -> None:
    story = Story()
    _, announced = until(story, told.SaleAnnounced)[-1]
    assert isinstance(announced, told.SaleAnnounced)
    nothing = announced.model_copy(update={"movements": []})
    await Teller(gateway_house).tell([(f"sale-{n}", nothing) for n in range(21)])
    first = await seen(site, "/announcements")
    second = await seen(site, "/announcements?page=2")
    assert "第 1 / 2 页，共 21 条 下一页" in first
    assert "上一页 第 2 / 2 页，共 21 条" in second
    assert TCE.format(SUPPLY) == announced.terms.supply


async def test_every_event_has_its_line_its_schema_and_a_place_in_asyncapi(
    site: httpx.AsyncClient,
) -> None:
    page = await seen(site, "/events")
    wires = (await site.get("/asyncapi.json")).json()
    assert wires["asyncapi"] == "3.0.0"
    for name in wires["components"]["messages"]:
        assert name in page
        schema = (await site.get(f"/schemas/{name}.json")).json()
        assert schema["$id"] == f"/schemas/{name}.json"
    assert (await site.get("/schemas/yaosu.energy.nothing.told.v1.json")).status_code == 404
    assert (await site.get("/schemas/..%2fsale.py")).status_code == 404
