import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import typer
from typer.testing import CliRunner

from builders import a_signer, a_uscc
from marketkit.signing import b64, canonical, sm3, unb64
from marketkit.units import TCE, format_instant
from saleroom.sealing import BidPlace, SealedBid, Step, new_key_pair, open_bid
from yaosu.bid import Receipt, ReceiptNotGenuine, StepUnreadable, bid, place_bid, read_steps
from yaosu.client import Client, OutcomeUnknown, Refused, Sent

USCC = a_uscc()
STEPS = (Step(22650, 10_000_000, 5_000_000), Step(20000, 2_000_000))
CLOSES = datetime(2022, 7, 4, 9, tzinfo=UTC)


async def token() -> str:
    return "token"


class Service:
    """A sale's notice and its door for bids, behind a wire that fails as a test says."""

    def __init__(self, *faults: str) -> None:
        self.faults = list(faults)
        self.signer = a_signer()
        self.pair = new_key_pair()
        self.bodies: list[bytes] = []
        self.taken: dict[str, dict[str, Any]] = {}

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return httpx.Response(200, json=self.notice())
        fault = self.faults.pop(0) if self.faults else ""
        self.bodies.append(request.content)
        if fault == "closed":
            return httpx.Response(409, json={"code": "BIDDING_CLOSED", "title": "投标已截止"})
        receipt = self.taken.setdefault(
            request.headers["Idempotency-Key"], self.receipt(json.loads(request.content))
        )
        if fault == "answer lost":
            raise httpx.ReadError("cut")
        return httpx.Response(201, json=receipt)

    def notice(self) -> dict[str, Any]:
        return {
            "sale_id": "sale-1",
            "terms": {"asset": "ENERGY", "unit": "tce"},
            "timetable": {"closes_at": format_instant(CLOSES)},
            "key": {"public_key": b64(self.pair.public_key)},
            "receipt_key": b64(self.signer.public),
        }

    def receipt(self, bid: dict[str, Any]) -> dict[str, Any]:
        said = {
            "sale_id": "sale-1",
            "receipt_id": f"receipt-{len(self.taken) + 1}",
            "version": bid["version"],
            "bid_sm3": b64(sm3(unb64(bid["ciphertext"]))),
            "commitment": bid["commitment"],
            "received_at": format_instant(CLOSES - timedelta(days=1)),
        }
        return said | {"signature": b64(self.signer.sign(canonical(said)))}

    def opened(self, body: bytes, version: int = 1) -> Sequence[Step]:
        sent = json.loads(body)
        sealed = SealedBid(
            unb64(sent["ciphertext"]), unb64(sent["commitment"]), unb64(sent["key_sm3"])
        )
        place = BidPlace("sale-1", USCC, version)
        private_key = self.pair.private_key
        return open_bid(sealed, place, private_key=private_key, unit=TCE).steps


async def place(
    folder: Path, service: Any, version: int = 1, *, patience_s: float = 5, **more: Any
) -> Receipt:
    transport = httpx.MockTransport(service)
    async with Client("http://gateway", Sent(folder), transport, patience_s) as client:
        where = BidPlace("sale-1", USCC, version)
        return await place_bid(client, "energy", where, STEPS, token=token, **more)


