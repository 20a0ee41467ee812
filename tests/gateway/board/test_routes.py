"""The board's answers in JSON and Atom, and what nobody may learn from them before the opening."""

from collections.abc import AsyncIterator
from datetime import date
from xml.etree import ElementTree

import httpx
import pytest
from prometheus_client import generate_latest
from structlog.testing import capture_logs

from builders import Trust, a_client, a_project_code, a_uscc
from contracts import energy, holdings
from contracts import sale as told
from databases import rows
from gateway.board.routes import routes
from gateway_site import EMISSION, SOURCES
from marketkit.checkpoint import sign_checkpoint
from marketkit.db import Database
from marketkit.facts import Fact
from marketkit.movements import Movement
from marketkit.web import create_app
from sale_story import SALE, Story
from told_board import ENERGY, Teller

ATOM = "{http://www.w3.org/2005/Atom}"
ADDRESSES = (
    "/v1/board/sales",
    f"/v1/board/sales/{SALE}",
    f"/v1/board/sales/{SALE}/bids",
    f"/v1/board/sales/{SALE}/awards",
    f"/v1/board/sales/{SALE}/settlements",
    "/v1/board/holdings",
    "/v1/board/announcements",
    "/v1/board/announcements.atom",
)
CANARY = "CANARY-91370500"


@pytest.fixture
async def board(gateway_house: Database) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(gateway_house, Trust().verifier, "gateway", [routes(SOURCES)])
    async with a_client(app) as client:
        yield client


@pytest.fixture
def teller(gateway_house: Database) -> Teller:
    return Teller(gateway_house)


def announced() -> list[tuple[str, Fact]]:
    facts = Story().facts()
    at = next(n for n, (_, fact) in enumerate(facts) if isinstance(fact, told.SaleAnnounced))
    return facts[: at + 1]


async def test_an_empty_board_answers(board: httpx.AsyncClient) -> None:
    answer = await board.get("/v1/board/sales")
    assert answer.status_code == 200
    found = answer.json()
    assert (found["sales"], found["total"], found["as_of"]) == ([], 0, None)
    assert {source["market"] for source in found["sources"]} == {"energy", "emission"}


async def test_an_announced_sale_stands_with_its_terms_and_key(
    board: httpx.AsyncClient, teller: Teller
) -> None:
    await teller.tell(announced())
    found = (await board.get(f"/v1/board/sales/{SALE}")).json()
    assert found["state"] == "ANNOUNCED"
    assert found["terms"]["floor_price_yuan"] == "200.00"
    assert found["terms"]["supply"] == found["supply"] == "10000.000"
    assert found["timetable"]["pay_days"] == 7
    assert found["key"]["key_sm3"] == "00" * 32
    assert found["result"] is None
    assert [step["kind"] for step in found["steps"]] == ["sale.announced"]
    assert found["as_of"] == "2022-06-01T12:04:00+08:00"


async def test_an_opened_sale_stands_with_bids_awards_and_result(
    board: httpx.AsyncClient, teller: Teller
) -> None:
    story = Story()
    await teller.tell(story.facts())
    sale = (await board.get(f"/v1/board/sales/{SALE}")).json()
    assert sale["result"] == {
        "outcome": "SOLD",
        "clearing_price_yuan": "220.00",
        "sold": "10000.000",
        "unsold": "0.000",
        "proceeds_yuan": "2200000.00",
        "draw_secret": bytes(range(32)).hex(),
        "seed": story.seed.hex(),
    }
    bids = (await board.get(f"/v1/board/sales/{SALE}/bids")).json()
    steps = [bid["steps"][0] for bid in bids["bids"]]
    assert [step["awarded"] for step in steps] == ["4000.000", "6000.000", None]
    assert [step["rejected_code"] for step in steps] == [None, None, "BELOW_FLOOR"]
    awards = (await board.get(f"/v1/board/sales/{SALE}/awards")).json()
    assert [award["amount_yuan"] for award in awards["awards"]] == ["880000.00", "1320000.00"]


