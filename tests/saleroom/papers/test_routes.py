"""Papers over HTTP: for whom they are, as facts and as PDF, printed and read back."""

import asyncio
import io
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from pypdf import PdfReader

from builders import Trust, a_client, a_uscc
from databases import rows
from marketkit.db import Database
from marketkit.signing import canonical, sm3
from marketkit.web import create_app
from saleroom.papers.routes import PRESSES, routes
from stories import Story
from toy_market import TOY

KINDS = ("bid-receipt", "deposit-receipt", "deal-confirmation", "payment-notice")
OWN: dict[str, Any] = {"roles": ["enterprise"], "uscc": a_uscc(1), "region_code": ""}
OTHER = OWN | {"uscc": a_uscc(2)}
CENTER = {"roles": ["trading_center"]}
BUREAU = {"roles": ["bureau_officer"], "department": "energy"}
READERS: dict[str, set[str]] = {
    "bid-receipt": {"own"},
    "deposit-receipt": {"own", "center"},
    "deal-confirmation": {"own", "center", "bureau"},
    "payment-notice": {"own", "center", "bureau"},
}
CALLERS: dict[str, dict[str, Any]] = {
    "own": OWN,
    "center": CENTER,
    "bureau": BUREAU,
    "bureau of another department": BUREAU | {"department": "land"},
    "key officer": {"roles": ["key_officer"]},
    "witness": {"roles": ["witness"]},
    "supervisor": {"roles": ["supervisor"]},
    "auditor": {"roles": ["auditor"]},
    "administrator": {"roles": ["system_admin"]},
    "county system": {"roles": ["county_system"], "region_code": "370502"},
}
OUTSIDERS: dict[str, dict[str, Any]] = {
    "other": OTHER,
    "county center": CENTER | {"region_code": "370502"},
    "county bureau": BUREAU | {"region_code": "370502"},
}


@dataclass
class Desk:
    """A confirmed sale behind HTTP; bidder 1 won, bidder 2 did not."""

    story: Story
    ids: dict[str, str] = field(default_factory=dict)
    trust: Trust = field(default_factory=Trust)

    def __post_init__(self) -> None:
        self.app = create_app(self.story.house, self.trust.verifier, "papers", [routes(TOY)])

    async def ask(
        self, kind: str, who: dict[str, Any] | None, *, of: str = "", form: str = ""
    ) -> httpx.Response:
        said = dict(who or {})
        token = self.trust.token(*said.pop("roles"), **said) if who else ""
        path = f"/v1/sales/{self.story.sale_id}/papers/{kind}/{of or self.ids[kind]}{form}"
        async with a_client(self.app, token) as client:
            return await client.get(path)


@pytest.fixture
async def story(energy_house: Database) -> Story:
    story = Story(energy_house)
    await story.bidders(("226.50", "4000"), ("199.00", "1000"))
    return story


async def desk_of(story: Story) -> Desk:
    query = "SELECT id FROM sealed_bid WHERE uscc = :uscc"
    (bid,) = await rows(story.house, query, uscc=a_uscc(1))
    return Desk(story, {kind: story.contract(1) for kind in KINDS} | {"bid-receipt": bid.id})


@pytest.fixture
async def desk(story: Story) -> Desk:
    await story.open()
    await story.confirm()
    return await desk_of(story)


def printed(answer: httpx.Response) -> str:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/pdf"
    return "".join(page.extract_text() for page in PdfReader(io.BytesIO(answer.content)).pages)


@pytest.mark.parametrize("form", ["", ".pdf"])
@pytest.mark.parametrize("kind", KINDS)
async def test_each_paper_is_for_its_readers_only(desk: Desk, kind: str, form: str) -> None:
    answers = {
        name: (await desk.ask(kind, who, form=form)).status_code for name, who in CALLERS.items()
    }
    assert answers == {name: 200 if name in READERS[kind] else 403 for name in CALLERS}
    assert (await desk.ask(kind, None, form=form)).status_code == 401


