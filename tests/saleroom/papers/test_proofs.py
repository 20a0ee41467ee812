"""The proof of a paper: one word to who holds its digest, one and the same to everybody else."""

import json
from typing import Any

import httpx
import pytest

from builders import Trust, a_client, a_uscc
from databases import rows
from marketkit.checkpoint import covering, sign_checkpoint
from marketkit.db import Database
from marketkit.signing import chain_after
from marketkit.web import create_app
from marketkit.worker import sequence_once
from saleroom.papers import actions
from saleroom.papers.routes import routes
from saleroom.papers.rules import digest
from stories import Story, a_step
from toy_market import TOY

TOLD = {
    "bid-receipt": "yaosu.energy.sale.sealed_bid_placed.v1",
    "deposit-receipt": "yaosu.energy.sale.deposit_confirmed.v1",
    "deal-confirmation": "yaosu.energy.sale.confirmed.v1",
    "payment-notice": "yaosu.energy.sale.confirmed.v1",
}
SEALED = ("bid-receipt", "deposit-receipt")
WRONG = "0" * 64


class Checker:
    """Somebody without a token who holds papers of bidder 1."""

    def __init__(self, story: Story, bid_id: str) -> None:
        self.story = story
        app = create_app(story.house, Trust().verifier, "papers", [routes(TOY)])
        self.client = a_client(app)
        self.ids = {kind: story.contract(1) for kind in TOLD} | {"bid-receipt": bid_id}

    async def digest(self, kind: str) -> str:
        find = actions.PROVABLE[kind][0]
        sale_id, paper_id = self.story.sale_id, self.ids[kind]
        return digest(await self.story.house.run(lambda s: find(s, TOY, sale_id, paper_id)))

    async def ask(
        self, kind: str, sm3: str | None = None, *, of: str = "", sale_id: str = ""
    ) -> httpx.Response:
        said = {"sm3": await self.digest(kind)} if sm3 is None else {"sm3": sm3}
        sale_id, paper_id = sale_id or self.story.sale_id, of or self.ids.get(kind, "x")
        return await self.client.get(
            f"/v1/sales/{sale_id}/papers/{kind}/{paper_id}/proof", params=said
        )

    async def proof(self, kind: str) -> dict[str, Any]:
        answer = await self.ask(kind)
        assert answer.status_code == 200, answer.text
        said: dict[str, Any] = answer.json()
        return said


async def sequenced(house: Database) -> None:
    while await sequence_once(house):
        pass


@pytest.fixture
async def checker(energy_house: Database) -> Checker:
    """Two bids are in, and not opened."""
    story = Story(energy_house)
    first, _ = await story.bidders(("226.50", "4000"), ("199.00", "1000"))
    await sequenced(energy_house)
    return Checker(story, first)


def refused(answer: httpx.Response) -> tuple[int, dict[str, Any]]:
    return answer.status_code, answer.json() | {"trace_id": "", "instance": ""}


@pytest.mark.parametrize("kind", SEALED)
async def test_before_the_opening_a_paper_is_proven_and_its_place_is_not_told(
    checker: Checker, kind: str
) -> None:
    said = await checker.proof(kind)
    assert said.pop("paper_no").endswith(f"〔2022〕{checker.ids[kind]}号")
    assert said.pop("issued_on").startswith("2022-")
    assert said == {
        "kind": kind,
        "issuer": "东营市公共资源交易中心",
        "sale_id": checker.story.sale_id,
        "sale_title": (await checker.story.sale()).title,
        "sm3": await checker.digest(kind),
        "is_sealed": True,
        "place": None,
    }


async def test_what_others_do_before_the_opening_changes_no_proof(checker: Checker) -> None:
    before = [await checker.proof(kind) for kind in SEALED]
    await checker.story.entrant(3)
    await checker.story.bid(3, a_step("230.00", "2000"))
    await sequenced(checker.story.house)
    assert [await checker.proof(kind) for kind in SEALED] == before


async def test_after_the_opening_the_place_in_the_chain_is_told(checker: Checker) -> None:
    await checker.story.open()
    await checker.story.confirm()
    await sequenced(checker.story.house)
    for kind in TOLD:
        await has_its_place(checker, kind)


async def has_its_place(checker: Checker, kind: str) -> None:
    place = (await checker.proof(kind))["place"]
    assert (place["source"], place["type"]) == (checker.story.house.source, TOLD[kind])
    at = {"partition": place["partition"], "sequence": place["sequence"]}
    query = "SELECT * FROM log WHERE partition = :partition AND sequence = :sequence"
    (told,) = await rows(checker.story.house, query, **at)
    query = "SELECT chain FROM log WHERE partition = :partition AND sequence = :sequence - 1"
    before = await rows(checker.story.house, query, **at)
    event = json.loads(told.event)
    assert (event["id"], event["partitionkey"]) == (place["event_id"], checker.story.sale_id)
    if kind in SEALED:
        assert checker.ids[kind] in event["data"].values()
    chain = before[0].chain if before else bytes(32)
    assert place["chain"] == chain_after(chain, told.event).hex()
    seal = place["checkpoint"]
    query = "SELECT body, kid FROM checkpoint WHERE id = :id"
    (signed,) = await rows(checker.story.house, query, id=seal["id"])
    heads = {h["partition"]: h["sequence"] for h in json.loads(signed.body)["heads"]}
    assert heads[place["partition"]] >= place["sequence"]
    assert (signed.kid, json.loads(signed.body)["time"]) == (seal["kid"], seal["signed_at"])