async def test_holdings_are_told_by_region_and_asset_and_by_nobodys_name(
    board: httpx.AsyncClient, teller: Teller
) -> None:
    await teller.tell(announced())
    answer = await board.get("/v1/board/holdings")
    assert answer.json()["holdings"] == [
        {
            "market": "energy",
            "region_code": "370000",
            "region_name": "山东省",
            "asset": "ENERGY",
            "unit": "tce",
            "posted": "10000.000",
            "held": "10000.000",
            "available": "0.000",
        }
    ]
    assert "province:ENERGY" not in answer.text


def held_by(number: int, quantity: str, lot: str = "lot-1") -> list[tuple[str, Fact]]:
    """An enterprise's account is opened, and quota issued to it."""
    uscc = a_uscc(number)
    account = f"enterprise:{uscc}:ENERGY"
    opened = holdings.AccountOpened(
        account=account, owner_kind="ENTERPRISE", region_code="370502",
        uscc=uscc, project_code=a_project_code(number),
    )  # fmt: skip
    legs = [("issuance:ENERGY", f"-{quantity}"), (account, quantity)]
    moved = [
        Movement(account=of, asset="ENERGY", lot=lot, posted=posted, held="0.000")
        for of, posted in legs
    ]
    issuance = holdings.AccountOpened(
        account="issuance:ENERGY", owner_kind="ISSUANCE", region_code="370500"
    )
    first: list[tuple[str, Fact]] = [(issuance.account, issuance)] if number == 1 else []
    issued = story_issue().model_copy(update={"movements": moved})
    return [*first, (account, opened), (lot, issued)]


def story_issue() -> holdings.QuotaIssued:
    return next(f for _, f in Story().facts() if isinstance(f, holdings.QuotaIssued))


async def test_an_enterprise_sees_what_it_holds_and_nobody_else_s(
    gateway_house: Database, teller: Teller
) -> None:
    trust = Trust()
    app = create_app(gateway_house, trust.verifier, "gateway", [routes(SOURCES)])

    async def own(*roles: str, **claims: str) -> httpx.Response:
        token = trust.token(*roles, **claims) if roles else ""
        async with a_client(app, token) as client:
            return await client.get("/v1/board/holdings/own")

    enterprise = {"region_code": "", "uscc": a_uscc(1)}
    assert (await own("enterprise", **enterprise)).json()["as_of"] is None
    await teller.tell([*held_by(1, "12.500"), *held_by(2, "7.000", "lot-2")])
    answer = (await own("enterprise", **enterprise)).json()
    (line,) = answer["holdings"]
    assert (line["posted"], line["held"], line["available"]) == ("12.500", "0.000", "12.500")
    assert (line["account"], line["lot"]) == (f"enterprise:{a_uscc(1)}:ENERGY", "lot-1")
    assert line["project_code"] == a_project_code(1)
    assert answer["as_of"] == line["as_of"]
    assert {source["market"] for source in answer["sources"]} == {"energy", "emission"}
    # Of another partition, a pledge may be read before what it binds.
    account = f"enterprise:{a_uscc(4)}:ENERGY"
    pledged = energy.PledgeRegistered(
        account=account, creditor_uscc=a_uscc(9), asset="ENERGY", quantity="5.000",
        document_no="质1", effective_on=date(2022, 6, 1),
        movements=[
            Movement(account=account, asset="ENERGY", lot="lot-1", posted="0.000", held="5.000")
        ],
    )  # fmt: skip
    await teller.tell([held_by(4, "1.000")[0], ("pledge-1", pledged)])
    (early,) = (await own("enterprise", region_code="", uscc=a_uscc(4))).json()["holdings"]
    assert (early["posted"], early["available"]) == ("0.000", "-5.000")
    for uscc in (a_uscc(3), "", "%", "*"):
        other = await own("enterprise", region_code="370500", uscc=uscc)
        assert (other.status_code, other.json()["holdings"]) == (200, [])
    assert (await own()).status_code == 401
    for role in ("bureau_officer", "trading_center", "county_officer", "auditor"):
        assert (await own(role, uscc=a_uscc(1))).status_code == 403


