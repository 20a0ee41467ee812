import json
import stat
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from yaosu.client import Answer, Client, OutcomeUnknown, Refused, Sent

Reply = Callable[[httpx.Request], httpx.Response]


async def token() -> str:
    return "token"


class Owner:
    """A service that does what a key asks once, behind a wire that fails as a test says."""

    def __init__(self, *faults: str) -> None:
        self.faults = list(faults)
        self.bodies: list[bytes] = []
        self.effects: dict[str, bytes] = {}

    def __call__(self, request: httpx.Request) -> httpx.Response:
        fault = self.faults.pop(0) if self.faults else ""
        if fault == "not sent":
            raise httpx.ConnectError("refused")
        self.bodies.append(request.content)
        if fault.isdigit():
            return httpx.Response(int(fault), json={"code": "BUSY"}, headers={"Retry-After": "0"})
        if fault == "in flight":
            return httpx.Response(409, json={"code": "IDEMPOTENCY_KEY_IN_FLIGHT"})
        key = request.headers["Idempotency-Key"]
        self.effects.setdefault(key, request.content)
        if fault == "answer lost":
            raise httpx.ReadError("cut")
        if self.effects[key] != request.content:
            return httpx.Response(422, json={"code": "IDEMPOTENCY_KEY_REUSED"})
        return httpx.Response(201, json={"sale_id": "sale-1"})


def client(folder: Path, reply: Reply, patience_s: float = 5) -> Client:
    transport = httpx.MockTransport(reply)
    return Client("http://gateway", Sent(folder), transport, patience_s)


async def post(folder: Path, reply: Reply, document: object = None) -> object:
    async with client(folder, reply) as caller:
        said = document or {"name": "示例"}
        return await caller.post("/v1/energy/sales", said, key="key-1", token=token)


class TestPost:
    @pytest.mark.parametrize(
        "faults",
        [
            ("answer lost",),
            ("not sent", "answer lost", "answer lost"),
            ("503", "in flight"),
            ("429", "502", "504"),
        ],
    )
    async def test_a_cut_connection_sends_the_same_bytes_to_one_effect(
        self, tmp_path: Path, faults: tuple[str, ...]
    ) -> None:
        owner = Owner(*faults)
        assert await post(tmp_path, owner) == {"sale_id": "sale-1"}
        assert len(owner.effects) == 1
        assert len(set(owner.bodies)) == 1
        assert len(owner.bodies) >= len([fault for fault in faults if fault != "not sent"]) + 1

    async def test_another_life_of_the_client_sends_what_the_first_kept(
        self, tmp_path: Path
    ) -> None:
        """An encryption made anew would be another request under the same key."""
        owner = Owner("answer lost")
        async with client(tmp_path, owner, patience_s=0) as caller:
            with pytest.raises(OutcomeUnknown, match="可原样重发"):
                await caller.post("/v1/bids", {"ciphertext": "one"}, key="bid", token=token)
        async with client(tmp_path, owner) as caller:
            await caller.post("/v1/bids", {"ciphertext": "two"}, key="bid", token=token)
        assert owner.bodies == [b'{"ciphertext":"one"}'] * 2
        assert len(owner.effects) == 1

    async def test_the_bytes_are_on_disk_when_they_are_sent(self, tmp_path: Path) -> None:
        def look(request: httpx.Request) -> httpx.Response:
            kept = Sent(tmp_path).request("key-1")
            assert kept is not None
            assert (kept.body, kept.path) == (request.content, request.url.path)
            return httpx.Response(200, json={})

        await post(tmp_path, look)
        modes = {stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()}
        assert modes == {0o600}

    async def test_an_answer_is_remembered_and_not_asked_for_again(self, tmp_path: Path) -> None:
        owner = Owner()
        first = await post(tmp_path, owner)
        assert await post(tmp_path, owner) == first
        assert len(owner.bodies) == 1

    async def test_a_refusal_is_remembered_too_and_says_why_in_chinese(
        self, tmp_path: Path
    ) -> None:
        document = {
            "title": "投标已截止",
            "code": "BIDDING_CLOSED",
            "article": "notice",
            "detail": "已过截止时间",
            "errors": [{"pointer": "/version", "message": "须为1"}],
        }
        asked = []

        def refuse(request: httpx.Request) -> httpx.Response:
            asked.append(request)
            return httpx.Response(409, json=document)

        for _ in range(2):
            with pytest.raises(Refused) as refused:
                await post(tmp_path, refuse)
            assert refused.value.code == "BIDDING_CLOSED"
            said = "投标已截止：已过截止时间；/version 须为1（BIDDING_CLOSED，notice）"
            assert str(refused.value) == said
        assert len(asked) == 1

    @pytest.mark.parametrize("status", [401, 403, 404, 500])
    async def test_what_did_not_reach_a_decision_is_asked_again(
        self, tmp_path: Path, status: int
    ) -> None:
        answers = [httpx.Response(status, content=b"not json"), httpx.Response(200, json={})]
        with pytest.raises(Refused, match=str(status)):
            await post(tmp_path, lambda request: answers[0])
        assert await post(tmp_path, lambda request: answers[1]) == {}

    async def test_a_service_that_stays_busy_ends_with_an_unknown_outcome(
        self, tmp_path: Path
    ) -> None:
        async with client(tmp_path, Owner(*["503"] * 100), patience_s=0.5) as caller:
            with pytest.raises(OutcomeUnknown):
                await caller.post("/v1/sales", {}, key="key-1", token=token)
        assert Sent(tmp_path).answer("key-1") is None


class TestGet:
    async def test_asks_again_until_there_is_an_answer(self, tmp_path: Path) -> None:
        answers = [httpx.Response(503), httpx.Response(200, json=[1])]
        async with client(tmp_path, lambda request: answers.pop(0)) as caller:
            assert await caller.get("/v1/sales") == [1]

    async def test_an_unknown_sale_is_a_refusal(self, tmp_path: Path) -> None:
        reply = httpx.Response(404, json={"title": "对象不存在", "code": "SALE_UNKNOWN"})
        async with client(tmp_path, lambda request: reply) as caller:
            with pytest.raises(Refused, match="对象不存在（SALE_UNKNOWN）"):
                await caller.get("/v1/sales/x", token=token)


class TestSent:
    def test_what_was_said_first_under_a_key_stands(self, tmp_path: Path) -> None:
        sent = Sent(tmp_path)
        first = sent.keep("key", "/v1/sales", {"a": 1})
        assert sent.keep("key", "/v1/other", {"a": 2}) == first
        assert json.loads(first.body) == {"a": 1}

    def test_keys_do_not_meet(self, tmp_path: Path) -> None:
        sent = Sent(tmp_path)
        sent.keep("a/b", "/", 1)
        sent.keep("a_b", "/", 2)
        assert [sent.keep(key, "/", 3).body for key in ("a/b", "a_b")] == [b"1", b"2"]

    def test_a_body_with_line_ends_comes_back_whole(self, tmp_path: Path) -> None:
        sent = Sent(tmp_path)
        answer = Answer(200, b"a\nb\n\nc")
        sent.remember("key", answer)
        assert sent.answer("key") == answer
