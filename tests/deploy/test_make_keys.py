"""The keys of an installation: a service can read them, and a second run changes nothing."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from marketkit.identity import Verifier, mint, service_token
from marketkit.signing import Signer, b64, unb64

ROOT = Path(__file__).parents[2]
ISSUER = "https://id.example.gov.cn/realms/city"
SERVICES = ("energy-trade", "emission-trade", "land-index", "gateway")


@pytest.fixture
def people(tmp_path: Path) -> Signer:
    (tmp_path / "people.key").write_text(b64(bytes(range(32))))
    return Signer.read(tmp_path / "people.key")


@pytest.fixture
def installed(tmp_path: Path, people: Signer) -> Path:
    key = {"kty": "OKP", "crv": "Ed25519", "x": b64(people.public), "kid": people.kid}
    (tmp_path / "jwks.json").write_text(json.dumps({"keys": [key]}))
    make(tmp_path)
    return tmp_path


def make(folder: Path) -> None:
    script = [sys.executable, str(ROOT / "deploy" / "make_keys.py"), "--into", str(folder)]
    people = ["--people-issuer", ISSUER, "--people-jwks", str(folder / "jwks.json")]
    subprocess.run([*script, *people], check=True, stdout=subprocess.DEVNULL)


def contents(folder: Path) -> dict[str, str]:
    files = [path for name in ("keys", "secrets") for path in (folder / name).rglob("*")]
    return {str(file.relative_to(folder)): file.read_text() for file in files if file.is_file()}


def test_a_service_believes_people_and_the_other_services(installed: Path, people: Signer) -> None:
    for service in SERVICES:
        verifier = Verifier.read(installed / "keys" / service / "trust.json")
        asker = Signer.read(installed / "keys" / "gateway" / "signing.key")
        assert verifier.caller(service_token(asker, "/370500/gateway")).roles == {"service"}
        token = mint(people, ISSUER, {"sub": "someone", "roles": ["auditor"]})
        assert verifier.caller(token).roles == {"auditor"}


def test_the_wire_s_key_is_one_and_each_signs_with_its_own(installed: Path) -> None:
    keys = [installed / "keys" / service for service in SERVICES]
    assert len({(one / "mac.key").read_text() for one in keys}) == 1
    assert len(unb64((keys[0] / "mac.key").read_text())) == 32
    assert len({(one / "signing.key").read_text() for one in keys}) == len(SERVICES)


def test_every_file_is_closed_to_others(installed: Path) -> None:
    for file in contents(installed):
        assert (installed / file).stat().st_mode & 0o777 == 0o400


def test_compose_finds_its_secrets_and_the_passwords_agree(installed: Path) -> None:
    compose = (ROOT / "docker-compose.yml").read_text("utf-8")
    made = {file for file in contents(installed) if file.startswith("secrets/")}
    assert made == set(re.findall(r"file: \./(secrets/\w+)", compose))
    for role, file in (("app", "pgpass"), ("owner", "pgpass_owner")):
        password = (installed / "secrets" / f"pg_{role}_password").read_text()
        line = (installed / "secrets" / file).read_text()
        assert line == f"postgres:5432:*:yaosu_{role}:{password}\n"


def test_a_second_run_changes_nothing(installed: Path) -> None:
    before = contents(installed)
    make(installed)
    assert contents(installed) == before
