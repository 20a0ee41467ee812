"""The doors of openings: two people of the trading centre, and the five key officers."""

import pytest

from databases import rows
from marketkit.db import Database
from marketkit.signing import b64, canonical, unb64, verify
from saleroom.openings.routes import routes
from stories import Story
from toy_market import Doors

SIGNED = ("sale_id", "opening_id", "session_id", "session_key")


@pytest.fixture
async def story(energy_house: Database) -> Story:
    """Closed and reconciled; one bid."""
    story = Story(energy_house)
    await story.bidders(("210.00", "100"))
    await story.reconcile()
    return story


@pytest.fixture
def doors(story: Story) -> Doors:
    return Doors.of(story.house, routes)


def address(story: Story) -> str:
    return f"/v1/sales/{story.sale_id}"


async def test_who_may_come_in(story: Story, doors: Doors) -> None:
    openings = f"{address(story)}/openings"
    for path, role, body in (
        (f"{openings}/requests", "trading_center", None),
        (f"{openings}/requests/x/confirmations", "trading_center", None),
        (f"{openings}/x/shares", "key_officer", {"session_id": "x", "share": "x"}),
    ):
        refusals = await doors.refusals("POST", path, role, body)
        assert refusals == {"UNAUTHENTICATED", "ROLE_NOT_ALLOWED"}
    for role in ("enterprise", "bureau_officer", "supervisor", "county_officer"):
        answer = await doors.send("GET", f"{address(story)}/opening", token=doors.token(role))
        assert answer.json()["code"] == "ROLE_NOT_ALLOWED"


async def test_an_opening_from_the_request_to_the_third_share(story: Story, doors: Doors) -> None:
    openings = f"{address(story)}/openings"
    first, second = (doors.token("trading_center", sub=sub) for sub in ("one", "two"))
    before = await doors.send("GET", f"{address(story)}/opening", token=first)
    assert (before.status_code, before.json()["code"]) == (404, "OPENING_UNKNOWN")
    asked = await doors.send("POST", f"{openings}/requests", token=first)
    assert asked.status_code == 201
    confirmation = f"{openings}/requests/{asked.json()['request_id']}/confirmations"
    same = await doors.send("POST", confirmation, token=first)
    assert (same.status_code, same.json()["code"]) == (403, "SAME_PERSON")
    confirmed = await doors.send("POST", confirmation, token=second)
    assert confirmed.status_code == 200
    story.opening_id = confirmed.json()["opening_id"]
    waiting = (await doors.send("GET", f"{address(story)}/opening", token=first)).json()
    assert (waiting["session_key"], waiting["signature"]) == ("", "")
    await story.opener.turn()
    for number in (0, 1, 2):
        token = doors.token("key_officer", sub=f"officer-{number}")
        seen = (await doors.send("GET", f"{address(story)}/opening", token=token)).json()
        said = canonical({name: seen[name] for name in SIGNED})
        assert verify(story.house.signer.public, said, unb64(seen["signature"]))
        assert seen["officer_id"] == list(story.officers)[number]
        assert seen["share"]
        assert not seen["is_given"]
        body = {"session_id": seen["session_id"], "share": b64(await story.wrapped(number))}
        given = await doors.send("POST", f"{openings}/{story.opening_id}/shares", body, token=token)
        assert given.status_code == 202
        again = await doors.send("GET", f"{address(story)}/opening", token=token)
        assert again.json()["is_given"]
    await story.opener.turn()
    done = (await doors.send("GET", f"{address(story)}/opening", token=first)).json()
    assert (done["state"], done["session_key"], done["share"]) == ("DONE", "", "")
    assert await story.state() == "CLEARED"


async def test_a_key_officer_of_no_share_sees_nothing(story: Story, doors: Doors) -> None:
    await story.ready_from_reconciled()
    stranger = doors.token("key_officer", sub="stranger")
    foreign = await doors.send("GET", f"{address(story)}/opening", token=stranger)
    unknown = await doors.send("GET", "/v1/sales/x/opening", token=stranger)
    assert foreign.status_code == unknown.status_code == 404
    assert foreign.json() | {"trace_id": ""} == unknown.json() | {"trace_id": ""}


async def test_nobody_sees_another_s_share(story: Story, doors: Doors) -> None:
    await story.ready_from_reconciled()
    found = await rows(story.house, "SELECT wrapped_share FROM sale_officer")
    shares = {b64(bytes(row.wrapped_share)) for row in found}
    center = await doors.send(
        "GET", f"{address(story)}/opening", token=doors.token("trading_center")
    )
    assert center.json()["share"] == ""
    officer = doors.token("key_officer", sub="officer-3")
    own = await doors.send("GET", f"{address(story)}/opening", token=officer)
    assert sum(share in own.text for share in shares) == 1


async def test_a_share_sent_again_with_its_key_has_one_effect(story: Story, doors: Doors) -> None:
    await story.ready_from_reconciled()
    path = f"{address(story)}/openings/{story.opening_id}/shares"
    body = {"session_id": await story.session_id(), "share": b64(await story.wrapped(0))}
    token = doors.token("key_officer", sub="officer-0")
    answers = [await doors.send("POST", path, body, token=token, key="one") for _ in range(3)]
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.content for answer in answers}) == 1
    other = await doors.send("POST", path, body, token=token)
    assert (other.status_code, other.json()["code"]) == (409, "SHARE_ALREADY_GIVEN")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"session_id": "x", "share": "!"}, 422, "SHARE_SIZE_WRONG"),
        ({"session_id": "x", "share": "AAAA"}, 422, "SHARE_SIZE_WRONG"),
        ({"session_id": "x"}, 422, "INPUT_INVALID"),
        ({"session_id": "x", "share": "A" * 108}, 409, "SESSION_NOT_LIVE"),
    ],
)
async def test_what_is_no_share_is_refused(
    story: Story, doors: Doors, body: dict[str, str], status: int, code: str
) -> None:
    await story.ready_from_reconciled()
    path = f"{address(story)}/openings/{story.opening_id}/shares"
    token = doors.token("key_officer", sub="officer-0")
    answer = await doors.send("POST", path, body, token=token)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
