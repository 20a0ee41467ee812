from datetime import date
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from marketkit.errors import InputInvalid, Refusal, RuleBroken, problem
from marketkit.policy import PolicyVersion, in_force, load_versions
from marketkit.trial import Trials, TrialUnknown, read_day, routes
from marketkit.units import Form, QuantityTce

NEW_YEAR = date(2022, 1, 1)


class Share(Form):
    quantity_tce: QuantityTce


class ShareRefused(RuleBroken):
    title = "不予分配"
    article = "art. 4"


def halve(form: Share, policy: PolicyVersion) -> Share:
    if form.quantity_tce > 1_000:
        raise ShareRefused()
    return Share(quantity_tce="0.500")  # type: ignore[arg-type]  # an edge type reads text


@pytest.fixture
def trials(tmp_path: Path) -> Trials[PolicyVersion]:
    (tmp_path / "2022-01-01.toml").write_text("effective = 2022-01-01\n")
    versions = load_versions(tmp_path, PolicyVersion)
    offered = Trials(lambda day: in_force(versions, day))
    offered.add("test.half", Share, halve)
    offered.add("test.plain", Share, lambda form, policy: {"outcome": "GRANTED"})
    return offered


def test_the_answer_carries_the_policy_version(trials: Trials[PolicyVersion]) -> None:
    answer = trials.answer("test.half", b'{"quantity_tce":"1.000"}', NEW_YEAR)
    assert answer["quantity_tce"] == "0.500"
    assert answer["policy_version"].startswith("2022-01-01+")
    plain = trials.answer("test.plain", b'{"quantity_tce":"1.000"}', NEW_YEAR)
    assert plain == {"outcome": "GRANTED", "policy_version": answer["policy_version"]}


def test_an_unknown_trial_is_not_found(trials: Trials[PolicyVersion]) -> None:
    with pytest.raises(TrialUnknown) as refused:
        trials.answer("test.other", b"not json", NEW_YEAR)
    assert refused.value.status == 404


def test_malformed_input_is_found_before_any_refusal(trials: Trials[PolicyVersion]) -> None:
    for body in (b'{"quantity_tce":"2.000","x":1}', b'{"quantity_tce":"2.000"'):
        with pytest.raises(Refusal) as refused:
            trials.answer("test.half", body, NEW_YEAR)
        assert refused.value.code == "INPUT_INVALID"
    with pytest.raises(ShareRefused):
        trials.answer("test.half", b'{"quantity_tce":"2.000"}', NEW_YEAR)


def test_a_date_before_the_first_policy_file_is_malformed(trials: Trials[PolicyVersion]) -> None:
    with pytest.raises(InputInvalid):
        trials.answer("test.half", b'{"quantity_tce":"2.000"}', date(2021, 12, 31))


@pytest.mark.parametrize("text", ["", "2022-1-1", "2022-02-30", "20220101", "today", "２022-01-01"])
def test_a_malformed_date_is_input_invalid(text: str) -> None:
    with pytest.raises(InputInvalid):
        read_day(text)


def test_without_a_date_the_rules_of_today_decide() -> None:
    assert abs((read_day(None) - date.today()).days) <= 1


async def ask(trials: Trials[PolicyVersion], path: str, body: bytes) -> tuple[int, dict[str, Any]]:
    app = FastAPI()
    app.include_router(routes(trials))

    @app.exception_handler(Refusal)
    async def refuse(request: Request, refusal: Refusal) -> JSONResponse:
        return JSONResponse(problem(refusal), refusal.status)

    transport = httpx2.ASGITransport(app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
        answer = await client.post(path, content=body)
    return answer.status_code, answer.json()


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("test.half?policy=2022-12-31", b'{"quantity_tce":"1.000"}', 200, None),
        ("test.half", b'{"quantity_tce":"1.000"}', 200, None),
        ("test.half", b'{"quantity_tce":"1.001"}', 422, "SHARE_REFUSED"),
        ("test.half", b'{"quantity_tce":NaN}', 400, "INPUT_INVALID"),
        ("test.half", b"", 422, "INPUT_INVALID"),
        ("test.half", b"[]", 422, "INPUT_INVALID"),
        ("test.half?policy=2021-12-31", b'{"quantity_tce":"1.000"}', 422, "INPUT_INVALID"),
        ("test.half?policy=2022", b'{"quantity_tce":"1.000"}', 422, "INPUT_INVALID"),
        ("test.half?policy=2022-01-01&policy=2022-01-01", b"{}", 400, "INPUT_INVALID"),
        ("test.nothing", b"{}", 404, "TRIAL_UNKNOWN"),
    ],
)
async def test_the_door_answers_without_token_or_key(
    trials: Trials[PolicyVersion], path: str, body: bytes, status: int, code: str | None
) -> None:
    answered = await ask(trials, f"/v1/trials/{path}", body)
    assert (answered[0], answered[1].get("code")) == (status, code)


def test_the_door_is_one_documented_operation(trials: Trials[PolicyVersion]) -> None:
    app = FastAPI()
    app.include_router(routes(trials))
    assert list(app.openapi()["paths"]) == ["/v1/trials/{name}"]
