import json

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import MAC_KEY, Trust, a_client
from databases import rows
from marketkit.checkpoint import sign_checkpoint
from marketkit.db import Database
from marketkit.feed import RANGE_MAX, Feed, FeedDown, Head, range_lines, read_line
from marketkit.inner import feed_routes
from marketkit.outbox import PARTITIONS, RANGE_BYTES_MAX
from marketkit.signing import ZERO, b64, canonical, partition_of, verify
from marketkit.web import create_app
from toys import Noted, Readers, log_of, tell_facts

K = partition_of("k", PARTITIONS)


async def told(house: Database, number: int) -> None:
    await tell_facts(house, *(("k", Noted(number=n)) for n in range(number)))


async def test_a_range_is_the_stored_bytes_with_their_place_beside_them(
    kit_house: Database,
) -> None:
    await tell_facts(kit_house, ("k", Noted(number=1, fault=',"event":{}} \u2028 \r\n')))
    await tell_facts(kit_house, ("k", Noted(number=2)))
    lines = await kit_house.run(lambda s: range_lines(s, K, 1, MAC_KEY), "worker")
    stored = (await log_of(kit_house))[K]
    assert lines.count(b"\n") == 2
    for line, event in zip(lines.splitlines(), stored, strict=True):
        assert read_line(kit_house.source, line) == (event, event.mac(MAC_KEY))
        assert json.loads(line)["event"] == json.loads(event.event)


@given(st.binary(min_size=1, max_size=50).filter(lambda b: b"\n" not in b and b"\r" not in b))
def test_whatever_stands_in_an_event_is_read_back(body: bytes) -> None:
    line = b'{"partition":1,"epoch":2,"sequence":3,"chain":"00","mac":"01","event":' + body + b"}"
    event, mac = read_line("/s", line)
    assert event == ("/s", 1, 2, 3, b"\x00", body)
    assert mac == b"\x01"


async def test_the_reading_end_sees_what_the_owner_has(
    kit_house: Database, gateway_house: Database
) -> None:
    pair = Readers(kit_house, gateway_house)
    await told(kit_house, 3)
    await kit_house.run(sign_checkpoint, "worker")
    feed = pair.reader.feed
    stored = (await log_of(kit_house))[K]
    assert await feed.events(K, 2) == [(event, event.mac(MAC_KEY)) for event in stored[1:]]
    assert await feed.events(K, 4) == []
    heads = await feed.heads()
    empty = {n: Head(0, ZERO) for n in range(PARTITIONS) if n != K}
    assert heads == (1, empty | {K: Head(3, stored[-1].chain)})
    (signed,) = [checkpoint async for checkpoint in feed.checkpoints(0)]
    assert verify(kit_house.signer.public, signed.body, signed.signature)
    assert [found async for found in feed.checkpoints(signed.id)] == []
    await feed.close()


async def test_a_range_is_bounded(kit_house: Database, gateway_house: Database) -> None:
    pair = Readers(kit_house, gateway_house)
    await told(kit_house, RANGE_MAX + 1)
    assert len(await pair.reader.feed.events(K, 1)) == RANGE_MAX
    assert len(await pair.reader.feed.events(K, RANGE_MAX + 1)) == 1


async def test_a_range_is_bounded_by_bytes_too(
    kit_house: Database, gateway_house: Database
) -> None:
    pair = Readers(kit_house, gateway_house)
    large = "x" * (RANGE_BYTES_MAX // 9)
    await tell_facts(kit_house, *(("k", Noted(number=n, fault=large)) for n in range(20)))
    first = await pair.reader.feed.events(K, 1)
    assert len(first) == 8
    assert sum(len(event.event) for event, _ in first) <= RANGE_BYTES_MAX
    place, seen = 1, []
    while found := await pair.reader.feed.events(K, place):
        seen += [event.sequence for event, _ in found]
        place = seen[-1] + 1
    assert seen == list(range(1, 21))


@pytest.mark.parametrize(
    ("path", "role", "status"),
    [
        ("/v1/events?partition=0&from=1", "service", 200),
        ("/v1/events/heads", "service", 200),
        ("/v1/checkpoints", "service", 200),
        ("/v1/keys", "", 200),
        ("/v1/events?partition=0&from=1", "", 401),
        ("/v1/events?partition=0&from=1", "system_admin", 403),
        ("/v1/events/heads", "auditor", 403),
        ("/v1/checkpoints", "trading_center", 403),
        ("/v1/events?partition=6&from=1", "service", 422),
        ("/v1/events?partition=-1&from=1", "service", 422),
        ("/v1/events?partition=0&from=0", "service", 422),
        ("/v1/events?partition=0&from=9223372036854775808", "service", 422),
        ("/v1/events?partition=0&from=1e3", "service", 422),
        ("/v1/events?partition=0", "service", 422),
        ("/v1/checkpoints?after=-1", "service", 422),
    ],
)
async def test_the_log_is_for_services_only(
    kit_house: Database, path: str, role: str, status: int
) -> None:
    trust = Trust.in_services(kit_house)
    tokens = {"": "", "service": trust.token_of(kit_house.source)}
    app = create_app(kit_house, trust.verifier, "owner", [feed_routes(MAC_KEY)])
    async with a_client(app, tokens.get(role) or (trust.token(role) if role else "")) as client:
        answer = await client.get(path)
    assert answer.status_code == status


async def test_the_public_key_is_that_which_signs(kit_house: Database) -> None:
    app = create_app(kit_house, Trust().verifier, "owner", [feed_routes(MAC_KEY)])
    async with a_client(app) as client:
        said = (await client.get("/v1/keys")).json()
    (key,) = said["keys"]
    signer = kit_house.signer
    assert (key["kid"], key["x"], key["valid_until"]) == (signer.kid, b64(signer.public), None)
    assert said["kid"] == signer.kid
    assert verify(signer.public, canonical(said["keys"]), bytes.fromhex(said["signature"]))
    assert await rows(kit_house, "SELECT 1") == [(1,)]


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(500),
        httpx.Response(401),
        httpx.Response(302, headers={"Location": "http://elsewhere/"}),
        httpx.ConnectError("refused"),
        httpx.ReadTimeout("slow"),
        AttributeError("'NoneType' object has no attribute 'getpeername'"),
    ],
)
async def test_an_owner_that_gives_no_good_answer_is_down(
    answer: httpx.Response | Exception,
) -> None:
    def serve(request: httpx.Request) -> httpx.Response:
        if isinstance(answer, Exception):
            raise answer
        return answer

    feed = Feed("/s", "t", "http://owner", lambda: "token", httpx.MockTransport(serve))
    with pytest.raises(FeedDown, match="/s"):
        await feed.heads()
    with pytest.raises(FeedDown):
        await feed.events(0, 1)
    await feed.close()
