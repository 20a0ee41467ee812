"""Two people ask, three officers give their shares; what becomes of the bids."""

import asyncio
from functools import partial
from itertools import combinations

import pytest

from builders import a_caller, a_uscc
from contracts.sale import (
    BidsRevealed,
    OpeningConfirmed,
    OpeningSessionBegun,
    OpeningSessionFailed,
    SaleOpened,
)
from databases import rows
from marketkit.countersign import AlreadyConfirmed, RequestUnknown, SamePerson
from marketkit.db import Database
from marketkit.errors import Refusal
from marketkit.signing import sm3
from saleroom.notices.rules import SaleStateNotAllowed, SaleUnknown
from saleroom.opener import SHARES_WAIT_S
from saleroom.openings import actions
from saleroom.openings.rules import (
    WRAPPED_SHARE_BYTES,
    DepositsNotReconciled,
    OpeningAlreadyConfirmed,
    OpeningTooLate,
    OpeningUnknown,
    SessionNotLive,
    ShareAlreadyGiven,
    ShareSizeWrong,
)
from saleroom.sealing import PLAINTEXT_BYTES, BidPlace, wrap
from saleroom.shares import draw_seed
from stories import FIRST, Story, a_step
from toy_market import CLOSES, OPENS_BY, TICK

STATES_BEFORE_OR_AFTER = (
    "DRAFT", "SUSPENDED", "OPENED", "CLEARED", "CONFIRMED", "SETTLED", "ARCHIVED", "FAILED",
    "CANCELLED",
)  # fmt: skip


@pytest.fixture
def story(energy_house: Database) -> Story:
    return Story(energy_house)


async def put(story: Story, state: str) -> None:
    await rows(story.house, "UPDATE sale SET state = :state", state=state)


class TestAsking:
    async def test_two_people_confirm_an_opening(self, story: Story) -> None:
        await story.bidders(("210.00", "100"))
        await story.reconcile()
        asked = await story.ask_to_open()
        confirmed = await story.confirm_opening(asked.request_id)
        (told,) = await story.told(OpeningConfirmed)
        assert told.opening_id == confirmed.opening_id
        assert await story.state() == "CLOSED"

    async def test_one_person_is_not_two(self, story: Story) -> None:
        await story.announce()
        await story.reconcile()
        asked = await story.ask_to_open()
        with pytest.raises(SamePerson):
            await story.confirm_opening(asked.request_id, FIRST)

    async def test_a_request_is_for_its_own_sale(self, story: Story) -> None:
        await story.announce()
        await story.reconcile()
        with pytest.raises(RequestUnknown):
            await story.confirm_opening("01UNKNOWN")

    async def test_five_confirmations_at_once_are_one_opening(self, story: Story) -> None:
        await story.announce()
        await story.reconcile()
        asked = await story.ask_to_open()
        outcomes = await asyncio.gather(
            *(story.confirm_opening(asked.request_id) for _ in range(5)), return_exceptions=True
        )
        refused = [one for one in outcomes if isinstance(one, Refusal)]
        assert len(refused) == 4
        assert {type(one) for one in refused} <= {OpeningAlreadyConfirmed, AlreadyConfirmed}
        assert len(await story.told(OpeningConfirmed)) == 1

    async def test_opening_waits_for_the_deposits(self, story: Story) -> None:
        await story.announce()
        story.at(CLOSES)
        with pytest.raises(DepositsNotReconciled):
            await story.ask_to_open()

    async def test_an_unclosed_sale_is_not_opened(self, story: Story) -> None:
        await story.announce()
        story.at(CLOSES - TICK)
        with pytest.raises(SaleStateNotAllowed):
            await story.ask_to_open()

    @pytest.mark.parametrize("state", STATES_BEFORE_OR_AFTER)
    async def test_a_sale_in_another_state_is_not_opened(self, story: Story, state: str) -> None:
        await story.announce()
        await story.reconcile()
        asked = await story.ask_to_open()
        await put(story, state)
        for step in (story.ask_to_open(), story.confirm_opening(asked.request_id)):
            with pytest.raises(SaleStateNotAllowed):
                await step

    async def test_the_last_instant_is_too_late(self, story: Story) -> None:
        await story.announce()
        await story.reconcile()
        story.at(OPENS_BY - TICK)
        asked = await story.ask_to_open()
        story.at(OPENS_BY)
        with pytest.raises(OpeningTooLate):
            await story.confirm_opening(asked.request_id)

    async def test_an_unknown_sale_is_not_found(self, story: Story) -> None:
        story.sale_id = "01UNKNOWN"
        with pytest.raises(SaleUnknown):
            await story.ask_to_open()


