import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marketkit.errors import Refusal
from marketkit.signing import b64, sm3, unb64
from marketkit.units import MU, TCE
from saleroom.sealing import (
    CIPHERTEXT_BYTES,
    PLAINTEXT_BYTES,
    BidKeyWrong,
    BidMalformed,
    BidPlace,
    BidSizeWrong,
    BidUnreadable,
    BidVoid,
    CommitmentMismatch,
    PublicKeyUnusable,
    SealedBid,
    Step,
    check_public_key,
    new_key_pair,
    open_bid,
    place_info,
    public_key_of,
    read_bid,
    seal_bid,
    unwrap,
    wrap,
)

SALE = new_key_pair()
PLACE = BidPlace("sale-1", "91370500MA3C00001X", 1)
STEPS = (Step(22650, 10_000, 5_000), Step(20000, 7_500))
NONCE = "5a" * 32
# Points at which X25519 gives every sender the same secret.
LOW_ORDER = (bytes(32), (1).to_bytes(32, "little"))


def sealed(*steps: Step, place: BidPlace = PLACE) -> SealedBid:
    return seal_bid(steps or STEPS, place, public_key=SALE.public_key, unit=TCE)


def sealed_text(text: object, *, pad: int = PLAINTEXT_BYTES) -> SealedBid:
    """Any plaintext, sealed as a stranger's client would seal it."""
    body = text if isinstance(text, bytes) else json.dumps(text).encode()
    plaintext = body.ljust(pad)
    ciphertext = wrap(plaintext, SALE.public_key, PLACE.info)
    return SealedBid(ciphertext, sm3(plaintext), sm3(SALE.public_key))


def opened(bid: SealedBid, place: BidPlace = PLACE) -> tuple[Step, ...]:
    return open_bid(bid, place, private_key=SALE.private_key, unit=TCE).steps


def a_text(**changes: Any) -> dict[str, Any]:
    return {"steps": [{"price_yuan": "226.5", "quantity": "10"}], "nonce": NONCE} | changes


def a_step(**changes: Any) -> dict[str, Any]:
    return a_text(steps=[{"price_yuan": "226.50", "quantity": "10"} | changes])


