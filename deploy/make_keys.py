"""Keys and passwords of an installation, made once; what is there already stays as it is.

    python deploy/make_keys.py --people-issuer URL --people-jwks jwks.json [--into FOLDER]

Run as root, each file belongs to the account that reads it inside its image.
"""

import argparse
import json
import os
import secrets
from pathlib import Path
from typing import Any

from marketkit.signing import Signer, b64

SERVICES = ("energy-trade", "emission-trade", "land-index", "gateway")
YAOSU, POSTGRES, GRAFANA = 10001, 999, 472


def write(path: Path, text: str, owner: int) -> None:
    """A file of mode 0400, written whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
    unfinished = path.with_name(path.name + ".unfinished")
    unfinished.unlink(missing_ok=True)
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400), "w") as file:
        file.write(text)
    if os.geteuid() == 0:
        os.chown(unfinished, owner, owner)
    unfinished.replace(path)


def keep(path: Path, text: str, owner: int) -> str:
    """What the file says, after it was made if it was not there."""
    if not path.exists():
        write(path, text, owner)
    return path.read_text("ascii")


def public_jwk(signer: Signer) -> dict[str, str]:
    return {"kty": "OKP", "crv": "Ed25519", "x": b64(signer.public), "kid": signer.kid}


def make_keys(folder: Path, city: str, people_issuer: str, people_keys: list[Any]) -> None:
    """Each service's `signing.key`, the `mac.key` they share, and whom they trust."""
    mac = keep(folder / SERVICES[0] / "mac.key", b64(secrets.token_bytes(32)), YAOSU)
    trust: dict[str, Any] = {people_issuer: {"roles": "people", "keys": people_keys}}
    for service in SERVICES:
        keep(folder / service / "mac.key", mac, YAOSU)
        # Any 32 random bytes are an Ed25519 private key.
        keep(folder / service / "signing.key", b64(secrets.token_bytes(32)), YAOSU)
        signer = Signer.read(folder / service / "signing.key")
        trust[f"/{city}/{service}"] = {"roles": "service", "keys": [public_jwk(signer)]}
    for service in SERVICES:
        keep(folder / service / "trust.json", json.dumps(trust, indent=1), YAOSU)


def make_secrets(folder: Path) -> None:
    """Passwords, and the files by which libpq finds them."""
    keep(folder / "pg_superuser_password", secrets.token_urlsafe(24), POSTGRES)
    keep(folder / "grafana_password", secrets.token_urlsafe(24), GRAFANA)
    for role, file in (("app", "pgpass"), ("owner", "pgpass_owner")):
        password = keep(folder / f"pg_{role}_password", secrets.token_urlsafe(24), POSTGRES)
        keep(folder / file, f"postgres:5432:*:yaosu_{role}:{password}\n", YAOSU)


def main() -> None:
    parser = argparse.ArgumentParser(description="Make ./keys and ./secrets for docker compose.")
    parser.add_argument("--people-issuer", required=True, help="iss of people's tokens")
    parser.add_argument("--people-jwks", required=True, type=Path, help="its Ed25519 public keys")
    parser.add_argument("--city", default="370500")
    parser.add_argument("--into", default=Path(), type=Path)
    asked = parser.parse_args()
    people_keys = json.loads(asked.people_jwks.read_text("utf-8"))["keys"]
    make_keys(asked.into / "keys", asked.city, asked.people_issuer, people_keys)
    make_secrets(asked.into / "secrets")
    if os.geteuid() != 0:
        print("Not root: give the files to the accounts docs/operations.md names.")


if __name__ == "__main__":
    main()
