import json
import stat
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest

from builders import a_signer
from marketkit.signing import b64, canonical, unb64
from marketkit.units import format_instant
from saleroom.drills import ChallengeUnreadable, Drill
from saleroom.sealing import new_key_pair, public_key_of, unwrap, wrap
from saleroom.shares import Opening, ShareUnreadable, open_sale_key, seal_sale
from yaosu.client import Client, Refused, Sent
from yaosu.secret_files import SecretFileUnsafe, read_key
from yaosu.share import (
    DrillNotBegun,
    OpeningNotConfirmed,
    TooEarly,
    answer_drill,
    give_share,
    register_key,
)

PAST, FUTURE = (datetime.now(UTC) + timedelta(hours=hours) for hours in (-1, 1))
OFFICERS = {f"officer-{number}": new_key_pair() for number in range(1, 6)}
SEAL = seal_sale("sale-1", {name: pair.public_key for name, pair in OFFICERS.items()})


async def token() -> str:
    return "token"


class Service:
    """A closed sale whose opening two people asked for."""

    def __init__(self, closes_at: datetime = PAST, **changes: Any) -> None:
        self.closes_at = closes_at
        self.changes = changes
        self.signer = a_signer()
        self.session = new_key_pair()
        self.officer = "officer-1"
        self.shares: dict[str, bytes] = {}

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            return self.taken(request)
        if request.url.path.endswith("/opening"):
            return self.opening()
        return httpx.Response(
            200,
            json={
                "timetable": {"closes_at": format_instant(self.closes_at)},
                "receipt_key": b64(self.signer.public),
            },
        )

    def opening(self) -> httpx.Response:
        if "status" in self.changes:
            return httpx.Response(self.changes["status"], json={"title": "没有开标"})
        said = {
            "sale_id": "sale-1",
            "opening_id": "opening-1",
            "session_id": "session-1",
            "session_key": b64(self.session.public_key),
        }
        beside = {
            "signature": b64(self.signer.sign(canonical(said))),
            "state": "CONFIRMED",
            "officer_id": self.officer,
            "share": b64(SEAL.wrapped_shares[self.officer]),
        }
        return httpx.Response(200, json=said | beside | self.changes)

    def taken(self, request: httpx.Request) -> httpx.Response:
        assert request.url.path == "/v1/energy/sales/sale-1/openings/opening-1/shares"
        self.shares[self.officer] = unb64(
            httpx.Response(200, content=request.content).json()["share"]
        )
        return httpx.Response(202, json={})


async def give(folder: Path, service: Service) -> None:
    transport = httpx.MockTransport(service)
    async with Client("http://gateway", Sent(folder), transport) as client:
        private_key = OFFICERS[service.officer].private_key
        await give_share(client, "energy", "sale-1", private_key, token=token)


class TestGiveShare:
    async def test_three_officers_open_the_sale_and_the_wire_carries_no_share(
        self, tmp_path: Path
    ) -> None:
        service = Service()
        for service.officer in ("officer-1", "officer-3", "officer-5"):
            await give(tmp_path, service)
        private_key = open_sale_key(
            service.shares,
            session_private_key=service.session.private_key,
            opening=Opening("sale-1", "opening-1"),
            public_key=SEAL.public_key,
        )
        assert public_key_of(private_key) == SEAL.public_key

    async def test_before_closing_by_the_officer_s_own_clock_nothing_is_sent(
        self, tmp_path: Path
    ) -> None:
        """The service says CLOSED and asks: the officer's machine does not believe it."""
        service = Service(closes_at=FUTURE)
        with pytest.raises(TooEarly, match="按本机时钟尚未截止"):
            await give(tmp_path, service)
        assert not service.shares

    @pytest.mark.parametrize("status", [404, 409])
    async def test_without_two_people_s_word_nothing_is_sent(
        self, tmp_path: Path, status: int
    ) -> None:
        service = Service(status=status)
        with pytest.raises(OpeningNotConfirmed, match="尚未经两人申请并确认"):
            await give(tmp_path, service)
        assert not service.shares

    @pytest.mark.parametrize(
        "changes",
        [
            {"session_key": b64(new_key_pair().public_key)},
            {"opening_id": "opening-2"},
            {"session_id": "session-2"},
            {"signature": b64(bytes(64))},
        ],
    )
    async def test_a_key_the_service_did_not_sign_for_this_opening_gets_nothing(
        self, tmp_path: Path, changes: dict[str, str]
    ) -> None:
        service = Service(PAST, **changes)
        with pytest.raises(OpeningNotConfirmed, match="有效签名"):
            await give(tmp_path, service)
        assert not service.shares

    async def test_an_opener_without_a_session_is_waited_for(self, tmp_path: Path) -> None:
        with pytest.raises(OpeningNotConfirmed, match="稍后再试"):
            await give(tmp_path, Service(session_key=""))

    async def test_an_opening_that_is_done_needs_no_share(self, tmp_path: Path) -> None:
        with pytest.raises(OpeningNotConfirmed, match="已经完成"):
            await give(tmp_path, Service(state="DONE"))

    async def test_another_officer_s_share_is_of_no_use(self, tmp_path: Path) -> None:
        service = Service(share=b64(SEAL.wrapped_shares["officer-2"]))
        with pytest.raises(ShareUnreadable):
            await give(tmp_path, service)

    async def test_a_refusal_is_told_as_it_is(self, tmp_path: Path) -> None:
        with pytest.raises(Refused, match="没有开标"):
            await give(tmp_path, Service(status=403))


