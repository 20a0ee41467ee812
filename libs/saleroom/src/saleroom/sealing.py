"""Sealing: keys, the wrapping of bytes to one of them, and sealed bids. No clock, no I/O.

Keys are raw 32-byte X25519 keys; a file or a wire carries them as base64url text
(`marketkit.signing.b64`). HPKE is RFC 9180 with X25519, HKDF-SHA256 and AES-256-GCM; its `info`
binds a ciphertext to the one place where it may be opened.
"""

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from pydantic import Field, StringConstraints, ValidationError

from marketkit.errors import Refusal, RuleBroken
from marketkit.signing import sm3
from marketkit.strict_json import loads
from marketkit.units import YUAN, Form, Unit

STEPS_MAX = 20
PLAINTEXT_BYTES = 4096
# HPKE adds the encapsulated key (32) and the tag (16).
CIPHERTEXT_BYTES = PLAINTEXT_BYTES + 48

_SUITE = hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)


class PublicKeyUnusable(RuleBroken):
    title = "公钥无法使用"


class BidVoid(RuleBroken):
    """A sealed bid that counts for nothing; the others of its sale are not concerned."""

    title = "密封报价无效"


class BidKeyWrong(BidVoid):
    title = "密封报价所用公钥不是本场交易的公钥"


class BidSizeWrong(BidVoid):
    title = "密封报价长度不符"


class BidUnreadable(BidVoid):
    title = "密封报价无法解密"


class CommitmentMismatch(BidVoid):
    title = "密封报价与其承诺值不符"


class BidMalformed(BidVoid):
    title = "密封报价内容有误"


class KeyPair(NamedTuple):
    """A private key and its public half; it never shows the private one."""

    private_key: bytes
    public_key: bytes

    def __repr__(self) -> str:
        return f"KeyPair(public_key={self.public_key.hex()})"


def new_key_pair() -> KeyPair:
    """A fresh key pair: of a sale, of a key officer, or of one opening."""
    key = X25519PrivateKey.generate()
    return KeyPair(key.private_bytes_raw(), key.public_key().public_bytes_raw())


def public_key_of(private_key: bytes) -> bytes:
    """The public half of a private key; ValueError unless that is 32 bytes."""
    return X25519PrivateKey.from_private_bytes(private_key).public_key().public_bytes_raw()


def check_public_key(public_key: bytes) -> None:
    """Return if anything can be wrapped to this key.

    Raises:
        PublicKeyUnusable: It is not 32 bytes, or a point at which every secret is the same.
    """
    wrap(b"", public_key, "yaosu-check/1")


def place_info(kind: str, *parts: str) -> str:
    """The `info` of one place; ValueError if two places could have the same."""
    # A bar inside a part would let one place pass for another.
    if any(not part or "|" in part for part in parts):
        raise ValueError("a part of a place is empty or holds a bar")
    return "|".join([kind, *parts])


def wrap(plaintext: bytes, public_key: bytes, info: str) -> bytes:
    """The plaintext for the holder of the private key alone, and only under the same `info`.

    Raises:
        PublicKeyUnusable: The key is none.
    """
    try:
        key = X25519PublicKey.from_public_bytes(public_key)
        return _SUITE.encrypt(plaintext, key, info=info.encode())
    except ValueError:
        raise PublicKeyUnusable() from None


def unwrap(ciphertext: bytes, private_key: bytes, info: str) -> bytes | None:
    """What was wrapped to this key under this `info`; None if nothing was."""
    key = X25519PrivateKey.from_private_bytes(private_key)
    try:
        return _SUITE.decrypt(ciphertext, key, info=info.encode())
    except (InvalidTag, ValueError):
        return None


@dataclass(frozen=True)
class Step:
    """One price and the quantity wanted at it."""

    price_fen: int
    quantity_minor: int
    min_accept_minor: int | None = None


@dataclass(frozen=True)
class BidPlace:
    """Where a sealed bid belongs; a ciphertext opens nowhere else."""

    sale_id: str
    uscc: str
    version: int

    @property
    def info(self) -> str:
        return place_info("yaosu-bid/1", self.sale_id, self.uscc, str(self.version))


