import asyncio
import json
import re
import zipfile
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from marketkit.codes import CITY, check_project_code, check_uscc, county
from yaosu.client import Client, Refused, Sent
from yaosu.demo.clock import ClockNotMovable
from yaosu.demo.facts import ARCHIVES, BIDDERS, UNITS
from yaosu.demo.market import shown_at_its_end
from yaosu.demo.play import play
from yaosu.demo.tables import read_ledger, read_sale
from yaosu.evidence.check import check
from yaosu.evidence.collect import Asker
from yaosu.stack import Stack


class TestFacts:
    def test_the_register_is_the_plan_s(self) -> None:
        assert len(UNITS) == 18
        assert sum(int(unit.capacity_mw) for unit in UNITS) == 1203
        assert max(int(unit.capacity_mw) for unit in UNITS) < 300
        assert all("示例" in unit.name and county(unit.region_code) for unit in UNITS)

    def test_bidders_have_valid_codes_and_invented_names(self) -> None:
        assert len({check_uscc(bidder.uscc) for bidder in BIDDERS}) == 5
        assert len({check_project_code(bidder.project_code) for bidder in BIDDERS}) == 5
        assert all("示例" in bidder.name for bidder in BIDDERS)


class TestShownAtItsEnd:
    async def shown(self, folder: Path, *answers: tuple[int, dict[str, str]]) -> dict[str, Any]:
        """What comes of a board that gives these answers, one after the other."""
        left = list(answers)

        def board(request: httpx.Request) -> httpx.Response:
            assert (request.method, request.url.path) == ("GET", "/v1/board/sales/sale-1")
            assert "Authorization" not in request.headers
            status, document = left.pop(0)
            return httpx.Response(status, json=document)

        transport = httpx.MockTransport(board)
        async with Client("http://gateway", Sent(folder), transport) as client:
            found = await shown_at_its_end(client, "sale-1")
        assert left == []
        return found

    async def test_it_waits_until_the_board_knows_the_sale_and_its_end(
        self, tmp_path: Path
    ) -> None:
        unknown = (404, {"code": "BOARD_SALE_UNKNOWN"})
        settled = (200, {"state": "SETTLED", "as_of": "2022-07-08T09:00:00+08:00"})
        archived = (200, {"state": "ARCHIVED", "as_of": "2022-07-11T09:00:00+08:00"})
        assert await self.shown(tmp_path, unknown, settled, archived) == archived[1]

    async def test_another_refusal_is_not_waited_out(self, tmp_path: Path) -> None:
        with pytest.raises(Refused):
            await self.shown(tmp_path, (403, {"code": "FORBIDDEN"}))


@pytest.fixture(scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    async with Stack(tmp_path_factory.mktemp("demo") / "data") as stack:
        yield stack


async def played(house: Stack) -> dict[str, Any]:
    """Play it, and read the sale it tells."""
    await play(house.gateway_url, house.inner_urls, house.data_dir, house.keys)
    file = house.data_dir / "demo" / "evidence.zip"
    with zipfile.ZipFile(file) as archive:
        (name,) = [one for one in archive.namelist() if one.startswith("sales/")]
    return read_sale(file, name.removeprefix("sales/").removesuffix(".json"))


def events(house: Stack) -> list[bytes]:
    with zipfile.ZipFile(house.data_dir / "demo" / "evidence.zip") as archive:
        names = sorted(name for name in archive.namelist() if name.startswith("events/"))
        return [line for name in names for line in archive.read(name).splitlines()]


async def on_the_board(house: Stack, sale_id: str) -> dict[str, Any]:
    async with httpx.AsyncClient(base_url=house.gateway_url) as client:
        found: dict[str, Any] = (await client.get(f"/v1/board/sales/{sale_id}")).json()
        return found


async def clocks(house: Stack) -> list[bool]:
    token = Asker(house.keys.signer("gateway"), f"/{CITY}/gateway").token()
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(headers=headers) as client:
        answers = [await client.get(f"{url}/v1/clock") for url in house.inner_urls.values()]
    return [answer.json()["is_moved"] for answer in answers]


@pytest.mark.slow
class TestPlay:
    async def test_it_tells_the_plan_s_facts_and_ends_today(self, house: Stack) -> None:
        # Cut off somewhere in the middle, it goes on from there.
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(played(house), 2.0)
        sale = await played(house)
        got = {award["bidder"]: award["quantity"] for award in sale["result"]["awards"]}
        assert list(got.values()) == ["4500.000", "3500.000", "2000.000"]
        assert sale["result"]["clearing_price_yuan"] == "226.50"
        assert sale["result"]["proceeds_yuan"] == "2265000.00"
        void = {bid["bidder"]: bid["void_code"] for bid in sale["bids"] if bid["void_code"]}
        assert void == {BIDDERS[0].uscc: "DEPOSIT_NOT_CONFIRMED"}
        assert [step["code"] for step in sale["result"]["rejected"]] == ["BELOW_FLOOR"]
        assert await clocks(house) == [False] * 4

    async def test_it_ends_when_the_board_shows_the_end_and_says_as_of_when(
        self, house: Stack, capsys: pytest.CaptureFixture[str]
    ) -> None:
        sale = await played(house)
        said = capsys.readouterr().out
        (line,) = (line for line in said.splitlines() if line.startswith("门户公示"))
        found = re.fullmatch(r"门户公示：已归档（ARCHIVED），数据截至 ([0-9: -]+)", line)
        assert found is not None, line
        shown = await on_the_board(house, sale["sale_id"])
        assert shown["state"] == "ARCHIVED"
        as_of = datetime.fromisoformat(shown["as_of"])
        assert found[1] == f"{as_of:%Y-%m-%d %H:%M:%S}"
        assert as_of >= ARCHIVES
        assert f"{house.gateway_url}/sales/{sale['sale_id']}" in said

    async def test_the_ledger_is_conserved_and_the_store_gave_what_was_sold(
        self, house: Stack
    ) -> None:
        sale = await played(house)
        file = house.data_dir / "demo" / "evidence.zip"
        ledger = read_ledger(file, sale["sale_id"])
        store = ("ENERGY", "province:370000")
        assert ledger.before[store] - ledger.after[store] == 10_000_000
        assert sum(ledger.before.values()) == sum(ledger.after.values()) == 0
        assert ledger.after["ENERGY", f"pool:{CITY}"] == 780_000_000
        assert ledger.after["ENERGY", f"city:{CITY}"] == 45_000_001
        assert check(file).is_sound

    async def test_a_second_time_it_adds_nothing_even_if_it_forgot_every_answer(
        self, house: Stack
    ) -> None:
        sale, told = await played(house), events(house)
        for answer in (house.data_dir / "demo" / "sent").glob("*.answer"):
            answer.unlink()
        assert await played(house) == sale
        assert events(house) == told

    async def test_before_the_opening_no_event_names_a_bidder(self, house: Stack) -> None:
        await played(house)
        for line in events(house):
            event = json.loads(line)
            if event["type"] == "yaosu.energy.sale.sealed_bid_placed.v1":
                assert not any(bidder.uscc.encode() in line for bidder in BIDDERS)

    async def test_on_a_house_with_facts_of_its_own_it_says_what_to_type(
        self, house: Stack, tmp_path: Path
    ) -> None:
        await played(house)
        with pytest.raises(ClockNotMovable, match="--fresh"):
            await play(house.gateway_url, house.inner_urls, tmp_path, house.keys)