@pytest.mark.parametrize("form", ["", ".pdf"])
@pytest.mark.parametrize("kind", KINDS)
async def test_another_s_paper_is_as_unknown_as_one_that_never_was(
    desk: Desk, kind: str, form: str
) -> None:
    for name, who in OUTSIDERS.items():
        if name != "other" and name.split()[1] not in READERS[kind]:
            continue
        answers = [await desk.ask(kind, who, of=of, form=form) for of in ("", "unknown")]
        assert [answer.status_code for answer in answers] == [404, 404], name
        foreign, unknown = (answer.json() | {"trace_id": ""} for answer in answers)
        assert foreign == unknown
        assert foreign["code"] == "PAPER_UNKNOWN"


@pytest.mark.parametrize("kind", KINDS)
async def test_the_digest_is_over_the_facts_as_they_are_answered(desk: Desk, kind: str) -> None:
    said = (await desk.ask(kind, OWN)).json()
    assert said["sm3"] == sm3(canonical(said["facts"])).hex()
    assert said["proof"] == (
        f"/proofs/{desk.story.sale_id}/{kind}/{desk.ids[kind]}?sm3={said['sm3']}"
    )


@pytest.mark.parametrize("kind", KINDS)
async def test_the_page_carries_the_digest_and_is_the_same_each_time(desk: Desk, kind: str) -> None:
    said = (await desk.ask(kind, OWN)).json()
    first, again = [await desk.ask(kind, OWN, form=".pdf") for _ in range(2)]
    assert first.content == again.content
    page = printed(first).replace(" ", "")
    for shown in (said["sm3"], said["facts"]["paper_no"], said["facts"]["party"]["name"]):
        assert shown in page


async def test_the_page_of_a_bid_says_nothing_of_its_content(story: Story) -> None:
    desk = await desk_of(story)
    page = printed(await desk.ask("bid-receipt", OWN, form=".pdf"))
    assert "226.50" not in page
    assert "4000" not in page.replace(",", "")


@pytest.mark.parametrize("form", ["", ".pdf"])
@pytest.mark.parametrize("kind", ["deal-confirmation", "payment-notice"])
async def test_a_paper_that_does_not_exist_yet_is_a_conflict(
    story: Story, kind: str, form: str
) -> None:
    answer = await (await desk_of(story)).ask(kind, OWN, form=form)
    assert (answer.status_code, answer.json()["code"]) == (409, "DEAL_NOT_CONFIRMED")
    assert answer.json()["title"] == "交易结果尚未确认，暂无此文书"


async def test_a_deposit_not_booked_has_no_receipt(energy_house: Database) -> None:
    story = Story(energy_house)
    await story.announce()
    await story.entrant(1, pays=False)
    desk = Desk(story, {"deposit-receipt": story.contract(1)})
    answer = await desk.ask("deposit-receipt", OWN, form=".pdf")
    assert (answer.status_code, answer.json()["code"]) == (409, "DEPOSIT_NOT_BOOKED")


@pytest.mark.parametrize(
    "name",
    [
        "#panic() $x$ *粗* _斜_ `原` <签> @引 \"双\" '单' \\u{4e00} //",
        "东营" * 100,
        "W" * 200,
        "\U00013000东营",
    ],
    ids=["markup", "long", "one word", "a character without a glyph"],
)
async def test_a_name_is_printed_whatever_it_is(desk: Desk, name: str) -> None:
    await rows(desk.story.house, "UPDATE registration SET name = :name", name=name)
    for kind in KINDS:
        page = printed(await desk.ask(kind, OWN, form=".pdf"))
        shown = page.replace("\n", "").replace(" ", "").replace("\u200b", "")
        assert name.replace(" ", "").lstrip("\U00013000") in shown


async def test_more_are_asked_for_than_presses_and_each_gets_its_own(desk: Desk) -> None:
    asked = [(kind, desk.ask(kind, OWN, form=".pdf")) for kind in KINDS * PRESSES]
    answers = await asyncio.gather(*(answer for _, answer in asked))
    for (kind, _), answer in zip(asked, answers, strict=True):
        assert f'filename="{kind}-{desk.ids[kind]}.pdf"' in answer.headers["content-disposition"]
        assert desk.ids[kind] in printed(answer)


def test_every_route_is_quiet() -> None:
    found = [route for route in routes(TOY).routes if "quiet" in getattr(route, "tags", [])]
    # Each as facts and as a PDF, and the one proof of them all.
    assert len(found) == 2 * len(KINDS) + 1