@dataclass(frozen=True)
class SealedBid:
    """What a bidder sends: nothing in it tells price, quantity or number of steps."""

    ciphertext: bytes
    commitment: bytes
    key_sm3: bytes


@dataclass(frozen=True)
class OpenedBid:
    """A bid as it was meant, and the bytes that anyone can check against its commitment."""

    steps: tuple[Step, ...]
    plaintext: bytes = field(repr=False)


class _StepText(Form):
    price_yuan: str
    quantity: str
    min_accept_quantity: str | None = None


class _BidText(Form):
    steps: list[_StepText] = Field(min_length=1, max_length=STEPS_MAX)
    nonce: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


def seal_bid(steps: Sequence[Step], place: BidPlace, *, public_key: bytes, unit: Unit) -> SealedBid:
    """A bid sealed on the bidder's machine for one sale, bidder and version.

    Raises:
        BidVoid: It would be: no step or more than 20, nothing asked for or offered, a least
            quantity above its step's.
        PublicKeyUnusable: The sale's key is none.
    """
    text = {"steps": [_say(step, unit) for step in steps], "nonce": secrets.token_hex(32)}
    plaintext = json.dumps(text, separators=(",", ":")).encode().ljust(PLAINTEXT_BYTES)
    commitment = sm3(plaintext)
    read_bid(plaintext, commitment, unit)
    return SealedBid(wrap(plaintext, public_key, place.info), commitment, sm3(public_key))


def open_bid(bid: SealedBid, place: BidPlace, *, private_key: bytes, unit: Unit) -> OpenedBid:
    """The bid that was sealed for this place.

    Raises:
        BidKeyWrong: It names another key than the sale's.
        BidSizeWrong: The ciphertext is not of the one size.
        BidUnreadable: It was sealed to another key, sale, bidder or version, or was changed.
        CommitmentMismatch: The plaintext is not the one committed to.
        BidMalformed: The plaintext is no bid.
    """
    if bid.key_sm3 != sm3(public_key_of(private_key)):
        raise BidKeyWrong()
    if len(bid.ciphertext) != CIPHERTEXT_BYTES:
        raise BidSizeWrong()
    plaintext = unwrap(bid.ciphertext, private_key, place.info)
    if plaintext is None:
        raise BidUnreadable()
    return OpenedBid(read_bid(plaintext, bid.commitment, unit), plaintext)


def read_bid(plaintext: bytes, commitment: bytes, unit: Unit) -> tuple[Step, ...]:
    """The steps of a plaintext, after opening as anyone may check it.

    It is JSON padded with spaces to 4,096 bytes: `{"steps": [{"price_yuan", "quantity",
    "min_accept_quantity"?}, …], "nonce": 64 hexadecimal digits}`, quantities in the sale's unit.

    Raises:
        BidSizeWrong: It is not 4,096 bytes.
        CommitmentMismatch: Its SM3 is not the commitment.
        BidMalformed: It cannot be read in one way only, or is no bid.
    """
    if len(plaintext) != PLAINTEXT_BYTES:
        raise BidSizeWrong()
    if sm3(plaintext) != commitment:
        raise CommitmentMismatch()
    try:
        text = _BidText.model_validate(loads(plaintext.rstrip(b" ")))
        return tuple(_read_step(step, unit) for step in text.steps)
    except (ValidationError, ValueError, Refusal):
        raise BidMalformed() from None


def _say(step: Step, unit: Unit) -> dict[str, str]:
    said = {
        "price_yuan": YUAN.format(step.price_fen),
        "quantity": unit.format(step.quantity_minor),
    }
    if step.min_accept_minor is not None:
        said["min_accept_quantity"] = unit.format(step.min_accept_minor)
    return said


def _read_step(text: _StepText, unit: Unit) -> Step:
    least = text.min_accept_quantity
    step = Step(
        price_fen=YUAN.parse(text.price_yuan),
        quantity_minor=unit.parse(text.quantity),
        min_accept_minor=None if least is None else unit.parse(least),
    )
    least_minor = step.quantity_minor if step.min_accept_minor is None else step.min_accept_minor
    if step.price_fen == 0 or not 0 < least_minor <= step.quantity_minor:
        raise ValueError("a step offers nothing, asks for nothing or for less than its least")
    return step