class TestBid:
    def test_opens_to_what_was_sealed(self) -> None:
        assert opened(sealed()) == STEPS

    def test_reads_what_any_client_may_write(self) -> None:
        assert opened(sealed_text(a_text())) == (Step(22650, 10_000),)
        spaced = json.dumps(a_step(min_accept_quantity=None), indent=2, sort_keys=True).encode()
        assert opened(sealed_text(spaced)) == (Step(22650, 10_000),)

    def test_is_read_in_the_unit_of_its_sale(self) -> None:
        bid = seal_bid([Step(100, 12_345)], PLACE, public_key=SALE.public_key, unit=MU)
        told = open_bid(bid, PLACE, private_key=SALE.private_key, unit=MU)
        assert told.steps == (Step(100, 12_345),)
        assert json.loads(told.plaintext)["steps"][0]["quantity"] == "1.2345"

    def test_its_plaintext_can_be_checked_by_anyone(self) -> None:
        bid = sealed()
        told = open_bid(bid, PLACE, private_key=SALE.private_key, unit=TCE)
        assert read_bid(told.plaintext, bid.commitment, TCE) == STEPS
        with pytest.raises(CommitmentMismatch):
            read_bid(told.plaintext.replace(b"226.50", b"226.60"), bid.commitment, TCE)

    @pytest.mark.parametrize("count", [1, 2, 20])
    def test_is_of_one_size_whatever_it_says(self, count: int) -> None:
        for step in (Step(1, 1), Step(2**63 - 1, 2**63 - 1, 2**63 - 1)):
            bid = sealed(*[step] * count)
            assert len(bid.ciphertext) == CIPHERTEXT_BYTES == 4144
            assert len(bid.commitment) == len(bid.key_sm3) == 32
            assert opened(bid) == (step,) * count

    def test_the_same_offer_twice_shows_no_likeness(self) -> None:
        one, other = sealed(), sealed()
        assert one.commitment != other.commitment
        assert one.ciphertext != other.ciphertext

    def test_tells_nothing_of_its_price_in_the_clear(self) -> None:
        bid = sealed()
        for told in (b"226.5", b"22650", b"price", b"quantity"):
            assert told not in bid.ciphertext + bid.commitment

    @pytest.mark.parametrize(
        "elsewhere",
        [
            replace(PLACE, sale_id="sale-2"),
            replace(PLACE, uscc="91370500MA3C00002X"),
            replace(PLACE, version=2),
            replace(PLACE, version=11),
        ],
    )
    def test_does_not_open_elsewhere(self, elsewhere: BidPlace) -> None:
        with pytest.raises(BidUnreadable):
            opened(sealed(), elsewhere)
        with pytest.raises(BidUnreadable):
            opened(sealed(place=elsewhere))

    def test_sealed_to_another_key_is_void_whatever_key_it_names(self) -> None:
        last_sale = new_key_pair()
        bid = seal_bid(STEPS, PLACE, public_key=last_sale.public_key, unit=TCE)
        with pytest.raises(BidKeyWrong):
            opened(bid)
        with pytest.raises(BidUnreadable):
            opened(replace(bid, key_sm3=sm3(SALE.public_key)))
        with pytest.raises(BidKeyWrong):
            opened(replace(sealed(), key_sm3=sm3(last_sale.public_key)))

    def test_with_another_bids_commitment_is_void(self) -> None:
        with pytest.raises(CommitmentMismatch):
            opened(replace(sealed(), commitment=sealed().commitment))

    @pytest.mark.parametrize("size", [0, 1, 47, 48, CIPHERTEXT_BYTES - 1, CIPHERTEXT_BYTES + 1])
    def test_of_another_size_is_void(self, size: int) -> None:
        bid = sealed()
        changed = (bid.ciphertext + b"\0")[:size]
        with pytest.raises(BidSizeWrong):
            opened(replace(bid, ciphertext=changed))

    def test_unpadded_is_void(self) -> None:
        with pytest.raises(BidSizeWrong):
            opened(sealed_text(a_text(), pad=0))
        plain = json.dumps(a_text()).encode()
        with pytest.raises(BidSizeWrong):
            read_bid(plain, sm3(plain), TCE)

    @settings(max_examples=200, deadline=None)
    @given(st.integers(0, CIPHERTEXT_BYTES * 8 - 1))
    def test_one_flipped_bit_voids_it(self, bit: int) -> None:
        bid = sealed()
        changed = bytearray(bid.ciphertext)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(BidUnreadable):
            opened(replace(bid, ciphertext=bytes(changed)))

    def test_the_bit_of_a_point_that_x25519_ignores_voids_it_too(self) -> None:
        bid = sealed()
        changed = bytearray(bid.ciphertext)
        changed[31] ^= 0x80
        with pytest.raises(BidUnreadable):
            opened(replace(bid, ciphertext=bytes(changed)))

    def test_a_bid_of_zeros_is_void(self) -> None:
        with pytest.raises(BidUnreadable):
            opened(replace(sealed(), ciphertext=bytes(CIPHERTEXT_BYTES)))

    @pytest.mark.parametrize("cls", [BidKeyWrong, BidSizeWrong, BidUnreadable, BidMalformed])
    def test_codes_are_stable(self, cls: type[BidVoid]) -> None:
        codes = {
            BidKeyWrong: "BID_KEY_WRONG",
            BidSizeWrong: "BID_SIZE_WRONG",
            BidUnreadable: "BID_UNREADABLE",
            BidMalformed: "BID_MALFORMED",
        }
        assert cls.code == codes[cls]
        assert CommitmentMismatch.code == "COMMITMENT_MISMATCH"


