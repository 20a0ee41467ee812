"""The result anyone derives from what was told."""

import json
from dataclasses import dataclass, field, replace
from datetime import timedelta
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders import NOON, a_project_code, a_uscc
from contracts.sale import (
    AwardedStep,
    BidsRevealed,
    RevealedBid,
    SaleAnnounced,
    SaleCleared,
    SaleKey,
    SaleOpened,
    SaleTerms,
    Timetable,
)
from marketkit.outbox import EVENT_BYTES_MAX
from marketkit.signing import b64, sm3, unb64
from marketkit.units import MINOR_MAX, TCE, YUAN
from saleroom.openings.rules import Standing, reveal
from saleroom.recompute import (
    PART_BYTES,
    cleared_of,
    cleared_parts,
    in_parts,
    opening_faults,
    padded,
    reason_of,
    recompute,
    whole,
)
from saleroom.sealing import (
    BidMalformed,
    BidPlace,
    CommitmentMismatch,
    SealedBid,
    Step,
    new_key_pair,
    open_bid,
    seal_bid,
    wrap,
)
from saleroom.shares import draw_seed
from stories import a_step

SECRET = bytes(range(32))


def terms(**changes: Any) -> SaleTerms:
    said: dict[str, Any] = {
        "asset": "ENERGY",
        "unit": "tce",
        "format": "SEALED",
        "supply": "1000.000",
        "lot_size": "1.000",
        "floor_price_yuan": "200.00",
        "price_rule": "LOWEST_ACCEPTED",
        "tie_rule": "TIME",
        "undersubscribed": "SELL",
        "bidders_min": 1,
        "deposit_ratio_bp": 2000,
        "is_dual_high_barred": True,
        "steps_max": 20,
    }
    return SaleTerms.model_validate(said | changes)


def plaintext_of(steps: list[Step]) -> str:
    said = []
    for step in steps:
        one = {
            "price_yuan": YUAN.format(step.price_fen),
            "quantity": TCE.format(step.quantity_minor),
        }
        if step.min_accept_minor is not None:
            one["min_accept_quantity"] = TCE.format(step.min_accept_minor)
        said.append(one)
    return json.dumps({"steps": said, "nonce": "00" * 32})


def a_bid(number: int, *steps: Step, **changes: Any) -> RevealedBid:
    plaintext = plaintext_of(list(steps))
    said: dict[str, Any] = {
        "receipt_id": f"receipt-{number:05d}",
        "registration_id": f"registration-{number:05d}",
        "bidder": a_uscc(number),
        "bidder_name": f"企业{number}",
        "project_code": a_project_code(number),
        "quantity_max": "1000.000",
        "version": 1,
        "submitted_at": NOON + timedelta(seconds=number),
        "commitment": b64(sm3(plaintext.encode().ljust(4096))),
        "plaintext": plaintext,
    }
    return RevealedBid.model_validate(said | changes)


def got(cleared: SaleCleared) -> dict[str, str]:
    return {award.bid_id: award.quantity for award in cleared.awards}


def codes(cleared: SaleCleared) -> dict[str, str]:
    return {step.bid_id: step.code for step in cleared.rejected}


@dataclass
class Told:
    """An opening as its facts tell it."""

    bids: list[RevealedBid]
    terms: SaleTerms = field(default_factory=terms)

    @property
    def commitments(self) -> dict[str, str]:
        return {bid.receipt_id: bid.commitment for bid in self.bids}

    @property
    def announced(self) -> SaleAnnounced:
        instants = {name: NOON for name in Timetable.model_fields if name.endswith(("_at", "_by"))}
        return SaleAnnounced(
            title="公告",
            body="正文",
            seller="卖方",
            terms=self.terms,
            timetable=Timetable(**instants, pay_days=7, publicity_days=7),
            key=SaleKey(
                public_key="",
                key_sm3="",
                draw_secret_sha256=sha256(SECRET).hexdigest(),
                draw_secret_ciphertext="",
            ),
            drilled_at=NOON,
            movements=[],
        )

    @property
    def parts(self) -> list[BidsRevealed]:
        slices = in_parts(self.bids)
        return [
            BidsRevealed(part=number, part_count=len(slices), bids=bids)
            for number, bids in enumerate(slices, 1)
        ]

    def opened(self, **changes: Any) -> SaleOpened:
        seed = draw_seed(SECRET, [unb64(one) for one in self.commitments.values()])
        said = {
            "opening_id": "opening-1",
            "part_count": len(self.parts),
            "draw_secret": SECRET.hex(),
            "seed": seed.hex(),
        }
        return SaleOpened.model_validate(said | changes)

    def faults(self, **changes: Any) -> list[str]:
        said: dict[str, Any] = {
            "announced": self.announced,
            "commitments": self.commitments,
            "opened": self.opened(),
            "parts": self.parts,
        }
        return list(opening_faults(**said | changes))


