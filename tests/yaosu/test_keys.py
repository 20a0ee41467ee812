import json
from pathlib import Path

from marketkit.identity import Verifier, mint
from marketkit.signing import Signer, unb64
from yaosu.keys import make_keys

SOURCES = {"energy": "/370500/energy-trade", "gateway": "/370500/gateway"}


def contents(root: Path) -> dict[str, str]:
    return {str(p.relative_to(root)): p.read_text() for p in root.rglob("*") if p.is_file()}


def test_they_are_made_once_and_for_us_alone(tmp_path: Path) -> None:
    make_keys(tmp_path / "keys", SOURCES)
    before = contents(tmp_path / "keys")
    make_keys(tmp_path / "keys", SOURCES)
    assert contents(tmp_path / "keys") == before
    for path in (tmp_path / "keys").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0


def test_services_share_one_mac_key_and_trust_each_other(tmp_path: Path) -> None:
    keys = make_keys(tmp_path / "keys", SOURCES)
    macs = {(keys.of(name) / "mac.key").read_text() for name in SOURCES}
    assert [len(unb64(mac)) for mac in macs] == [32]
    trust = json.loads((keys.of("energy") / "trust.json").read_text())
    assert set(trust) == {"yaosu-dev", *SOURCES.values()}
    assert trust["/370500/gateway"]["keys"][0]["kid"] == keys.signer("gateway").kid


def test_a_token_of_the_development_issuer_is_believed_by_every_service(tmp_path: Path) -> None:
    keys = make_keys(tmp_path / "keys", SOURCES)
    token = mint(keys.issuer, "yaosu-dev", {"sub": "officer-1", "roles": ["trading_center"]})
    for name in SOURCES:
        caller = Verifier.read(keys.of(name) / "trust.json").caller(token)
        assert caller.roles == {"trading_center"}


def test_only_the_gateway_holds_the_issuers_key(tmp_path: Path) -> None:
    keys = make_keys(tmp_path / "keys", SOURCES)
    assert not (keys.of("energy") / "issuer.key").exists()
    assert isinstance(keys.issuer, Signer)