class TestShares:
    @pytest.mark.parametrize("three", list(combinations(range(5), 3)))
    async def test_any_three_officers_open(self, story: Story, three: tuple[int, ...]) -> None:
        await story.bidders(("210.00", "100"))
        await story.open(three)
        assert await story.state() == "CLEARED"

    async def test_two_officers_never_open(self, story: Story) -> None:
        await story.bidders(("210.00", "100"))
        session_id = await story.ready()
        for number in (1, 3):
            await story.give(number)
        for _ in range(3):
            await story.opener.turn()
        assert await story.state() == "CLOSED"
        assert await story.session_id() == session_id

    async def test_a_share_is_kept_as_ciphertext_only(self, story: Story) -> None:
        await story.bidders(("210.00", "100"))
        await story.ready()
        wrapped = await story.wrapped(0)
        given = await story.give(0, wrapped)
        (row,) = await rows(story.house, "SELECT * FROM session_share")
        assert bytes(row.wrapped_share) == wrapped
        assert (row.officer_id, row.session_id) == (given.officer_id, given.session_id)

    async def test_an_officer_gives_one_share_a_session(self, story: Story) -> None:
        await story.bidders(("210.00", "100"))
        await story.ready()
        outcomes = await asyncio.gather(*(story.give(0) for _ in range(5)), return_exceptions=True)
        assert sum(isinstance(one, ShareAlreadyGiven) for one in outcomes) == 4
        assert len(await rows(story.house, "SELECT 1 FROM session_share")) == 1

    @pytest.mark.parametrize("fault", ["forged", "repeated", "to another session"])
    async def test_a_bad_share_that_nobody_makes_up_for_fails_the_session_whatever_is_wrong(
        self, story: Story, fault: str
    ) -> None:
        await story.bidders(("210.00", "100"))
        first = await story.ready()
        bad = await story.wrapped(2)
        if fault == "forged":
            bad = bad[:-1] + bytes([bad[-1] ^ 1])
        elif fault == "repeated":
            bad = await story.wrapped(2, share_of=1)
        else:
            story.restart_opener()
            await story.opener.turn()
            first = await story.session_id()
        before = await story.told(OpeningSessionFailed)
        await story.give(0)
        await story.give(1)
        await story.give(2, bad)
        for _ in range(2):
            await story.opener.turn()
            assert await story.session_id() == first
        # Long after.
        story.opener.since_s[first] -= SHARES_WAIT_S
        await story.opener.turn()
        failed = (await story.told(OpeningSessionFailed))[len(before) :]
        assert [one.session_id for one in failed] == [first]
        assert set(OpeningSessionFailed.model_fields) == {"opening_id", "session_id"}
        assert await story.session_id() != first
        assert await story.state() == "CLOSED"
        for number in (0, 1, 2):
            await story.give(number)
        await story.opener.turn()
        assert await story.state() == "CLEARED"

    async def test_a_fourth_share_makes_up_for_a_forged_one_whenever_it_comes(
        self, story: Story
    ) -> None:
        await story.bidders(("210.00", "100"))
        first = await story.ready()
        bad = await story.wrapped(0)
        await story.give(0, bad[:-1] + bytes([bad[-1] ^ 1]))
        for number in (1, 2, 3):
            assert await story.session_id() == first
            await story.give(number)
            await story.opener.turn()
        assert await story.state() == "CLEARED"
        assert await story.told(OpeningSessionFailed) == []

    async def test_five_shares_that_do_not_join_are_asked_for_again(self, story: Story) -> None:
        await story.bidders(("210.00", "100"))
        first = await story.ready()
        for number in range(5):
            share = await story.wrapped(number)
            forged = share[:-1] + bytes([share[-1] ^ 1])
            await story.give(number, forged if number < 3 else share)
            await story.opener.turn()
        assert [one.session_id for one in await story.told(OpeningSessionFailed)] == [first]
        assert await story.state() == "CLOSED"

    async def test_who_may_not_give_a_share(self, story: Story) -> None:
        await story.announce()
        session_id = await story.ready()
        share = await story.wrapped(0)
        with pytest.raises(ShareSizeWrong):
            await story.give(0, share + b"\0")
        with pytest.raises(SessionNotLive):
            await story.give(0, share, session_id="01UNKNOWN")
        for opening_id, caller in (
            ("01UNKNOWN", a_caller("key_officer", sub="officer-0")),
            (story.opening_id, a_caller("key_officer", sub="a stranger")),
        ):
            give = partial(
                actions.give_share,
                sale_id=story.sale_id,
                opening_id=opening_id,
                caller=caller,
                form=actions.ShareIn(session_id=session_id, share="A" * 108),
            )
            with pytest.raises(OpeningUnknown):
                await story.house.run(give)
        assert len(share) == WRAPPED_SHARE_BYTES
        story.at(OPENS_BY)
        with pytest.raises(OpeningTooLate):
            await story.give(0, share)
        for state in (
            "DRAFT", "SUSPENDED", "OPENED", "CLEARED", "CONFIRMED", "SETTLED", "FAILED",
            "CANCELLED", "ARCHIVED",
        ):  # fmt: skip
            await put(story, state)
            with pytest.raises(SaleStateNotAllowed):
                await story.give(0, share)


