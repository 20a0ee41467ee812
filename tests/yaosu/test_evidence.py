import json
from collections.abc import Sequence
from pathlib import Path

import httpx
import pytest
import typer
from typer.testing import CliRunner

from builders import a_signer
from contracts import sale as told
from evidence_files import Content, exported, faults, lines, read, told_otherwise, written
from marketkit.db import Database
from marketkit.facts import Fact
from marketkit.movements import Leg
from marketkit.signing import canonical
from sale_story import SALE, SUPPLY, Story, tell_all
from yaosu.evidence.archive import CHECKPOINTS, readable
from yaosu.evidence.check import check
from yaosu.evidence.collect import Asker, CannotExport, export
from yaosu.export import export as export_command
from yaosu.verify import verify


class TestASoundFile:
    async def test_is_found_sound(self, evidence: Path) -> None:
        report = check(evidence)
        assert faults(report) == ""
        assert report.is_sound
        assert any("成交 10000.000" in finding.seen for finding in report.findings)

    async def test_holds_the_stored_bytes_and_says_what_was_told(self, evidence: Path) -> None:
        content = read(evidence)
        assert set(content) == {
            "keys.json",
            "checkpoints.jsonl",
            f"sales/{SALE}.json",
            "manifest.json",
            *(f"events/land-index-{partition}.jsonl" for partition in range(6)),
        }
        sale = json.loads(content[f"sales/{SALE}.json"])
        assert sale["terms"]["supply"] == "10000.000"
        assert sale["result"]["clearing_price_yuan"] == "220.00"
        assert len(sale["bids"]) == 3

    async def test_the_same_facts_are_the_same_file(
        self, evidence: Path, kit_house: Database, tmp_path: Path
    ) -> None:
        await tell_all(kit_house, Story().facts())
        first, second = tmp_path / "first.zip", tmp_path / "second.zip"
        exported_first = await exported(kit_house, first)
        await exported(kit_house, second)
        assert first.read_bytes() == second.read_bytes()
        assert exported_first.event_count == 12
        assert exported_first.sale_count == 1

    async def test_ends_at_the_last_checkpoint(self, kit_house: Database, tmp_path: Path) -> None:
        facts = Story().facts()
        await tell_all(kit_house, facts)
        from marketkit.outbox import sequence, tell

        await kit_house.run(lambda s: tell(s, facts[2][1], key="later"))
        await kit_house.run(sequence, "worker")
        found = await exported(kit_house, tmp_path / "evidence.zip")
        assert found.event_count == len(facts)
        assert check(tmp_path / "evidence.zip").is_sound


class TestAKeyThatWasReplaced:
    async def test_what_it_signed_is_verified_still(
        self, kit_house: Database, tmp_path: Path
    ) -> None:
        facts = Story().facts()
        await tell_all(kit_house, facts[:9])
        rotated = Database(kit_house.url, kit_house.source, kit_house.market, a_signer())
        await tell_all(rotated, facts[9:])
        file = tmp_path / "rotated.zip"
        await exported(rotated, file)
        report = check(file)
        assert faults(report) == ""
        kids = {json.loads(line)["kid"] for line in lines(read(file)[CHECKPOINTS])}
        assert kids == {kit_house.signer.kid, rotated.signer.kid}
        self.lost(read(file), kit_house.signer.kid, tmp_path)
        self.used_after(read(file), kit_house.signer.kid, tmp_path)
        await rotated.close()

    def lost(self, content: Content, kid: str, folder: Path) -> None:
        said = json.loads(content["keys.json"])
        kept = canonical(said | {"keys": [key for key in said["keys"] if key["kid"] != kid]})
        assert "签名无效" in faults(check(written(content | {"keys.json": kept}, folder)))

    def used_after(self, content: Content, kid: str, folder: Path) -> None:
        said = json.loads(content["keys.json"])
        for key in said["keys"]:
            if key["kid"] == kid:
                key["valid_until"] = "2000-01-01T00:00:00+08:00"
        sooner = canonical(said)
        found = faults(check(written(content | {"keys.json": sooner}, folder)))
        assert "签于其公钥停用之后" in found