def test_the_marginal_bid_is_cut() -> None:
    told = Told([a_bid(1, a_step("226.50", "400")), a_bid(2, a_step("220.00", "700"))])
    cleared = recompute(told.announced, told.opened(), told.parts)
    assert got(cleared) == {"receipt-00001-1": "400.000", "receipt-00002-1": "600.000"}
    assert cleared.outcome == "SOLD"
    assert cleared.clearing_price_yuan == YUAN.parse("220.00")
    assert cleared.proceeds_yuan == YUAN.parse("220000.00")
    assert cleared.unsold == "0.000"
    assert reason_of(told.terms, cleared, told.bids) is None


def test_an_award_names_who_gets_it() -> None:
    cleared = cleared_of(terms(), b"", [a_bid(3, a_step("226.50", "400"))])
    (award,) = cleared.awards
    assert (award.bidder, award.bidder_name) == (a_uscc(3), "企业3")
    assert award.registration_id == "registration-00003"
    assert award.amount_yuan == YUAN.parse("90600.00")


@pytest.mark.article("notice")
def test_a_step_below_the_floor_is_rejected_and_the_bid_s_other_is_not() -> None:
    cleared = cleared_of(terms(), b"", [a_bid(1, a_step("199.99", "400"), a_step("200.00", "10"))])
    assert codes(cleared) == {"receipt-00001-1": "BELOW_FLOOR"}
    assert got(cleared) == {"receipt-00001-2": "10.000"}


def test_a_void_bid_takes_no_part() -> None:
    void = a_bid(1, a_step("300.00", "1000"), void_code="DEPOSIT_NOT_CONFIRMED")
    cleared = cleared_of(terms(), b"", [void, a_bid(2, a_step("210.00", "5"))])
    assert got(cleared) == {"receipt-00002-1": "5.000"}
    assert codes(cleared) == {}


def test_a_least_quantity_where_ties_are_shared_voids_that_step_only() -> None:
    bids = [a_bid(1, a_step("220.00", "10", "5"), a_step("210.00", "10"))]
    shared = cleared_of(terms(tie_rule="PRO_RATA"), b"", bids)
    assert codes(shared) == {"receipt-00001-1": "LEAST_QUANTITY_NOT_ALLOWED"}
    assert got(shared) == {"receipt-00001-2": "10.000"}
    assert codes(cleared_of(terms(), b"", bids)) == {}


@pytest.mark.parametrize("price_rule", ["PAY_AS_BID", "LOWEST_ACCEPTED", "HIGHEST_REJECTED"])
@pytest.mark.parametrize("count", [1, 40], ids=["one bid", "many that add up"])
def test_a_price_whose_money_cannot_be_written_down_stops_no_sale(
    price_rule: str, count: int
) -> None:
    most = YUAN.format(MINOR_MAX)
    said = terms(price_rule=price_rule)
    dreamers = [a_bid(10 + n, a_step(most, "2"), a_step("210.00", "1")) for n in range(count)]
    cleared = cleared_of(said, b"", [a_bid(1, a_step("226.50", "400")), *dreamers])
    assert set(codes(cleared).values()) == {"PRICE_OUT_OF_RANGE"}
    assert got(cleared) == {"receipt-00001-1": "400.000"} | {
        f"receipt-{10 + n:05}-2": "1.000" for n in range(count)
    }


