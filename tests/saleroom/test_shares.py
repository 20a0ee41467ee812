from hashlib import sha256
from itertools import combinations

import pytest

from marketkit.signing import sm3
from saleroom.sealing import PublicKeyUnusable, new_key_pair, public_key_of, unwrap, wrap
from saleroom.shares import (
    SHARES,
    DrawDoesNotMatch,
    KeyOfficersWrong,
    Opening,
    SharesDoNotJoin,
    ShareUnreadable,
    draw_seed,
    join_shares,
    open_draw,
    open_sale_key,
    rewrap_share,
    seal_sale,
    split_key,
    unwrap_share,
    wrap_draw,
    wrap_for_opening,
    wrap_share,
)

PAIR = new_key_pair()
SPLIT = split_key(PAIR.private_key)
OFFICERS = {f"officer-{number}": new_key_pair() for number in range(1, 6)}
SEAL = seal_sale("sale-1", {name: pair.public_key for name, pair in OFFICERS.items()})
SESSION = new_key_pair()
OPENING = Opening("sale-1", "opening-1")


def sent(officer: str, opening: Opening = OPENING) -> bytes:
    return rewrap_share(
        SEAL.wrapped_shares[officer],
        private_key=OFFICERS[officer].private_key,
        session_key=SESSION.public_key,
        opening=opening,
        officer=officer,
    )


def opened(wrapped: dict[str, bytes], opening: Opening = OPENING) -> bytes:
    return open_sale_key(
        wrapped,
        session_private_key=SESSION.private_key,
        opening=opening,
        public_key=SEAL.public_key,
    )


def forged(share: bytes) -> bytes:
    """A share changed by its own place: equal changes of the 4th and 5th would cancel out."""
    return share[:9] + bytes([share[9] ^ 1 << share[0]]) + share[10:]


class TestShares:
    @pytest.mark.parametrize("three", list(combinations(range(SHARES), 3)))
    def test_any_three_join(self, three: tuple[int, ...]) -> None:
        assert join_shares([SPLIT[i] for i in three], PAIR.public_key) == PAIR.private_key
        backwards = [SPLIT[i] for i in reversed(three)]
        assert join_shares(backwards, PAIR.public_key) == PAIR.private_key

    def test_four_and_five_join(self) -> None:
        assert join_shares(SPLIT[:4], PAIR.public_key) == PAIR.private_key
        assert join_shares(SPLIT, PAIR.public_key) == PAIR.private_key

    @pytest.mark.parametrize("two", list(combinations(range(SHARES), 2)))
    def test_any_two_fail(self, two: tuple[int, ...]) -> None:
        with pytest.raises(SharesDoNotJoin):
            join_shares([SPLIT[i] for i in two], PAIR.public_key)

    def test_two_shares_say_nothing_of_a_third(self) -> None:
        # Every value of a third share gives some key: two of them exclude none.
        other = split_key(new_key_pair().private_key)
        for guess in (other[2], forged(SPLIT[2]), SPLIT[2][:1] + bytes(32)):
            with pytest.raises(SharesDoNotJoin):
                join_shares([*SPLIT[:2], guess], PAIR.public_key)

    @pytest.mark.parametrize(
        "shares",
        [
            [],
            [SPLIT[0]] * 3,
            [SPLIT[0], SPLIT[1], SPLIT[1]],
            [SPLIT[0], SPLIT[1], forged(SPLIT[2])],
            [SPLIT[0], SPLIT[1], bytes([1]) + SPLIT[2][1:]],
            [SPLIT[0], SPLIT[1], bytes([4]) + SPLIT[2][1:]],
            [SPLIT[0], SPLIT[1], bytes([0]) + SPLIT[2][1:]],
            [SPLIT[0], SPLIT[1], bytes([255]) + SPLIT[2][1:]],
            [SPLIT[0], SPLIT[1], SPLIT[2][:-1]],
            [SPLIT[0], SPLIT[1], SPLIT[2] + b"\0"],
            [SPLIT[0], SPLIT[1], b""],
            [SPLIT[0], SPLIT[1], forged(SPLIT[2]), forged(SPLIT[3]), forged(SPLIT[4])],
            [*SPLIT, SPLIT[0]],
        ],
    )
    def test_every_failure_has_the_same_answer(self, shares: list[bytes]) -> None:
        with pytest.raises(SharesDoNotJoin) as refused:
            join_shares(shares, PAIR.public_key)
        assert (refused.value.status, refused.value.code) == (409, "SHARES_DO_NOT_JOIN")
        assert (refused.value.detail, refused.value.errors) == ("", ())

    @pytest.mark.parametrize("bad", range(4))
    def test_one_forged_share_among_four_does_no_harm(self, bad: int) -> None:
        shares = [forged(s) if i == bad else s for i, s in enumerate(SPLIT[:4])]
        assert join_shares(shares, PAIR.public_key) == PAIR.private_key

    def test_no_share_is_a_part_of_the_key(self) -> None:
        halves = (PAIR.private_key[:16], PAIR.private_key[16:])
        assert all(half not in share for half in halves for share in SPLIT)
        assert [share[0] for share in SPLIT] == [1, 2, 3, 4, 5]
        assert {len(share) for share in SPLIT} == {33}
        assert not set(SPLIT) & set(split_key(PAIR.private_key))


