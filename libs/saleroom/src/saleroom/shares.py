"""A sale's key in five shares of which three open it, its drill and its draw. No clock, no I/O."""

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import combinations

from Crypto.Protocol.SecretSharing import Shamir

from marketkit.errors import Conflict, RuleBroken
from marketkit.signing import sm3
from saleroom.sealing import new_key_pair, place_info, public_key_of, unwrap, wrap

SHARES = 5
SHARES_NEEDED = 3

_HALF = 16  # Shamir's secret is exactly 16 bytes: a key is split as two halves.


class KeyOfficersWrong(RuleBroken):
    title = "须由五名密钥管理员各持一把不同的密钥"


class ShareUnreadable(RuleBroken):
    title = "密钥份额无法解开，请核对交易编号与私钥"


class SharesDoNotJoin(Conflict):
    title = "密钥份额无法合成本场交易的密钥"


class DrawDoesNotMatch(Conflict):
    title = "抽签种子与公告不符"


@dataclass(frozen=True)
class SaleSeal:
    """What the house keeps of a sale's key: all of it may be stored, none of it opens a bid."""

    public_key: bytes
    key_sm3: bytes
    wrapped_shares: Mapping[str, bytes]
    draw_sha256: bytes
    draw_ciphertext: bytes


def seal_sale(sale_id: str, officers: Mapping[str, bytes]) -> SaleSeal:
    """A new key for one sale, a share of it wrapped to each officer, and the secret of its draw.

    The private key and the secret are forgotten on return.

    Args:
        officers: The registered public key of each of the five key officers, by name.

    Raises:
        KeyOfficersWrong: They are not five, or two have one key.
        PublicKeyUnusable: Nothing can be wrapped to one of the keys.
    """
    check_key_officers(list(officers.values()))
    pair = new_key_pair()
    wrapped = {
        officer: wrap_share(share, public_key=key, sale_id=sale_id, officer=officer)
        for (officer, key), share in zip(officers.items(), split_key(pair.private_key), strict=True)
    }
    secret = secrets.token_bytes(32)
    return SaleSeal(
        public_key=pair.public_key,
        key_sm3=sm3(pair.public_key),
        wrapped_shares=wrapped,
        draw_sha256=sha256(secret).digest(),
        draw_ciphertext=wrap_draw(secret, public_key=pair.public_key, sale_id=sale_id),
    )


def check_key_officers(public_keys: Sequence[bytes]) -> None:
    """Return if these are five different keys.

    Raises:
        KeyOfficersWrong: They are not five, or two are one.
    """
    if len(public_keys) != SHARES or len(set(public_keys)) != SHARES:
        raise KeyOfficersWrong()


def split_key(private_key: bytes) -> tuple[bytes, ...]:
    """Five shares of a key, any three of which give it back: place (1 byte) and two halves."""
    halves = (private_key[:_HALF], private_key[_HALF:])
    first, second = (Shamir.split(SHARES_NEEDED, SHARES, half) for half in halves)
    return tuple(
        bytes([place]) + left + right
        for (place, left), (_, right) in zip(first, second, strict=True)
    )


def join_shares(shares: Sequence[bytes], public_key: bytes) -> bytes:
    """The private key of this public key, if three of the shares give it.

    Raises:
        SharesDoNotJoin: No three of them do; which of them is at fault is not told.
    """
    whole = [share for share in shares if len(share) == 1 + 2 * _HALF and 1 <= share[0] <= SHARES]
    if len(shares) <= SHARES:
        for three in combinations(whole, SHARES_NEEDED):
            private_key = _join(three)
            if private_key and public_key_of(private_key) == public_key:
                return private_key
    raise SharesDoNotJoin()


def _join(three: Sequence[bytes]) -> bytes | None:
    if len({share[0] for share in three}) != SHARES_NEEDED:
        return None
    left = Shamir.combine([(share[0], share[1 : 1 + _HALF]) for share in three])
    right = Shamir.combine([(share[0], share[1 + _HALF :]) for share in three])
    return bytes(left + right)