@pytest.mark.parametrize("price_rule", ["PAY_AS_BID", "LOWEST_ACCEPTED", "HIGHEST_REJECTED"])
def test_the_highest_price_that_may_stand_can_be_paid_for_all_that_is_sold(price_rule: str) -> None:
    said = terms(price_rule=price_rule)
    supply_minor = TCE.parse(said.supply)
    most = MINOR_MAX // 2 * TCE.scale // supply_minor
    each = TCE.format(supply_minor // 4)
    bids = [a_bid(n, a_step(YUAN.format(most), each)) for n in range(1, 5)]
    cleared = cleared_of(said, b"", bids)
    assert (cleared.sold, codes(cleared)) == (TCE.format(supply_minor), {})
    assert cleared.proceeds_yuan <= MINOR_MAX
    above = [a_bid(n, a_step(YUAN.format(most + 1), each)) for n in range(1, 5)]
    assert set(codes(cleared_of(said, b"", above)).values()) == {"PRICE_OUT_OF_RANGE"}


def test_a_bidder_gets_no_more_than_it_registered_for() -> None:
    bid = a_bid(1, a_step("220.00", "80"), a_step("230.00", "50"), quantity_max="100.000")
    cleared = cleared_of(terms(), b"", [bid])
    assert got(cleared) == {"receipt-00001-2": "50.000", "receipt-00001-1": "50.000"}


def test_the_purchase_limit_of_the_notice_holds_too() -> None:
    cleared = cleared_of(terms(purchase_limit="30.000"), b"", [a_bid(1, a_step("220.00", "80"))])
    assert got(cleared) == {"receipt-00001-1": "30.000"}


@pytest.mark.parametrize(
    ("changes", "bids", "outcome", "reason"),
    [
        ({}, [], "FAILED", "NO_AWARD"),
        ({}, [a_bid(1, a_step("1.00", "5"))], "FAILED", "NO_AWARD"),
        ({"bidders_min": 3}, [a_bid(1, a_step("1.00", "5"))], "FAILED", "NO_AWARD"),
        (
            {"bidders_min": 2},
            [a_bid(1, a_step("210.00", "5"), a_step("209.00", "5")), a_bid(2, a_step("1.00", "5"))],
            "FAILED",
            "TOO_FEW_BIDDERS",
        ),
        (
            {"undersubscribed": "CANCEL"},
            [a_bid(1, a_step("210.00", "5"))],
            "CANCELLED",
            "UNDERSUBSCRIBED",
        ),
        (
            {"bidders_min": 2, "undersubscribed": "CANCEL"},
            [a_bid(1, a_step("210.00", "5"))],
            "FAILED",
            "TOO_FEW_BIDDERS",
        ),
        ({}, [a_bid(1, a_step("210.00", "2000", "2000"))], "FAILED", "NO_AWARD"),
    ],
)
def test_how_a_sale_fails(
    changes: dict[str, Any], bids: list[RevealedBid], outcome: str, reason: str
) -> None:
    under = terms(**changes)
    cleared = cleared_of(under, b"", bids)
    assert (cleared.outcome, reason_of(under, cleared, bids)) == (outcome, reason)
    assert (cleared.awards, cleared.sold, cleared.unsold) == ([], "0.000", "1000.000")
    assert (cleared.clearing_price_yuan, cleared.proceeds_yuan) == (None, 0)


def test_a_bid_that_is_not_as_committed_is_never_cleared() -> None:
    bid = a_bid(1, a_step("210.00", "5"))
    changed = bid.model_copy(update={"plaintext": plaintext_of([a_step("210.00", "6")])})
    with pytest.raises(CommitmentMismatch):
        cleared_of(terms(), b"", [changed])
    nothing = bid.model_copy(update={"plaintext": "", "commitment": b64(sm3(b" " * 4096))})
    with pytest.raises(BidMalformed):
        cleared_of(terms(), b"", [nothing])


def test_a_plaintext_is_padded_to_what_was_committed_to() -> None:
    place, step = BidPlace("sale-1", a_uscc(1), 1), a_step("210.00", "5")
    key = new_key_pair()
    sealed = seal_bid([step], place, public_key=key.public_key, unit=TCE)
    opened = open_bid(sealed, place, private_key=key.private_key, unit=TCE)
    text = opened.plaintext.rstrip(b" ").decode()
    bid = a_bid(1, step, plaintext=text, commitment=b64(sealed.commitment))
    assert padded(bid) == opened.plaintext


class TestFaults:
    told = Told([a_bid(1, a_step("226.50", "400")), a_bid(2, a_step("220.00", "700"))])

    def test_a_true_opening_has_none(self) -> None:
        assert self.told.faults() == []
        assert Told([]).faults() == []

    @pytest.mark.parametrize(
        ("changes", "fault"),
        [
            ({"parts": []}, "公布的报价不全"),
            ({"opened": told.opened(draw_secret="00" * 32)}, "抽签种子的秘密与公告的摘要不符"),
            ({"opened": told.opened(seed="00" * 32)}, "抽签种子与由承诺值推导的不符"),
            (
                {"commitments": dict(reversed(told.commitments.items()))},
                "抽签种子与由承诺值推导的不符",
            ),
            ({"commitments": {}}, "报价 receipt-00001 的承诺值与截止前记录的不符"),
        ],
    )
    def test_what_does_not_follow_is_a_fault(self, changes: dict[str, Any], fault: str) -> None:
        assert fault in self.told.faults(**changes)

    def test_a_bid_told_twice_is_a_fault(self) -> None:
        twice = Told([*self.told.bids, self.told.bids[0]])
        assert "同一回执的报价公布了两次" in twice.faults()

    def test_a_bid_told_otherwise_than_committed_is_a_fault(self) -> None:
        text = plaintext_of([a_step("999.00", "1")])
        changed = Told([self.told.bids[0].model_copy(update={"plaintext": text})])
        assert "报价 receipt-00001 的明文与承诺值不符" in changed.faults()


class TestParts:
    def test_ten_thousand_bids_of_twenty_steps_fit_into_events(self) -> None:
        steps = [a_step(f"2{n:02d}.00", "12345.678") for n in range(20)]
        bid = a_bid(1, *steps)
        parts = in_parts([bid] * 10_000)
        assert sum(len(part) for part in parts) == 10_000
        for part in (parts[0], parts[-1]):
            fact = BidsRevealed(part=1, part_count=len(parts), bids=part)
            assert len(fact.model_dump_json().encode()) < PART_BYTES + 1024
        assert PART_BYTES + 32 * 1024 < EVENT_BYTES_MAX

    def test_characters_that_grow_when_written_are_counted_as_written(self) -> None:
        bid = a_bid(1, a_step("210.00", "1"), plaintext="\x01" * 4096, void_code="BID_MALFORMED")
        parts = in_parts([bid] * 100)
        largest = max(
            len(BidsRevealed(part=1, part_count=9, bids=part).model_dump_json().encode())
            for part in parts
        )
        assert len(parts) > 4
        assert largest < PART_BYTES + 1024

    def test_a_long_result_is_told_in_parts_and_read_as_one(self) -> None:
        few = [a_bid(n, a_step("210.00", "1"), a_step("1.00", "1")) for n in range(3)]
        one = cleared_of(terms(), b"", few)
        assert cleared_parts(one) == [one]
        award, step = one.awards[0], one.rejected[0]
        long = one.model_copy(update={"awards": [award] * 5_000, "rejected": [step] * 5_000})
        parts = cleared_parts(long)
        assert len(parts) > 2
        assert [part.part for part in parts] == list(range(1, len(parts) + 1))
        assert {part.part_count for part in parts} == {len(parts)}
        assert max(len(part.model_dump_json().encode()) for part in parts) < PART_BYTES + 1024
        assert whole(parts) == long

    def test_a_result_without_awards_is_one_part(self) -> None:
        assert len(cleared_parts(cleared_of(terms(), b"", []))) == 1
        assert in_parts([]) == []


offers = st.lists(
    st.lists(
        st.tuples(st.integers(19_000, 23_000), st.integers(1, 600_000)), min_size=1, max_size=4
    ),
    max_size=6,
)


@settings(max_examples=60, deadline=None)
@given(offers, st.sampled_from(["TIME", "RANDOM", "PRO_RATA"]), st.integers(1, 3))
def test_whatever_is_bid_the_result_adds_up_and_follows_again(
    bidden: list[list[tuple[int, int]]], tie_rule: str, bidders_min: int
) -> None:
    bids = [
        a_bid(number, *(Step(price, quantity) for price, quantity in steps))
        for number, steps in enumerate(bidden, 1)
    ]
    told = Told(bids, terms(tie_rule=tie_rule, bidders_min=bidders_min))
    cleared = recompute(told.announced, told.opened(), told.parts)
    assert told.faults() == []
    assert cleared == cleared_of(told.terms, bytes.fromhex(told.opened().seed), told.bids)
    total = TCE.parse(cleared.sold) + TCE.parse(cleared.unsold)
    assert total == TCE.parse(told.terms.supply)
    assert TCE.parse(cleared.sold) == sum(TCE.parse(one.quantity) for one in cleared.awards)
    assert cleared.proceeds_yuan == sum(one.amount_yuan for one in cleared.awards)
    assert (reason_of(told.terms, cleared, bids) is None) == bool(cleared.awards)
    assert not {one.bid_id for one in cleared.awards} & {one.bid_id for one in cleared.rejected}
    assert all(isinstance(one, AwardedStep) for one in cleared.awards)


@pytest.mark.article("notice")
@pytest.mark.parametrize(
    ("steps_max", "void_code", "is_fault"),
    [
        (2, None, False),
        (1, "TOO_MANY_STEPS", False),
        (1, None, True),
        (2, "TOO_MANY_STEPS", True),
        (1, "DEPOSIT_NOT_CONFIRMED", False),
    ],
)
def test_whether_a_bid_is_void_for_its_steps_follows_from_the_notice(
    steps_max: int, void_code: str | None, is_fault: bool
) -> None:
    bid = a_bid(1, a_step("220.00", "5"), a_step("210.00", "5"), void_code=void_code)
    told = Told([bid], terms(steps_max=steps_max))
    assert bool(told.faults()) is is_fault
    assert all("价位数" in fault for fault in told.faults())


@pytest.mark.article("notice")
def test_a_bid_void_for_its_steps_shows_them() -> None:
    hidden = a_bid(1, a_step("220.00", "5"), void_code="TOO_MANY_STEPS")
    bid = hidden.model_copy(update={"plaintext": None})
    assert Told([bid], terms(steps_max=1)).faults()


@pytest.mark.article("notice")
@pytest.mark.parametrize(
    "void_code",
    ["BID_UNREADABLE", "COMMITMENT_MISMATCH", "BID_MALFORMED"],
)
def test_a_good_bid_is_not_void_for_what_it_says(void_code: str) -> None:
    bid = a_bid(1, a_step("220.00", "5"), void_code=void_code)
    assert Told([bid]).faults() == [f"报价 receipt-00001 以 {void_code} 判为无效，与公布的明文不符"]


@pytest.mark.parametrize(
    ("plaintext", "void_code"),
    [("{}", "BID_UNREADABLE"), ("{}", "COMMITMENT_MISMATCH"), ("{ }", "BID_MALFORMED")],
)
def test_a_bad_bid_is_void_for_what_it_shows(plaintext: str, void_code: str) -> None:
    """`{}` is committed to and is no bid; with other words than committed to it is no better."""
    bid = a_bid(1, commitment=b64(sm3(b"{}".ljust(4096))), plaintext=plaintext, void_code=void_code)
    assert "与公布的明文不符" in "".join(Told([bid]).faults())


@pytest.mark.parametrize("void_code", ["WHATEVER", "", "BELOW_FLOOR"])
@pytest.mark.parametrize("plaintext", [None, "{}"])
def test_a_reason_nobody_knows_voids_no_bid(void_code: str, plaintext: str | None) -> None:
    bid = a_bid(1, a_step("220.00", "5"), plaintext=plaintext, void_code=void_code)
    assert Told([bid]).faults() == ["报价 receipt-00001 的无效原因不在规则之列"]


KEY = new_key_pair()
PLACE = BidPlace("sale-1", a_uscc(1), 1)
GOOD = plaintext_of([a_step("220.00", "5"), a_step("210.00", "5")]).encode()


def as_opened(
    plaintext: bytes, sealed: dict[str, Any], bidder: dict[str, Any], steps_max: int
) -> RevealedBid:
    """The bid as an opening tells it, something of it or of its bidder wrong."""
    ciphertext = wrap(plaintext, KEY.public_key, PLACE.info)
    said: dict[str, Any] = {"registration_state": "QUALIFIED", "deposit_state": "CONFIRMED"}
    bid = SealedBid(ciphertext, sm3(plaintext), sm3(KEY.public_key))
    standing = Standing(
        receipt_id="receipt-00001",
        registration_id="registration-00001",
        bidder_name="企业1",
        project_code=a_project_code(1),
        quantity_max_minor=TCE.parse("1000"),
        place=PLACE,
        sealed=replace(bid, **sealed),
        submitted_at=NOON,
        booked_at=NOON,
        **said | bidder,
    )
    key = KEY.private_key
    return reveal(standing, private_key=key, unit=TCE, deposit_due_at=NOON, steps_max=steps_max)


@pytest.mark.article("notice")
@pytest.mark.parametrize(
    ("plaintext", "sealed", "bidder", "code"),
    [
        (GOOD.ljust(4096), {}, {}, None),
        (GOOD.ljust(4096), {"key_sm3": bytes(32)}, {}, "BID_KEY_WRONG"),
        (GOOD.ljust(4096), {"ciphertext": bytes(4096 + 48)}, {}, "BID_UNREADABLE"),
        (GOOD.ljust(4096), {"commitment": bytes(32)}, {}, "COMMITMENT_MISMATCH"),
        (b"\xff".ljust(4096), {"commitment": bytes(32)}, {}, "COMMITMENT_MISMATCH"),
        (GOOD, {}, {}, "BID_SIZE_WRONG"),
        (GOOD, {"commitment": sm3(GOOD.ljust(4096))}, {}, "BID_SIZE_WRONG"),
        (bytes(4096), {}, {}, "BID_MALFORMED"),
        (b" " * 4096, {}, {}, "BID_MALFORMED"),
        (b"\xff" * 4096, {}, {}, "BID_MALFORMED"),
        (b"  {}\n".ljust(4096), {}, {}, "BID_MALFORMED"),
        ("\u3000报价\u2028".encode().ljust(4096), {}, {}, "BID_MALFORMED"),
        (GOOD.ljust(4096), {}, {"registration_state": "REFUSED"}, "NOT_QUALIFIED"),
        (GOOD.ljust(4096), {}, {"has_accepted": False}, "CORRECTION_NOT_ACCEPTED"),
        (GOOD.ljust(4096), {}, {"deposit_state": "PENDING"}, "DEPOSIT_NOT_CONFIRMED"),
    ],
)
def test_whatever_an_opening_tells_of_a_bid_is_believed(
    plaintext: bytes, sealed: dict[str, Any], bidder: dict[str, Any], code: str | None
) -> None:
    bid = as_opened(plaintext, sealed, bidder, 20)
    assert bid.void_code == code
    assert Told([bid]).faults() == []


def test_a_bid_opened_with_too_many_steps_is_believed() -> None:
    bid = as_opened(GOOD.ljust(4096), {}, {}, 1)
    assert bid.void_code == "TOO_MANY_STEPS"
    assert Told([bid], terms(steps_max=1)).faults() == []
