"""Digests, MACs and signatures: SM3 for the chain, HMAC-SM3 on the wire, Ed25519 for evidence."""

import base64
import binascii
import hashlib
import hmac
import json
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SM3
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

ZERO = bytes(32)


# Copied: to look an algorithm up costs as much as to hash an event.
_SM3 = hashlib.new("sm3")


def sm3(message: bytes) -> bytes:
    fresh = _SM3.copy()
    fresh.update(message)
    return fresh.digest()


def chain_after(chain: bytes, event: bytes) -> bytes:
    """The chain value of an event whose predecessor's is `chain`; before the first it is ZERO."""
    return sm3(chain + event)


def partition_of(key: str, partition_count: int) -> int:
    """Our own hash, so that clients in any language agree where a key lives."""
    return int.from_bytes(sm3(key.encode())[:8], "big") % partition_count


def wire_mac(key: bytes, place: str, chain: bytes, event: bytes) -> bytes:
    """HMAC-SM3 over `source|partition|epoch|sequence` and the bytes that stand there."""
    fresh = _keyed(key).copy()
    fresh.update(place.encode() + b"|" + chain + event)
    return fresh.finalize()


@lru_cache(maxsize=8)
def _keyed(key: bytes) -> HMAC:
    return HMAC(key, SM3())


def same(left: bytes, right: bytes) -> bool:
    return hmac.compare_digest(left, right)


# Of the two alphabets, only this one.
_STANDARD = bytes.maketrans(b"-_+/=", b"+/!!!")


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    """The bytes of unpadded base64url; ValueError if it is anything else."""
    padded = text.encode("ascii").translate(_STANDARD) + b"=" * (-len(text) % 4)
    raw = binascii.a2b_base64(padded, strict_mode=True)
    # Bits that say nothing could be anything: of the end, one spelling counts.
    tail = len(raw) % 3
    if tail and b64(raw[-tail:]) != text[-tail - 1 :]:
        raise ValueError("not canonical base64url")
    return raw


def key_id(public: bytes) -> str:
    return hashlib.sha256(public).hexdigest()[:16]


_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def canonical(document: object) -> bytes:
    """The one JSON form that is signed: sorted keys, no spaces, UTF-8."""
    return _CANONICAL.encode(document).encode()


@dataclass(frozen=True)
class Signer:
    """A service's Ed25519 key: signs checkpoints and receipts."""

    private: Ed25519PrivateKey

    @classmethod
    def read(cls, path: Path) -> "Signer":
        return cls(Ed25519PrivateKey.from_private_bytes(unb64(path.read_text("ascii").strip())))

    @cached_property
    def public(self) -> bytes:
        return self.private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    @cached_property
    def kid(self) -> str:
        return key_id(self.public)

    def sign(self, message: bytes) -> bytes:
        return self.private.sign(message)


def verify(public: bytes, message: bytes, signature: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except InvalidSignature:
        return False
    return True