class TestHeldCheckpoints:
    async def test_one_kept_elsewhere_lies_on_the_chains(
        self, evidence: Path, tmp_path: Path
    ) -> None:
        held = tmp_path / "held.jsonl"
        held.write_bytes(read(evidence)[CHECKPOINTS])
        assert check(evidence, held).is_sound

    async def test_a_rollback_that_hides_itself_is_found_by_one(
        self, evidence: Path, tmp_path: Path
    ) -> None:
        """The whole log cut back to its first checkpoint: sound in itself."""
        content = read(evidence)
        held = tmp_path / "held.jsonl"
        first, last = lines(content[CHECKPOINTS])
        held.write_bytes(last)
        rolled_back = content | {CHECKPOINTS: first}
        del rolled_back[f"sales/{SALE}.json"]
        for head in json.loads(json.loads(first)["body"])["heads"]:
            name = f"events/land-index-{head['partition']}.jsonl"
            rolled_back[name] = b"".join(lines(content[name])[: head["sequence"]])
        file = written(rolled_back, tmp_path)
        assert check(file).is_sound
        assert "与签名的检查点不符" in faults(check(file, held))

    async def test_one_of_another_key_does_not_count(self, evidence: Path, tmp_path: Path) -> None:
        signed = json.loads(lines(read(evidence)[CHECKPOINTS])[-1])
        signer = a_signer()
        signature = signer.sign(signed["body"].encode()).hex()
        held = tmp_path / "held.jsonl"
        held.write_text(json.dumps(signed | {"kid": signer.kid, "signature": signature}))
        assert "不是以文件中的公钥签署" in faults(check(evidence, held))

    async def test_an_unreadable_one_is_said(self, evidence: Path, tmp_path: Path) -> None:
        held = tmp_path / "held.jsonl"
        held.write_text("[]")
        assert "另存的检查点无法读取" in faults(check(evidence, held))


# What a hand may do to the lines of a file; each gives other lines than it took.


def replaced(facts: list[tuple[str, Fact]], fact: Fact) -> list[tuple[str, Fact]]:
    """The facts with the one of this kind in its place."""
    return [(key, fact if isinstance(old, type(fact)) else old) for key, old in facts]