class TestOpening:
    @pytest.mark.parametrize("three", list(combinations(OFFICERS, 3)))
    def test_any_three_officers_open_the_sale(self, three: tuple[str, ...]) -> None:
        private_key = opened({officer: sent(officer) for officer in three})
        assert public_key_of(private_key) == SEAL.public_key

    @pytest.mark.parametrize("two", list(combinations(OFFICERS, 2)))
    def test_no_two_do(self, two: tuple[str, ...]) -> None:
        with pytest.raises(SharesDoNotJoin):
            opened({officer: sent(officer) for officer in two})

    def test_one_officer_thrice_does_not(self) -> None:
        one, *_ = OFFICERS
        share = unwrap_share(
            SEAL.wrapped_shares[one],
            private_key=OFFICERS[one].private_key,
            sale_id="sale-1",
            officer=one,
        )
        thrice = {
            officer: wrap_for_opening(
                share, session_key=SESSION.public_key, opening=OPENING, officer=officer
            )
            for officer in list(OFFICERS)[:3]
        }
        with pytest.raises(SharesDoNotJoin):
            opened(thrice)

    def test_a_share_wrapped_for_another_opening_sale_or_officer_is_none(self) -> None:
        first, second, third, fourth, _ = OFFICERS
        good = {first: sent(first), second: sent(second)}
        elsewhere = [
            sent(third, Opening("sale-1", "opening-2")),
            sent(fourth),
            wrap(b"x" * 33, new_key_pair().public_key, OPENING.info(third)),
            wrap(b"x" * 33, SESSION.public_key, OPENING.info(third)),
            b"",
        ]
        for wrapped in elsewhere:
            with pytest.raises(SharesDoNotJoin) as refused:
                opened(good | {third: wrapped})
            assert refused.value.__cause__ is None
            assert opened(good | {third: wrapped, fourth: sent(fourth)})

    def test_a_share_of_another_sale_cannot_be_sent(self) -> None:
        first, *_ = OFFICERS
        with pytest.raises(ShareUnreadable):
            sent(first, Opening("sale-2", "opening-1"))

    def test_an_officer_reads_no_other_share(self) -> None:
        first, second, *_ = OFFICERS
        for officer, key in ((first, second), (second, first)):
            with pytest.raises(ShareUnreadable):
                unwrap_share(
                    SEAL.wrapped_shares[officer],
                    private_key=OFFICERS[key].private_key,
                    sale_id="sale-1",
                    officer=officer,
                )
        with pytest.raises(ShareUnreadable):
            unwrap_share(
                SEAL.wrapped_shares[first],
                private_key=OFFICERS[first].private_key,
                sale_id="sale-1",
                officer=second,
            )

    def test_a_changed_share_is_unreadable(self) -> None:
        first, *_ = OFFICERS
        wrapped = wrap_share(
            b"share", public_key=OFFICERS[first].public_key, sale_id="sale-1", officer=first
        )
        for place in range(len(wrapped)):
            changed = bytearray(wrapped)
            changed[place] ^= 1
            with pytest.raises(ShareUnreadable):
                unwrap_share(
                    bytes(changed),
                    private_key=OFFICERS[first].private_key,
                    sale_id="sale-1",
                    officer=first,
                )

    def test_no_share_is_wrapped_to_a_key_that_keeps_no_secret(self) -> None:
        first, *_ = OFFICERS
        with pytest.raises(PublicKeyUnusable):
            rewrap_share(
                SEAL.wrapped_shares[first],
                private_key=OFFICERS[first].private_key,
                session_key=bytes(32),
                opening=OPENING,
                officer=first,
            )