class TestRevealing:
    async def test_all_bids_are_told_with_the_draw(self, story: Story) -> None:
        receipts = await story.bidders(("210.00", "100"), ("220.00", "200"))
        await story.open()
        (part,) = await story.told(BidsRevealed)
        (opened,) = await story.told(SaleOpened)
        assert [bid.receipt_id for bid in part.bids] == receipts
        assert [bid.bidder for bid in part.bids] == [a_uscc(1), a_uscc(2)]
        assert opened.part_count == part.part_count == 1
        secret = bytes.fromhex(opened.draw_secret)
        assert opened.seed == draw_seed(secret, await story.commitments()).hex()
        kinds = await story.kinds()
        assert kinds[-3:] == ["bids_revealed", "opened", "cleared"]

    async def test_only_the_last_version_is_told_and_none_that_was_withdrawn(
        self, story: Story
    ) -> None:
        await story.bidders(("210.00", "100"), ("220.00", "200"))
        second = await story.bid(1, a_step("230.00", "50"), version=2)
        withdrawn = await story.bid(2, a_step("240.00", "50"), version=2)
        await story.withdraw(2, withdrawn)
        await story.open()
        (part,) = await story.told(BidsRevealed)
        assert [bid.receipt_id for bid in part.bids] == [second]
        assert part.bids[0].version == 2
        (opened,) = await story.told(SaleOpened)
        commitments = await story.commitments()
        assert len(commitments) == 4
        secret = bytes.fromhex(opened.draw_secret)
        assert opened.seed == draw_seed(secret, commitments).hex()

    async def voided(self, story: Story) -> dict[int, str | None]:
        parts = await story.told(BidsRevealed)
        by_bidder = {bid.bidder: bid.void_code for part in parts for bid in part.bids}
        return {number: by_bidder[a_uscc(number)] for number in story.entered}

    async def test_a_bid_without_its_deposit_is_void(self, story: Story) -> None:
        await story.announce()
        await story.entrant(1)
        await story.entrant(2, pays=False)
        for number in (1, 2):
            await story.bid(number, a_step("210.00", "100"))
        await story.open()
        assert await self.voided(story) == {1: None, 2: "DEPOSIT_NOT_CONFIRMED"}
        assert await story.deposits() == {1: "CONFIRMED", 2: "PENDING"}

    async def test_the_bid_of_who_left_the_sale_is_not_told(self, story: Story) -> None:
        first, _ = await story.bidders(("210.00", "100"), ("220.00", "100"))
        await story.leave(2)
        await story.open()
        (part,) = await story.told(BidsRevealed)
        assert [bid.receipt_id for bid in part.bids] == [first]

    async def test_who_is_not_qualified_any_more_bids_for_nothing(self, story: Story) -> None:
        await story.bidders(("210.00", "100"), ("220.00", "100"))
        await rows(
            story.house, "UPDATE registration SET state = 'REFUSED' WHERE uscc = :u", u=a_uscc(2)
        )
        await story.open()
        assert await self.voided(story) == {1: None, 2: "NOT_QUALIFIED"}

    async def test_a_plaintext_that_is_not_the_one_committed_to_voids_that_bid_only(
        self, story: Story
    ) -> None:
        await story.bidders(("210.00", "100"))
        await story.entrant(2)
        await story.bid(2, a_step("220.00", "100"), commitment=sm3(b"something else"))
        await story.open()
        assert await self.voided(story) == {1: None, 2: "COMMITMENT_MISMATCH"}
        assert await story.state() == "CLEARED"

    async def test_a_bid_that_names_another_key_is_void(self, story: Story) -> None:
        await story.bidders(("210.00", "100"), ("220.00", "100"))
        await rows(
            story.house,
            "UPDATE sealed_bid SET key_sm3 = :other WHERE uscc = :uscc",
            other=sm3(b"another key"),
            uscc=a_uscc(2),
        )
        await story.open()
        assert await self.voided(story) == {1: None, 2: "BID_KEY_WRONG"}

    async def test_a_bid_sealed_for_another_place_is_unreadable(self, story: Story) -> None:
        await story.bidders(("210.00", "100"))
        await story.entrant(2)
        copied = await story.sealed(1, a_step("230.00", "100"))
        await story.bid(
            2,
            a_step("1.00", "1"),
            ciphertext=copied.ciphertext,
            commitment=copied.commitment,
        )
        await story.open()
        assert await self.voided(story) == {1: None, 2: "BID_UNREADABLE"}

    @pytest.mark.parametrize(
        "plaintext",
        [b"{}", b"not json", b"\xff\xfe", b"a\0b", b'{"steps": [], "nonce": ""}', b'"\\ud800"'],
    )
    async def test_a_plaintext_that_is_no_bid_is_void(self, story: Story, plaintext: bytes) -> None:
        await story.bidders(("210.00", "100"))
        await story.entrant(2)
        sale = await story.sale()
        assert sale.public_key is not None
        padded = plaintext.ljust(PLAINTEXT_BYTES)
        place = BidPlace(story.sale_id, a_uscc(2), 1)
        await story.bid(
            2,
            a_step("1.00", "1"),
            ciphertext=wrap(padded, sale.public_key, place.info),
            commitment=sm3(padded),
        )
        await story.open()
        assert await self.voided(story) == {1: None, 2: "BID_MALFORMED"}

    async def test_a_sale_without_a_bid_is_opened_too(self, story: Story) -> None:
        await story.announce()
        await story.open()
        assert await story.told(BidsRevealed) == []
        (opened,) = await story.told(SaleOpened)
        assert opened.part_count == 0
        assert await story.state() == "FAILED"