class TestPlaceBid:
    async def test_what_was_meant_arrives_and_the_receipt_is_the_service_s_word(
        self, tmp_path: Path
    ) -> None:
        service = Service()
        receipt = await place(tmp_path, service)
        assert receipt.is_checked
        assert service.opened(service.bodies[0]) == STEPS
        assert json.loads(service.bodies[0])["version"] == 1

    async def test_a_lost_answer_sends_the_same_ciphertext_again(self, tmp_path: Path) -> None:
        service = Service("answer lost")
        with pytest.raises(OutcomeUnknown):
            await place(tmp_path, service, patience_s=0)
        receipt = await place(tmp_path, service)
        assert receipt.is_again
        assert len(set(service.bodies)) == 1
        assert len(service.taken) == 1
        assert receipt.receipt_id == "receipt-1"

    async def test_the_same_version_again_is_the_same_receipt(self, tmp_path: Path) -> None:
        service = Service()
        first, again = await place(tmp_path, service), await place(tmp_path, service)
        assert again == replace(first, is_again=True)
        assert not first.is_again
        assert len(service.bodies) == 1

    async def test_another_version_replaces_it(self, tmp_path: Path) -> None:
        service = Service()
        await place(tmp_path, service)
        assert (await place(tmp_path, service, 2)).receipt_id == "receipt-2"
        assert service.opened(service.bodies[1], 2) == STEPS

    async def test_a_refused_bid_may_be_made_anew(self, tmp_path: Path) -> None:
        service = Service("closed")
        with pytest.raises(Refused, match="投标已截止"):
            await place(tmp_path, service)
        await place(tmp_path, service)
        assert len(set(service.bodies)) == 2
        assert len(service.taken) == 1

    async def test_a_receipt_of_another_signer_is_not_believed(self, tmp_path: Path) -> None:
        with pytest.raises(ReceiptNotGenuine, match="签名无效"):
            await place(tmp_path, Service(), service_key=a_signer().public)

    async def test_a_receipt_of_another_bid_is_not_believed(self, tmp_path: Path) -> None:
        class Confused(Service):
            def receipt(self, bid: dict[str, Any]) -> dict[str, Any]:
                return super().receipt(bid | {"commitment": b64(bytes(32))})

        with pytest.raises(ReceiptNotGenuine, match="不是这份报价"):
            await place(tmp_path, Confused())

    async def test_without_a_key_the_signature_is_said_to_be_unchecked(
        self, tmp_path: Path
    ) -> None:
        class Silent(Service):
            def notice(self) -> dict[str, Any]:
                return {k: v for k, v in super().notice().items() if k != "receipt_key"}

        assert not (await place(tmp_path, Silent())).is_checked

    async def test_nothing_kept_on_disk_tells_the_price(self, tmp_path: Path) -> None:
        await place(tmp_path, Service())
        kept = b"".join(file.read_bytes() for file in tmp_path.iterdir())
        assert b"226.50" not in kept
        assert b"10000" not in kept


class TestCommand:
    def run(self, *arguments: str) -> tuple[int, str]:
        app = typer.Typer()
        app.command("bid")(bid)
        result = CliRunner().invoke(app, arguments)
        return result.exit_code, result.output

    @pytest.mark.parametrize(
        "address",
        [
            "sale-1",
            "http://x/v1/energy",
            "http://x/v1/energy/sales/",
            "ftp://x/v1/energy/sales/1",
            "http://x/sales/1",
        ],
    )
    def test_an_address_that_is_none_says_how_one_is_written(
        self, tmp_path: Path, address: str
    ) -> None:
        options = ("--uscc", USCC, "--token-file", str(tmp_path / "t"), "--step", "1:1")
        code, said = self.run(address, *options)
        assert code == 1
        assert "地址须写作" in said or "交易编号" in said

    def test_a_token_others_can_read_is_not_used(self, tmp_path: Path) -> None:
        file = tmp_path / "token"
        file.write_text("token")
        file.chmod(0o644)
        options = ("--uscc", USCC, "--token-file", str(file), "--step", "1:1")
        code, said = self.run("http://127.0.0.1:9/v1/energy/sales/1", *options)
        assert code == 1
        assert "chmod 600" in said


class TestSteps:
    def test_as_options(self) -> None:
        assert read_steps(["226.50:10000:5000", "200.00:2000"], TCE) == list(STEPS)

    def test_from_a_file(self, tmp_path: Path) -> None:
        file = tmp_path / "bid.json"
        steps = [
            {"price_yuan": "226.50", "quantity": "10000", "min_accept_quantity": "5000"},
            {"price_yuan": "200.00", "quantity": "2000"},
        ]
        file.write_text(json.dumps({"steps": steps}))
        assert read_steps([f"@{file}"], TCE) == list(STEPS)
        file.write_text(json.dumps(steps))
        assert read_steps([f"@{file}"], TCE) == list(STEPS)

    @pytest.mark.parametrize("text", ["226.50", "226.505:1", "1e3:1", "1:2:3:4", "", "１:1"])
    def test_what_is_none(self, text: str) -> None:
        with pytest.raises(StepUnreadable, match="报价须写作"):
            read_steps([text], TCE)

    @pytest.mark.parametrize("text", ["", "{}", "[1]", '[{"price": "1"}]', "[{}]"])
    def test_what_is_no_file_of_steps(self, tmp_path: Path, text: str) -> None:
        file = tmp_path / "bid.json"
        file.write_text(text)
        with pytest.raises(StepUnreadable):
            read_steps([f"@{file}"], TCE)