def wrap_share(share: bytes, *, public_key: bytes, sale_id: str, officer: str) -> bytes:
    """A share that only this officer can read, and only as a share of this sale."""
    return wrap(share, public_key, place_info("yaosu-share/1", sale_id, officer))


def unwrap_share(wrapped: bytes, *, private_key: bytes, sale_id: str, officer: str) -> bytes:
    """An officer's share, on the officer's own machine.

    Raises:
        ShareUnreadable: It was wrapped for another key, sale or officer, or was changed.
    """
    share = unwrap(wrapped, private_key, place_info("yaosu-share/1", sale_id, officer))
    if share is None:
        raise ShareUnreadable()
    return share


@dataclass(frozen=True)
class Opening:
    """One attempt to open a sale; its session key lives as long as the attempt."""

    sale_id: str
    opening_id: str

    def info(self, officer: str) -> str:
        return place_info("yaosu-opening/1", self.sale_id, self.opening_id, officer)


def wrap_for_opening(share: bytes, *, session_key: bytes, opening: Opening, officer: str) -> bytes:
    """A share that only the holder of the session's private key can read, in this opening."""
    return wrap(share, session_key, opening.info(officer))


def rewrap_share(
    wrapped: bytes, *, private_key: bytes, session_key: bytes, opening: Opening, officer: str
) -> bytes:
    """An officer's part in an opening: the stored share, unwrapped and wrapped to its session key.

    Raises:
        ShareUnreadable: The stored share is not this officer's of this sale.
        PublicKeyUnusable: The session key is none.
    """
    share = unwrap_share(wrapped, private_key=private_key, sale_id=opening.sale_id, officer=officer)
    return wrap_for_opening(share, session_key=session_key, opening=opening, officer=officer)


def open_sale_key(
    wrapped_by_officer: Mapping[str, bytes],
    *,
    session_private_key: bytes,
    opening: Opening,
    public_key: bytes,
) -> bytes:
    """The sale's private key out of the shares sent to this opening; one bad one does no harm.

    Raises:
        SharesDoNotJoin: Fewer than three are good; which of them are not is not told.
    """
    unwrapped = [
        unwrap(wrapped, session_private_key, opening.info(officer))
        for officer, wrapped in wrapped_by_officer.items()
    ]
    return join_shares([share for share in unwrapped if share is not None], public_key)


def wrap_draw(secret: bytes, *, public_key: bytes, sale_id: str) -> bytes:
    """A draw's secret that nobody reads before the sale's key is joined."""
    return wrap(secret, public_key, place_info("yaosu-draw/1", sale_id))


def open_draw(ciphertext: bytes, *, private_key: bytes, sale_id: str, draw_sha256: bytes) -> bytes:
    """The draw's secret, the one whose SHA-256 the notice told.

    Raises:
        DrawDoesNotMatch: The ciphertext does not open, or hides another secret.
    """
    secret = unwrap(ciphertext, private_key, place_info("yaosu-draw/1", sale_id))
    if secret is None or sha256(secret).digest() != draw_sha256:
        raise DrawDoesNotMatch()
    return secret


def draw_seed(secret: bytes, commitments: Iterable[bytes]) -> bytes:
    """The seed of a sale's draws: SHA-256(secret ‖ SHA-256(commitment₁ ‖ commitment₂ ‖ …)).

    Neither the house, which chose the secret first, nor a bidder, who does not know it, can steer
    it.

    Args:
        secret: The 32 bytes whose SHA-256 stands in the notice.
        commitments: The 32 bytes of every bid told, replaced and withdrawn ones too, in the order
            of the chain.
    """
    digest = sha256()
    for commitment in commitments:
        if len(commitment) != 32:
            raise ValueError("a commitment is 32 bytes")
        digest.update(commitment)
    return sha256(secret + digest.digest()).digest()