class TestPlaintext:
    @pytest.mark.parametrize(
        "text",
        [
            b"",
            b"null",
            b"[]",
            b"{}",
            b"\xff\xfe",
            b"\xef\xbb\xbf" + json.dumps(a_text()).encode(),
            b"[" * 4096,
            b'{"a":' * 800,
            b"9" * 4096,
            json.dumps(a_text()).encode() + b"\0",
            json.dumps(a_text()).encode() + b"{}",
            b'{"nonce":"' + NONCE.encode() + b'",' + json.dumps(a_text()).encode()[1:],
            json.dumps(a_text()).replace('"quantity"', '"quantity":"1","quantity"').encode(),
            json.dumps(a_text()).replace('"10"', "NaN").encode(),
            json.dumps(a_text()).replace('"10"', "Infinity").encode(),
        ],
    )
    def test_that_has_no_one_reading_is_malformed(self, text: bytes) -> None:
        with pytest.raises(BidMalformed):
            opened(sealed_text(text))

    @pytest.mark.parametrize(
        "text",
        [
            a_text(steps=[]),
            a_text(steps=None),
            a_text(steps={}),
            a_text(steps=[[]]),
            a_text(steps=[{"price_yuan": "1", "quantity": "1"}] * 21),
            a_text(nonce=None),
            a_text(nonce="5a" * 31),
            a_text(nonce="5A" * 32),
            a_text(nonce="5g" * 32),
            a_text(nonce=NONCE + "\n"),
            a_text(bidder="91370500MA3C00001X"),
            {"steps": a_text()["steps"]},
            {"nonce": NONCE},
            a_step(price_yuan=226.5),
            a_step(price_yuan=226),
            a_step(price_yuan="0.00"),
            a_step(price_yuan="226.500"),
            a_step(price_yuan="-1"),
            a_step(price_yuan="1e3"),
            a_step(price_yuan="２２６"),
            a_step(price_yuan=None),
            a_step(price_yuan="99999999999999999999"),
            a_step(price_yuan="\ud800"),
            a_step(quantity="0"),
            a_step(quantity=10),
            a_step(quantity="10.0001"),
            a_step(quantity="010"),
            a_step(quantity=True),
            a_step(min_accept_quantity="0"),
            a_step(min_accept_quantity="10.001"),
            a_step(min_accept_quantity=1),
            a_step(bid_id="a"),
        ],
    )
    def test_that_is_no_bid_is_malformed(self, text: dict[str, Any]) -> None:
        with pytest.raises(BidMalformed):
            opened(sealed_text(text))

    def test_a_fault_says_nothing_of_what_was_offered(self) -> None:
        with pytest.raises(BidMalformed) as refused:
            opened(sealed_text(a_step(price_yuan="226.555")))
        assert "226" not in str(refused.value) + refused.value.detail
        assert refused.value.__suppress_context__

    @pytest.mark.parametrize(
        "steps",
        [
            [],
            [Step(1, 1)] * 21,
            [Step(1, 1)] * 200,
            [Step(0, 1)],
            [Step(1, 0)],
            [Step(-1, 1)],
            [Step(1, 5, 6)],
            [Step(1, 5, 0)],
            [Step(2**63, 1)],
        ],
    )
    def test_a_client_seals_no_void_bid(self, steps: list[Step]) -> None:
        with pytest.raises(BidVoid):
            seal_bid(steps, PLACE, public_key=SALE.public_key, unit=TCE)

    @settings(deadline=None)
    @given(st.binary(max_size=300))
    def test_any_bytes_are_read_or_void(self, body: bytes) -> None:
        plaintext = body.ljust(PLAINTEXT_BYTES)
        with pytest.raises(BidMalformed):
            read_bid(plaintext, sm3(plaintext), TCE)

    @settings(deadline=None)
    @given(
        st.lists(
            st.builds(
                lambda price, most, least: Step(price, most, least and min(most, least)),
                st.integers(1, 2**63 - 1),
                st.integers(1, 2**63 - 1),
                st.none() | st.integers(1, 2**63 - 1),
            ),
            min_size=1,
            max_size=20,
        )
    )
    def test_every_bid_comes_back_as_it_was(self, steps: list[Step]) -> None:
        assert opened(sealed(*steps)) == tuple(steps)


class TestKeys:
    def test_the_private_half_gives_the_public_one(self) -> None:
        pair = new_key_pair()
        assert public_key_of(pair.private_key) == pair.public_key
        assert public_key_of(unb64(b64(pair.private_key))) == pair.public_key
        assert pair != new_key_pair()

    def test_a_pair_never_shows_its_private_half(self) -> None:
        pair = new_key_pair()
        for text in (repr(pair), str(pair), f"{pair}"):
            assert pair.private_key.hex() not in text
            assert repr(pair.private_key) not in text

    @pytest.mark.parametrize("key", [b"", bytes(31), bytes(33), *LOW_ORDER])
    def test_a_key_that_keeps_no_secret_is_refused(self, key: bytes) -> None:
        with pytest.raises(PublicKeyUnusable):
            check_public_key(key)
        with pytest.raises(PublicKeyUnusable):
            seal_bid(STEPS, PLACE, public_key=key, unit=TCE)

    def test_a_good_key_is_let_pass(self) -> None:
        check_public_key(SALE.public_key)

    def test_a_place_that_could_pass_for_another_is_a_fault_of_ours(self) -> None:
        for parts in (("a|b", "c"), ("", "c"), ("a", "b|c")):
            with pytest.raises(ValueError, match="bar"):
                place_info("yaosu-bid/1", *parts)
        assert PLACE.info == "yaosu-bid/1|sale-1|91370500MA3C00001X|1"

    def test_what_was_not_wrapped_to_a_key_does_not_open(self) -> None:
        wrapped = wrap(b"secret", SALE.public_key, "here")
        assert unwrap(wrapped, SALE.private_key, "here") == b"secret"
        assert unwrap(wrapped, SALE.private_key, "there") is None
        assert unwrap(wrapped, new_key_pair().private_key, "here") is None
        assert unwrap(b"", SALE.private_key, "here") is None

    def test_every_refusal_has_a_chinese_title(self) -> None:
        refusals: list[type[Refusal]] = [PublicKeyUnusable, *BidVoid.__subclasses__()]
        assert len(refusals) == 7
        for refusal in refusals:
            assert "\u4e00" <= refusal.title[0] <= "\u9fff"