class TestOpener:
    async def test_an_opener_that_begins_anew_asks_for_the_shares_again(self, story: Story) -> None:
        await story.bidders(("210.00", "100"))
        first = await story.ready()
        for number in (0, 1, 2):
            await story.give(number)
        story.restart_opener()
        await story.opener.turn()
        assert await story.state() == "CLOSED"
        assert await story.session_id() != first
        assert [one.session_id for one in await story.told(OpeningSessionFailed)] == [first]
        for number in (2, 3, 4):
            await story.give(number)
        await story.opener.turn()
        assert await story.state() == "CLEARED"

    async def test_a_crash_between_opening_and_clearing_loses_nothing(self, story: Story) -> None:
        await story.bidders(("210.00", "100"))
        await story.ready()
        for number in (0, 1, 2):
            await story.give(number)
        await story.opener.open_all()
        assert await story.state() == "OPENED"
        story.restart_opener()
        await story.opener.turn()
        assert await story.state() == "CLEARED"

    async def test_an_opener_that_was_replaced_tells_nothing(self, story: Story) -> None:
        await story.bidders(("210.00", "100"))
        await story.ready()
        frozen = story.opener
        for number in (0, 1, 2):
            await story.give(number)
        (due,) = await story.house.run(actions.openings_due)
        story.restart_opener()
        await story.opener.turn()
        await frozen.take_on(due)
        assert await story.state() == "CLOSED"
        assert await story.told(SaleOpened) == []
        assert len(await story.told(OpeningSessionBegun)) == 2

    async def test_nothing_is_opened_from_opens_by_on(self, story: Story) -> None:
        await story.bidders(("210.00", "100"))
        await story.ready()
        for number in (0, 1, 2):
            await story.give(number)
        (due,) = await story.house.run(actions.openings_due)
        story.at(OPENS_BY)
        await story.opener.turn()
        await story.opener.take_on(due)
        assert await story.state() == "CLOSED"
        assert await story.told(SaleOpened) == []

    async def test_a_draw_that_is_not_the_one_announced_opens_nothing(self, story: Story) -> None:
        await story.bidders(("210.00", "100"))
        await story.ready()
        await rows(story.house, "UPDATE sale SET draw_secret_sha256 = :other", other=bytes(32))
        for number in (0, 1, 2):
            await story.give(number)
        await story.opener.turn()
        assert await story.state() == "CLOSED"

    async def test_one_opening_that_fails_stops_no_other(self, story: Story) -> None:
        broken = Story(story.house)
        await broken.announce()
        await broken.ready()
        await rows(story.house, "UPDATE sale SET public_key = NULL")
        await story.bidders(("210.00", "100"))
        story.opener = broken.opener
        await story.ready()
        for either in (broken, story):
            for number in (0, 1, 2):
                await either.give(number)
        with pytest.raises(AssertionError):
            await story.opener.turn()
        assert (await story.state(), await broken.state()) == ("CLEARED", "CLOSED")
