import httpx
import pytest
from prometheus_client import generate_latest
from structlog.testing import capture_logs

from builders import Trust, a_key
from gateway.commands.routes import Upstream, title_of
from gateway_owner import Owner


async def test_a_command_goes_to_its_owner_and_its_answer_comes_back(
    gateway: httpx.AsyncClient, enterprise: dict[str, str]
) -> None:
    answer = await gateway.post(
        "/v1/energy/things", json={"number": 7}, headers=enterprise | a_key()
    )
    assert answer.status_code == 201
    thing = answer.json()
    assert thing["number"] == 7
    assert answer.headers["location"] == f"/v1/energy/things/{thing['thing_id']}"
    assert answer.headers["content-type"] == "application/json"


async def test_the_same_again_has_the_same_answer_byte_for_byte(
    gateway: httpx.AsyncClient, enterprise: dict[str, str]
) -> None:
    said = enterprise | a_key()
    sent = [gateway.post("/v1/energy/things", json={"number": 7}, headers=said) for _ in range(3)]
    first, *others = [await one for one in sent]
    assert first.status_code == 201
    for other in others:
        assert (other.status_code, other.content) == (201, first.content)
        assert other.headers["location"] == first.headers["location"]


@pytest.mark.parametrize(
    ("body", "key", "status", "code"),
    [
        (b'{"number": -1}', "k1", 409, "THING_TAKEN"),
        (b'{"number": "7"}', "k2", 422, "INPUT_INVALID"),
        (b'{"number": 7}', None, 400, "IDEMPOTENCY_KEY_MISSING"),
    ],
)
async def test_a_refusal_comes_back_as_it_is(
    gateway: httpx.AsyncClient,
    enterprise: dict[str, str],
    body: bytes,
    key: str | None,
    status: int,
    code: str,
) -> None:
    said = enterprise | {"Content-Type": "application/json"}
    said |= {"Idempotency-Key": key} if key else {}
    answer = await gateway.post("/v1/energy/things", content=body, headers=said)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_token_is_asked_for_at_the_door(gateway: httpx.AsyncClient, owner: Owner) -> None:
    answer = await gateway.post("/v1/energy/things", json={"number": 7}, headers=a_key())
    assert answer.status_code == 401
    assert "/v1/things" not in owner.calls


async def test_only_named_headers_go_on(gateway: httpx.AsyncClient) -> None:
    trace = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"
    said = {
        "X-User-ID": "mallory",
        "X-Forwarded-For": "10.0.0.1",
        "Cookie": "a=b",
        "traceparent": trace,
        "Accept": "application/json",
    }
    seen = (await gateway.get("/v1/energy/things/x", headers=said)).json()["headers"]
    assert not {"x-user-id", "x-forwarded-for", "cookie"} & set(seen)
    assert seen["accept"] == ["application/json"]
    assert seen["traceparent"][0].startswith("00-" + "a" * 32)
    assert seen["host"] == ["api.test"]


async def test_the_address_goes_on_as_it_was_written(gateway: httpx.AsyncClient) -> None:
    answer = await gateway.get("/v1/energy/things/%E7%A4%BA%20x?filter[a]=%2F&b=%E4%BE%8B")
    assert answer.json()["target"] == "/v1/things/%E7%A4%BA%20x?filter[a]=%2F&b=%E4%BE%8B"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/energy/secrets"),
        ("GET", "/v1/energy/none"),
        ("DELETE", "/v1/energy/secrets"),
        ("GET", "/v1/energy/../secrets"),
        ("GET", "/v1/energy/things/%2e%2e/secrets"),
        ("GET", "/v1/energy/openapi.json"),
        ("GET", "/v1/energy//v1/secrets"),
        ("GET", "/v1/land/things/x"),
    ],
)
async def test_what_is_not_public_is_nowhere(
    gateway: httpx.AsyncClient, owner: Owner, method: str, path: str
) -> None:
    answer = await gateway.request(method, path)
    assert (answer.status_code, answer.json()["code"]) == (404, "ROUTE_UNKNOWN")
    assert set(owner.calls) <= {"/openapi.json"}


@pytest.mark.parametrize("method", ["DELETE", "PUT", "OPTIONS", "HEAD", "TRACE"])
async def test_a_method_the_service_does_not_offer_is_refused_by_name(
    gateway: httpx.AsyncClient, owner: Owner, method: str
) -> None:
    answer = await gateway.request(method, "/v1/energy/things/x")
    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET"
    assert set(owner.calls) <= {"/openapi.json"}


@pytest.mark.parametrize("name", ["energy.shutdown_split", "sale.clearing", "party.uscc"])
async def test_a_trial_goes_where_its_name_says(gateway: httpx.AsyncClient, name: str) -> None:
    assert (await gateway.post(f"/v1/trials/{name}")).json() == name


@pytest.mark.parametrize("name", ["emission.fee", "nobody.knows", "energy"])
async def test_a_trial_that_nobody_has_is_unknown(gateway: httpx.AsyncClient, name: str) -> None:
    answer = await gateway.post(f"/v1/trials/{name}")
    assert answer.status_code == (200 if name == "energy" else 404)


async def test_what_a_service_offers_is_asked_once(
    gateway: httpx.AsyncClient, owner: Owner
) -> None:
    for _ in range(5):
        assert (await gateway.get("/v1/energy/things/x")).status_code == 200
        assert (await gateway.get("/v1/energy/none")).status_code == 404
    assert owner.calls.count("/openapi.json") == 1


async def test_a_bid_leaves_no_trace_in_metrics_and_logs(
    gateway: httpx.AsyncClient, owner: Owner
) -> None:
    path = "/v1/energy/sales/01CANARY/sealed-bids"
    assert (await gateway.post(path)).json() == "taken"
    before = generate_latest()
    with capture_logs() as logs:
        for _ in range(3):
            assert (await gateway.post(path)).status_code == 200
        owner.fault = httpx.ConnectError
        assert (await gateway.post(path)).status_code == 503
    assert logs == []
    assert _counts(generate_latest()) == _counts(before)
    owner.fault = None
    with capture_logs() as logs:
        assert (await gateway.get("/v1/energy/things/x")).status_code == 200
    assert [line["event"] for line in logs].count("request") >= 1
    assert _counts(generate_latest()) != _counts(before)


def _counts(metrics: bytes) -> list[bytes]:
    return [line for line in metrics.splitlines() if line.startswith(b"yaosu_http_")]


async def test_a_code_is_explained_by_whoever_gives_it(upstream: Upstream) -> None:
    assert await title_of([upstream], "THING_TAKEN") == "示例物品已被占用"
    assert await title_of([upstream], "ROUTE_UNKNOWN") == "没有这个地址"
    assert await title_of([upstream], "NO_SUCH_CODE") is None
    assert await title_of([], "NO_SUCH_CODE") is None


async def test_a_file_goes_to_its_owner_as_it_is(gateway: httpx.AsyncClient, trust: Trust) -> None:
    body = b"\xef\xbb\xbf" + b"x" * 1_000_000
    headers = {"Authorization": f"Bearer {trust.token()}", "Content-Type": "text/csv"}
    answer = await gateway.post("/v1/energy/bank-files", content=body, headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.json() == {"size": len(body), "type": "text/csv"}
    assert answer.headers["content-disposition"] == 'inline; filename="1.pdf"'
    elsewhere = await gateway.post("/v1/energy/things", content=body, headers=headers)
    assert elsewhere.status_code == 413
    unknown = headers | {"Authorization": "Bearer forged"}
    nobody = await gateway.post("/v1/energy/bank-files", content=body, headers=unknown)
    assert nobody.status_code == 401