DRILL = Drill("sale-1", "drill-1")


class Driller:
    """A draft whose drill has begun; keeps what officer 1 answers."""

    def __init__(self, status: int = 200, **changes: str) -> None:
        self.status = status
        self.changes = changes
        public_key = OFFICERS["officer-1"].public_key
        self.challenge, self.answer_sha256 = DRILL.challenge("officer-1", public_key)
        self.answers: list[bytes] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            assert request.url.path == "/v1/energy/sales/sale-1/drills/drill-1/answers"
            self.answers.append(unb64(json.loads(request.content)["answer"]))
            return httpx.Response(200, json={})
        assert request.url.path == "/v1/energy/sales/sale-1/drill"
        said = {
            "drill_id": "drill-1",
            "officer_id": "officer-1",
            "challenge": b64(self.challenge),
        }
        return httpx.Response(self.status, json=said | self.changes)

    async def drill(self, folder: Path, officer: str = "officer-1") -> None:
        transport = httpx.MockTransport(self)
        async with Client("http://gateway", Sent(folder), transport) as client:
            private_key = OFFICERS[officer].private_key
            await answer_drill(client, "energy", "sale-1", private_key, token=token)


class TestDrill:
    async def test_the_answer_proves_the_key_and_carries_nothing_unwrapped(
        self, tmp_path: Path
    ) -> None:
        service = Driller()
        await service.drill(tmp_path)
        (answer,) = service.answers
        assert sha256(answer).digest() == service.answer_sha256
        private_key = OFFICERS["officer-1"].private_key
        challenge = unwrap(service.challenge, private_key, DRILL.info("officer-1"))
        assert challenge is not None
        assert challenge not in answer

    async def test_another_s_key_answers_nothing(self, tmp_path: Path) -> None:
        service = Driller()
        with pytest.raises(ChallengeUnreadable):
            await service.drill(tmp_path, "officer-2")
        assert not service.answers

    @pytest.mark.parametrize(
        "challenge",
        [
            SEAL.wrapped_shares["officer-1"],
            wrap(bytes(33), OFFICERS["officer-1"].public_key, DRILL.info("officer-1")),
            b"",
        ],
        ids=["a real share", "a share's length", "nothing"],
    )
    async def test_what_is_no_challenge_is_not_answered(
        self, tmp_path: Path, challenge: bytes
    ) -> None:
        """The service asks to open a real share as if it were a drill: the machine does not."""
        service = Driller(challenge=b64(challenge))
        with pytest.raises(ChallengeUnreadable):
            await service.drill(tmp_path)
        assert not service.answers

    async def test_before_a_drill_it_says_so(self, tmp_path: Path) -> None:
        with pytest.raises(DrillNotBegun, match="尚未开始密钥演练"):
            await Driller(404).drill(tmp_path)
        with pytest.raises(Refused):
            await Driller(403).drill(tmp_path)


class TestOfficerKey:
    async def register(self, key_file: Path) -> str:
        def reply(request: httpx.Request) -> httpx.Response:
            return httpx.Response(200, json={"officer_id": "officer-1"})

        transport = httpx.MockTransport(reply)
        async with Client("http://gateway", Sent(key_file.parent / "sent"), transport) as client:
            return await register_key(client, "energy", key_file, token=token)

    async def test_is_made_once_and_readable_by_its_owner_alone(self, tmp_path: Path) -> None:
        file = tmp_path / "own" / "officer.key"
        assert await self.register(file) == "officer-1"
        key = read_key(file)
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        await self.register(file)
        assert read_key(file) == key

    async def test_that_others_can_read_is_not_used(self, tmp_path: Path) -> None:
        file = tmp_path / "officer.key"
        await self.register(file)
        file.chmod(0o640)
        with pytest.raises(SecretFileUnsafe, match="chmod 600"):
            await self.register(file)

    @pytest.mark.parametrize("text", ["", "not base64!", b64(bytes(31))])
    def test_that_is_none(self, tmp_path: Path, text: str) -> None:
        file = tmp_path / "officer.key"
        file.write_text(text)
        file.chmod(0o600)
        with pytest.raises(SecretFileUnsafe, match="不是密钥文件"):
            read_key(file)
