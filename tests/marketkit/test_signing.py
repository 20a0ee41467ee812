from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import a_signer
from marketkit.signing import (
    ZERO,
    Signer,
    b64,
    canonical,
    chain_after,
    key_id,
    same,
    sm3,
    unb64,
    verify,
    wire_mac,
)


def test_sm3_is_the_standards() -> None:
    """GB/T 32905-2016, annex A."""
    assert sm3(b"abc").hex() == "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0"
    assert (
        sm3(b"abcd" * 16).hex()
        == "debe9ff92275b8a138604889c18e5a4d6fdb70e5387e5765293dcba39c0c5732"
    )


def test_a_chain_is_of_all_that_came_before() -> None:
    assert chain_after(ZERO, b"a") == sm3(bytes(32) + b"a")
    there = chain_after(chain_after(ZERO, b"a"), b"b")
    assert there != chain_after(chain_after(ZERO, b"b"), b"a")
    assert there != chain_after(ZERO, b"ab")


@given(st.binary(max_size=100))
def test_base64_is_read_back_and_has_one_spelling(raw: bytes) -> None:
    assert unb64(b64(raw)) == raw
    assert "=" not in b64(raw)


@pytest.mark.parametrize("text", ["=", "A", "AA==", "AB", "A+", "A/", "A A", "é", "AAA\n"])
def test_another_spelling_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # whichever of the reader's
        unb64(text)


def test_a_mac_covers_the_place_the_chain_and_the_bytes() -> None:
    said: tuple[bytes, str, bytes, bytes] = (b"k" * 32, "/s|0|1|7", ZERO, b"event")
    mac = wire_mac(*said)
    assert same(mac, wire_mac(*said))
    others: list[tuple[bytes, str, bytes, bytes]] = [
        (b"j" * 32, *said[1:]),
        (said[0], "/s|0|2|7", *said[2:]),
        (*said[:2], sm3(b""), said[3]),
        (*said[:3], b"other"),
    ]
    assert all(not same(mac, wire_mac(*other)) for other in others)


def test_a_signature_is_of_one_key_and_one_message() -> None:
    signer, other = a_signer(), a_signer()
    signature = signer.sign(b"message")
    assert verify(signer.public, b"message", signature)
    assert not verify(signer.public, b"messagE", signature)
    assert not verify(other.public, b"message", signature)
    assert not verify(signer.public, b"message", bytes(64))
    assert not verify(signer.public, b"message", b"short")
    assert signer.kid == key_id(signer.public) != other.kid


def test_a_key_is_read_from_its_file_and_not_shown(tmp_path: Path) -> None:
    signer = a_signer()
    secret = b64(signer.private.private_bytes_raw())
    named = tmp_path / "signing.key"
    named.write_text(secret + "\n")
    assert Signer.read(named).public == signer.public
    assert secret not in repr(signer)


def test_what_is_signed_has_one_form() -> None:
    assert canonical({"b": [1, "煤"], "a": None}) == '{"a":null,"b":[1,"煤"]}'.encode()
    assert canonical({"a": 1, "b": 2}) == canonical({"b": 2, "a": 1})