class TestSeal:
    def test_keeps_wrapped_shares_and_the_public_half_only(self) -> None:
        private_key = opened({officer: sent(officer) for officer in OFFICERS})
        kept = repr(SEAL)
        for secret in (private_key, private_key[:16], private_key[16:]):
            assert secret.hex() not in kept
            assert repr(secret)[2:-1] not in kept
        assert SEAL.key_sm3 == sm3(SEAL.public_key)
        assert list(SEAL.wrapped_shares) == list(OFFICERS)

    def test_is_of_one_sale_alone(self) -> None:
        other = seal_sale("sale-1", {name: pair.public_key for name, pair in OFFICERS.items()})
        assert other.public_key != SEAL.public_key
        assert other.draw_sha256 != SEAL.draw_sha256

    def test_needs_five_officers_with_five_keys(self) -> None:
        keys = {name: pair.public_key for name, pair in OFFICERS.items()}
        twin = dict(keys) | {"officer-5": keys["officer-1"]}
        for officers in ({}, dict(list(keys.items())[:4]), keys | {"sixth": PAIR.public_key}, twin):
            with pytest.raises(KeyOfficersWrong):
                seal_sale("sale-1", officers)

    def test_needs_keys_that_keep_a_secret(self) -> None:
        keys = {name: pair.public_key for name, pair in OFFICERS.items()}
        with pytest.raises(PublicKeyUnusable):
            seal_sale("sale-1", keys | {"officer-3": bytes(32)})


class TestDraw:
    def test_the_secret_is_shown_by_the_sales_own_key(self) -> None:
        private_key = opened({officer: sent(officer) for officer in list(OFFICERS)[2:]})
        secret = open_draw(
            SEAL.draw_ciphertext,
            private_key=private_key,
            sale_id="sale-1",
            draw_sha256=SEAL.draw_sha256,
        )
        assert sha256(secret).digest() == SEAL.draw_sha256
        assert len(secret) == 32

    def test_another_secret_key_or_sale_is_refused(self) -> None:
        secret, told = b"s" * 32, sha256(b"s" * 32).digest()
        wrapped = wrap_draw(secret, public_key=PAIR.public_key, sale_id="sale-1")
        good = {"private_key": PAIR.private_key, "sale_id": "sale-1", "draw_sha256": told}
        assert open_draw(wrapped, **good) == secret  # type: ignore[arg-type]  # one value each
        for change in (
            {"private_key": new_key_pair().private_key},
            {"sale_id": "sale-2"},
            {"draw_sha256": sha256(b"t" * 32).digest()},
        ):
            with pytest.raises(DrawDoesNotMatch):
                open_draw(wrapped, **good | change)  # type: ignore[arg-type]  # one value each
        assert unwrap(wrapped, PAIR.private_key, "yaosu-draw/1|sale-1") == secret

    def test_seed_is_sha256_of_the_secret_and_the_digest_of_all_commitments(self) -> None:
        secret, one, other = b"s" * 32, b"1" * 32, b"2" * 32
        expected = sha256(secret + sha256(one + other).digest()).digest()
        assert draw_seed(secret, [one, other]) == expected
        assert draw_seed(secret, iter([one, other])) == expected
        assert draw_seed(secret, []) == sha256(secret + sha256(b"").digest()).digest()

    def test_seed_changes_with_secret_order_and_every_commitment(self) -> None:
        secret, one, other = b"s" * 32, b"1" * 32, b"2" * 32
        seeds = {
            draw_seed(secret, [one, other]),
            draw_seed(secret, [other, one]),
            draw_seed(secret, [one]),
            draw_seed(secret, [one, other, other]),
            draw_seed(b"t" * 32, [one, other]),
        }
        assert len(seeds) == 5

    def test_commitments_of_another_length_are_refused(self) -> None:
        for commitment in (b"", b"1" * 31, b"1" * 64):
            with pytest.raises(ValueError, match="32 bytes"):
                draw_seed(b"s" * 32, [commitment])