class TestWhatAServiceToldWrongly:
    """Everything chained and signed, and yet it does not follow."""

    async def test_quota_out_of_nothing(self, kit_house: Database, tmp_path: Path) -> None:
        legs = (
            Leg("issuance:ENERGY", "ENERGY", "lot-1", -SUPPLY, 0),
            Leg("province:ENERGY", "ENERGY", "lot-1", SUPPLY + 1, 0),
        )
        report = await told_otherwise(kit_house, tmp_path / "e.zip", Story(legs=legs).facts())
        assert "ENERGY 变动合计为 0.001" in faults(report)
        assert "ENERGY 合计 0.001，应为 0" in faults(report)

    async def test_more_held_than_there_is(self, kit_house: Database, tmp_path: Path) -> None:
        less = SUPPLY - 1
        legs = (
            Leg("issuance:ENERGY", "ENERGY", "lot-1", -less, 0),
            Leg("province:ENERGY", "ENERGY", "lot-1", less, 0),
        )
        report = await told_otherwise(kit_house, tmp_path / "e.zip", Story(legs=legs).facts())
        assert "province:ENERGY 的批次 lot-1：余额 -0.001 为负" in faults(report)

    async def test_an_account_nobody_opened(self, kit_house: Database, tmp_path: Path) -> None:
        facts = Story().facts()
        report = await told_otherwise(kit_house, tmp_path / "e.zip", [facts[0], *facts[2:]])
        assert "账户 province:ENERGY 未开立" in faults(report)

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ({"clearing_price_yuan": "226.50"}, "成交价与重算的不符"),
            ({"sold": "9999.000"}, "成交量、未成交量或价款"),
            ({"proceeds_yuan": "1.00"}, "成交量、未成交量或价款"),
            ({"awards": []}, "成交明细"),
            ({"rejected": []}, "无效报价明细"),
        ],
    )
    async def test_another_result(
        self, kit_house: Database, tmp_path: Path, change: dict[str, object], said: str
    ) -> None:
        story = Story()
        document = story.cleared().model_dump(mode="json") | change
        facts = replaced(story.facts(), told.SaleCleared.model_validate(document))
        assert said in faults(await told_otherwise(kit_house, tmp_path / "e.zip", facts))

    async def test_awards_in_another_order(self, kit_house: Database, tmp_path: Path) -> None:
        story = Story()
        document = story.cleared().model_dump(mode="json")
        document["awards"].reverse()
        facts = replaced(story.facts(), told.SaleCleared.model_validate(document))
        assert "成交明细" in faults(await told_otherwise(kit_house, tmp_path / "e.zip", facts))

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ({"draw_secret": "11" * 32}, "秘密与公告的摘要不符"),
            ({"seed": "22" * 32}, "由承诺值推导的不符"),
            ({"part_count": 3}, "公布的报价不全"),
        ],
    )
    async def test_another_opening(
        self, kit_house: Database, tmp_path: Path, change: dict[str, object], said: str
    ) -> None:
        story = Story()
        document = story.opened().model_dump(mode="json") | change
        facts = replaced(story.facts(), told.SaleOpened.model_validate(document))
        assert said in faults(await told_otherwise(kit_house, tmp_path / "e.zip", facts))

    async def test_a_bid_changed_after_closing(self, kit_house: Database, tmp_path: Path) -> None:
        story = Story()
        other = Story(offers=(("230.00", "1"), *story.offers[1:]))
        story.revealed[0] = story.revealed[0].model_copy(
            update={"plaintext": other.revealed[0].plaintext}
        )
        found = await told_otherwise(kit_house, tmp_path / "e.zip", story.facts())
        assert "receipt-1 的明文与承诺值不符" in faults(found)

    async def test_a_bid_nobody_placed(self, kit_house: Database, tmp_path: Path) -> None:
        story = Story()
        facts = [one for one in story.facts() if not _is_placed(one[1], "receipt-1")]
        found = await told_otherwise(kit_house, tmp_path / "e.zip", facts)
        assert "receipt-1 的承诺值与截止前记录的不符" in faults(found)

    @pytest.mark.parametrize(("accepting", "is_sound"), [((1, 2, 3), True), ((1, 3), False)])
    async def test_a_bid_of_one_who_did_not_accept_a_correction(
        self, kit_house: Database, tmp_path: Path, accepting: Sequence[int], is_sound: bool
    ) -> None:
        facts = _corrected(Story(), accepting)
        report = await told_otherwise(kit_house, tmp_path / "e.zip", facts)
        assert report.is_sound == is_sound
        assert ("receipt-2 的竞买人未接受变更公告" in faults(report)) != is_sound

    @pytest.mark.parametrize(("accepting", "is_void"), [((1, 3), True), ((1, 2, 3), False)])
    async def test_a_bid_void_for_a_correction_that_its_bidder_accepted(
        self, kit_house: Database, tmp_path: Path, accepting: Sequence[int], is_void: bool
    ) -> None:
        facts = _corrected(_voided("CORRECTION_NOT_ACCEPTED"), accepting)
        report = await told_otherwise(kit_house, tmp_path / "e.zip", facts)
        assert ("receipt-2 的竞买人已接受变更公告" in faults(report)) != is_void

    async def test_a_bid_void_for_a_correction_that_never_was(
        self, kit_house: Database, tmp_path: Path
    ) -> None:
        facts = _voided("CORRECTION_NOT_ACCEPTED").facts()
        report = await told_otherwise(kit_house, tmp_path / "e.zip", facts)
        assert "receipt-2 的竞买人已接受变更公告，或并无变更" in faults(report)

    @pytest.mark.parametrize(
        ("told_of_it", "is_void"),
        [
            ([], True),
            (["REFUSED"], True),
            (["QUALIFIED", "WITHDRAWN"], True),
            (["QUALIFIED"], False),
        ],
    )
    async def test_a_bid_void_as_of_one_who_was_qualified(
        self, kit_house: Database, tmp_path: Path, told_of_it: Sequence[str], is_void: bool
    ) -> None:
        facts = _voided("NOT_QUALIFIED").facts()
        facts[4:4] = [(SALE, _judged("registration-2", verdict)) for verdict in told_of_it]
        report = await told_otherwise(kit_house, tmp_path / "e.zip", facts)
        assert ("receipt-2 的竞买人已通过资格审查" in faults(report)) != is_void

    async def test_a_good_bid_that_was_voided(self, kit_house: Database, tmp_path: Path) -> None:
        facts = _voided("BID_MALFORMED").facts()
        report = await told_otherwise(kit_house, tmp_path / "e.zip", facts)
        assert "receipt-2 以 BID_MALFORMED 判为无效" in faults(report)

    async def test_a_bid_that_was_withdrawn(self, kit_house: Database, tmp_path: Path) -> None:
        facts = Story().facts()
        withdrawn = (SALE, told.SealedBidWithdrawn(receipt_id="receipt-1"))
        found = await told_otherwise(
            kit_house, tmp_path / "e.zip", [*facts[:7], withdrawn, *facts[7:]]
        )
        assert "receipt-1 已撤回" in faults(found)