async def test_lists_go_by_page_and_filter(board: httpx.AsyncClient, teller: Teller) -> None:
    _, first = announced()[-1]
    assert isinstance(first, told.SaleAnnounced)
    nothing = first.model_copy(update={"movements": []})
    await teller.tell([(f"sale-{n}", nothing) for n in range(5)])
    await teller.tell([("sale-1", told.SaleOpenedForBids())])
    found = (await board.get("/v1/board/sales?page=2&page_size=2")).json()
    assert [sale["sale_id"] for sale in found["sales"]] == ["sale-2", "sale-1"]
    assert (found["page"], found["page_size"], found["total"]) == (2, 2, 5)
    opened = (await board.get("/v1/board/sales?filter[state]=OPEN")).json()
    assert [sale["sale_id"] for sale in opened["sales"]] == ["sale-1"]
    assert (await board.get("/v1/board/sales?filter[market]=emission")).json()["total"] == 0
    beyond = (await board.get("/v1/board/sales?page=9")).json()
    assert (beyond["sales"], beyond["total"]) == ([], 5)


@pytest.mark.parametrize(
    "query", ["page=0", "page=-1", "page=x", "page_size=0", "page_size=201", "page=1e3"]
)
async def test_a_page_that_is_none_is_refused(board: httpx.AsyncClient, query: str) -> None:
    answer = await board.get(f"/v1/board/sales?{query}")
    assert (answer.status_code, answer.json()["code"]) == (422, "INPUT_INVALID")


async def test_a_repeated_parameter_is_refused(board: httpx.AsyncClient) -> None:
    assert (await board.get("/v1/board/sales?page=1&page=2")).status_code == 400


@pytest.mark.parametrize("part", ["", "/bids", "/awards", "/settlements"])
async def test_an_unknown_sale_is_not_found(board: httpx.AsyncClient, part: str) -> None:
    answer = await board.get(f"/v1/board/sales/01NONE{part}")
    assert (answer.status_code, answer.json()["code"]) == (404, "BOARD_SALE_UNKNOWN")


async def test_a_draft_is_as_unknown_as_none(board: httpx.AsyncClient, teller: Teller) -> None:
    await teller.tell([(SALE, told.SaleDrafted(title=CANARY, format="SEALED"))])
    answer = await board.get(f"/v1/board/sales/{SALE}")
    assert (answer.status_code, answer.json()["code"]) == (404, "BOARD_SALE_UNKNOWN")


async def test_announcements_are_a_feed(board: httpx.AsyncClient, teller: Teller) -> None:
    await teller.tell([*announced(), (SALE, told.SaleSuspended(reason="核查<b>&"))])
    answer = await board.get("/v1/board/announcements.atom")
    assert answer.headers["content-type"].startswith("application/atom+xml")
    feed = ElementTree.fromstring(answer.content)
    entries = feed.findall(f"{ATOM}entry")
    assert [entry.findtext(f"{ATOM}title") for entry in entries] == [
        "2022年第一批能耗指标市场竞购（示例）中止公告",
        "2022年第一批能耗指标市场竞购（示例）竞购公告",
    ]
    assert entries[0].findtext(f"{ATOM}content") == "核查<b>&"
    assert feed.findtext(f"{ATOM}updated") == "2022-06-01T12:05:00+08:00"
    assert len({entry.findtext(f"{ATOM}id") for entry in entries}) == 2
    link = entries[0].find(f"{ATOM}link")
    assert link is not None
    assert link.attrib["href"].endswith(f"/sales/{SALE}")


async def answers(board: httpx.AsyncClient) -> list[tuple[int, bytes]]:
    found = [await board.get(address) for address in ADDRESSES]
    return [(answer.status_code, answer.content) for answer in found]