async def test_no_place_is_told_while_another_sale_then_in_the_log_is_sealed(
    checker: Checker,
) -> None:
    await checker.story.open()
    await checker.story.confirm()
    await sequenced(checker.story.house)
    assert not (await checker.proof("bid-receipt"))["is_sealed"]
    other = (
        "INSERT INTO sale SELECT (json_populate_record(s, json_build_object("
        "'id', 'other', 'state', CAST(:state AS text), 'announced_at', s.announced_at "
        "+ CAST(:later AS interval)))).* FROM sale s WHERE id = :id"
    )
    for state, later, is_sealed in (
        ("OPEN", "0", True),
        ("SUSPENDED", "0", True),
        ("OPENED", "0", False),
        ("OPEN", "400 days", False),
    ):
        await rows(checker.story.house, other, "market", id=checker.story.sale_id,
                   state=state, later=later)  # fmt: skip
        said = await checker.proof("bid-receipt")
        assert (said["is_sealed"], said["place"] is None) == (is_sealed, is_sealed)
        await rows(checker.story.house, "UPDATE sale SET state = 'DRAFT', announced_at = NULL, "
                   "id = id || clock_timestamp() WHERE id = 'other'", "market")  # fmt: skip


async def test_a_deposit_s_place_is_as_old_as_its_record_not_as_the_bank_s_day(
    checker: Checker,
) -> None:
    await checker.story.open()
    await checker.story.confirm()
    await sequenced(checker.story.house)
    await rows(
        checker.story.house,
        "INSERT INTO sale SELECT (json_populate_record(s, json_build_object('id', 'other', "
        "'state', 'OPEN', 'announced_at', d.booked_at + interval '1 day'))).* "
        "FROM sale s, deposit d WHERE s.id = :id AND d.registration_id = :registration_id",
        "market",
        id=checker.story.sale_id,
        registration_id=checker.ids["deposit-receipt"],
    )
    assert not (await checker.proof("deposit-receipt"))["is_sealed"]
    await rows(checker.story.house, "UPDATE bank_booking SET used_at = used_at + interval '1 day'")
    assert (await checker.proof("deposit-receipt"))["is_sealed"]


async def test_no_proof_names_anybody(checker: Checker) -> None:
    await checker.story.open()
    await checker.story.confirm()
    await sequenced(checker.story.house)
    (entered,) = await rows(
        checker.story.house, "SELECT * FROM registration WHERE uscc = :uscc", uscc=a_uscc(1)
    )
    text = "".join([(await checker.ask(kind)).text for kind in TOLD])
    for personal in (entered.uscc, entered.name, entered.project_code, "226.50", "4000"):
        assert personal not in text


@pytest.mark.parametrize("kind", TOLD)
async def test_every_other_question_gets_one_same_answer(checker: Checker, kind: str) -> None:
    early = kind not in SEALED
    answers = [await checker.ask(kind, WRONG)]
    answers += [await checker.ask(kind, WRONG, of="01ARZ3NDEKTSV4RRFFQ69G5FB0")]
    answers += [await checker.ask(kind, WRONG, sale_id="01ARZ3NDEKTSV4RRFFQ69G5FB0")]
    answers += [await checker.ask("contract", WRONG)]
    answers += [await checker.ask(kind, sm3) for sm3 in ("", "x" * 5000, "摘要", WRONG.upper())]
    if not early:
        right = await checker.digest(kind)
        answers += [
            await checker.ask(kind, sm3) for sm3 in (right.upper(), right[:-1], right + "0")
        ]
        answers += [await checker.ask(kind, right, of=checker.story.contract(2))]
    first = refused(answers[0])
    assert (first[0], first[1]["code"]) == (404, "PAPER_NOT_PROVEN")
    assert [refused(answer) for answer in answers] == [first] * len(answers)


async def test_a_paper_that_never_could_be_printed_is_not_proven(energy_house: Database) -> None:
    story = Story(energy_house)
    await story.announce()
    await story.entrant(1, pays=False)
    answer = await Checker(story, "none").ask("deposit-receipt", WRONG)
    assert refused(answer)[1]["code"] == "PAPER_NOT_PROVEN"


async def test_a_replaced_bid_s_receipt_stays_proven(checker: Checker) -> None:
    await checker.story.withdraw(1, checker.ids["bid-receipt"])
    assert (await checker.proof("bid-receipt"))["is_sealed"]


async def test_the_first_checkpoint_that_reaches_is_found_among_many(
    energy_house: Database,
) -> None:
    async def first_covering(partition: int, sequence: int) -> int | None:
        found = await energy_house.run(lambda s: covering(s, partition, sequence), "worker")
        return found.id if found else None

    assert await first_covering(0, 1) is None
    reached = []
    for sequence in (0, 0, 3, 3, 4, 9, 9, 9, 12):
        query = "UPDATE partition_head SET sequence = :sequence WHERE partition = 2"
        await rows(energy_house, query, sequence=sequence)
        await energy_house.run(sign_checkpoint, "worker")
        (last,) = await rows(energy_house, "SELECT max(id) AS id FROM checkpoint")
        reached.append((sequence, last.id))
    for wanted in range(1, 13):
        expected = next(number for sequence, number in reached if sequence >= wanted)
        assert await first_covering(2, wanted) == expected
    assert await first_covering(2, 13) is None