def _corrected(story: Story, accepting: Sequence[int]) -> list[tuple[str, Fact]]:
    """The facts with a correction before the close, and who accepts it; the third enters after."""
    facts = story.facts()
    closed = next(n for n, (_, fact) in enumerate(facts) if isinstance(fact, told.SaleClosed))
    timetable = story.announced([]).timetable
    corrected: list[Fact] = [
        *(told.SaleRegistered(registration_id=f"registration-{n}") for n in (1, 2)),
        told.SaleCorrected(correction=1, text="更正", body="公告", timetable=timetable),
        told.SaleRegistered(registration_id="registration-3"),
        *(
            told.CorrectionAccepted(registration_id=f"registration-{n}", correction=1)
            for n in accepting
            if n != 3
        ),
    ]
    facts[closed:closed] = [(SALE, fact) for fact in corrected]
    return facts


def _judged(registration_id: str, verdict: str) -> Fact:
    if verdict == "WITHDRAWN":
        return told.RegistrationWithdrawn(registration_id=registration_id)
    said = {"registration_id": registration_id, "verdict": verdict}
    return told.SaleQualified.model_validate(said)


def _voided(code: str) -> Story:
    """A sale whose second bid is told as void, its result left as it was."""
    story = Story()
    story.revealed[1] = story.revealed[1].model_copy(update={"void_code": code})
    return story


def _is_placed(fact: Fact, receipt_id: str) -> bool:
    return isinstance(fact, told.SealedBidPlaced) and fact.receipt_id == receipt_id


class TestExport:
    async def test_a_service_that_has_signed_nothing_yet(
        self, kit_house: Database, tmp_path: Path
    ) -> None:
        with pytest.raises(CannotExport, match="尚未签署检查点"):
            await exported(kit_house, tmp_path / "evidence.zip")
        assert not (tmp_path / "evidence.zip").exists()

    async def test_a_service_that_does_not_answer(self, tmp_path: Path) -> None:
        def down(request: httpx.Request) -> httpx.Response:
            raise httpx.ConnectError("down")

        asker = Asker(a_signer(), "/370500/gateway")
        transports = {"land": httpx.MockTransport(down)}
        with pytest.raises(CannotExport, match="land 未答复"):
            await export(tmp_path / "e.zip", {"land": "http://x"}, asker, transports=transports)

    async def test_a_log_that_is_not_the_one_signed(self, evidence: Path, tmp_path: Path) -> None:
        """The feed's events are chained again: a service cannot export what it did not sign."""
        content = read(evidence)
        content[f"sales/{SALE}.json"] = readable({})
        assert "与事件所述不符" in faults(check(written(content, tmp_path)))


class TestCommands:
    def run(self, *arguments: str) -> tuple[int, str]:
        app = typer.Typer()
        app.command("verify")(verify)
        app.command("export")(export_command)
        result = CliRunner().invoke(app, arguments)
        return result.exit_code, result.output

    def test_a_sound_file_ends_with_0(self, evidence: Path) -> None:
        code, said = self.run("verify", str(evidence))
        assert code == 0
        assert "：一致" in said
        assert "重算一致" in said

    def test_a_changed_file_ends_with_1_and_says_what(self, evidence: Path, tmp_path: Path) -> None:
        content = read(evidence)
        content[f"sales/{SALE}.json"] += b" "
        code, said = self.run("verify", str(written(content, tmp_path, resealed=False)))
        assert code == 1
        assert "不一致，不可采信" in said
        assert "摘要与清单不符" in said

    def test_without_a_house_it_says_what_to_type(self, tmp_path: Path) -> None:
        code, said = self.run("export", str(tmp_path / "e.zip"), "--data-dir", str(tmp_path))
        assert code == 1
        assert "请执行：./run" in said

    def test_an_inner_address_is_named(self, tmp_path: Path) -> None:
        code, said = self.run("export", str(tmp_path / "e.zip"), "--inner", "http://x")
        assert code == 1
        assert "服务=地址" in said