async def test_before_the_opening_no_answer_metric_or_log_tells_of_those_who_take_part(
    board: httpx.AsyncClient, teller: Teller
) -> None:
    await teller.tell([*announced(), (SALE, told.SaleOpenedForBids())])
    before = await answers(board)
    with capture_logs() as logs:
        for number in range(20):
            name = f"{CANARY}-{number}"
            await teller.tell(
                [
                    (SALE, told.SaleRegistered(registration_id=name)),
                    (SALE, told.SaleQualified(registration_id=name, verdict="QUALIFIED")),
                    (SALE, told.DepositConfirmed(registration_id=name)),
                    (SALE, told.SealedBidPlaced(receipt_id=name, commitment=name)),
                    (SALE, told.SealedBidWithdrawn(receipt_id=name)),
                ]
            )
        assert await answers(board) == before
    assert CANARY not in str(logs)
    assert CANARY.encode() not in generate_latest()
    closed = told.SaleClosed.model_validate({"closed_at": "2022-06-03T12:00:00+08:00"})
    await teller.tell([(SALE, closed), (SALE, told.DepositsReconciled())])
    assert CANARY.encode() not in b"".join(body for _, body in await answers(board))


async def note_positions(house: Database, source: str, sequence: int) -> None:
    await rows(
        house,
        "INSERT INTO position (source, partition, epoch, sequence, chain, is_forked) "
        "VALUES (:source, 0, 1, :sequence, decode(repeat('00', 32), 'hex'), false) "
        "ON CONFLICT (source, partition) DO UPDATE SET sequence = :sequence",
        source=source,
        sequence=sequence,
    )


async def note_checkpoint(house: Database, source: str, sequence: int) -> None:
    """What the source last said of itself: so many events in its first partition."""
    body = (
        f'{{"epoch": 1, "time": "2022-06-01T04:00:00+00:00", '
        f'"heads": [{{"partition": 0, "sequence": {sequence}, "chain": "00"}}]}}'
    )
    await rows(
        house,
        "INSERT INTO source_checkpoint (source, id, body, kid, signature) "
        "VALUES (:source, :id, convert_to(:body, 'UTF8'), 'k', '')",
        source=source,
        id=sequence,
        body=body,
    )


async def staleness(board: httpx.AsyncClient, market: str) -> dict[str, object]:
    found = (await board.get("/v1/board/sales")).json()["sources"]
    return next(dict(source) for source in found if source["market"] == market)


async def test_an_answer_says_how_many_events_it_lacks(
    board: httpx.AsyncClient, gateway_house: Database
) -> None:
    assert (await staleness(board, "energy"))["lag_events"] is None
    await note_positions(gateway_house, ENERGY, 4)
    await note_checkpoint(gateway_house, ENERGY, 7)
    assert (await staleness(board, "energy"))["lag_events"] == 3
    await note_positions(gateway_house, ENERGY, 9)
    assert (await staleness(board, "energy"))["lag_events"] == 0


async def test_while_a_sale_is_sealed_a_growing_log_does_not_count_its_bids(
    board: httpx.AsyncClient, gateway_house: Database, teller: Teller
) -> None:
    await note_positions(gateway_house, ENERGY, 4)
    await note_positions(gateway_house, EMISSION, 4)
    await note_checkpoint(gateway_house, ENERGY, 7)
    await note_checkpoint(gateway_house, EMISSION, 5)
    await teller.tell(announced())
    assert (await staleness(board, "energy"))["lag_events"] is None
    assert (await staleness(board, "emission"))["lag_events"] == 1
    cancelled = told.SaleCancelled(reason="终止", movements=[])
    await teller.tell([(SALE, cancelled)])
    assert (await staleness(board, "energy"))["lag_events"] == 3


async def test_checkpoints_look_as_the_board_reads_them(kit_house: Database) -> None:
    """The shape above is the signers' own."""
    await kit_house.run(sign_checkpoint, "worker")
    body = (await rows(kit_house, "SELECT convert_from(body, 'UTF8')::jsonb FROM checkpoint"))[0][0]
    assert {"epoch", "time", "heads"} <= set(body)
    assert {"partition", "sequence"} <= set(body["heads"][0])
