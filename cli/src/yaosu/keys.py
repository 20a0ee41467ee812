"""The embedded house's keys: made once, each service's own directory, readable by us alone."""

import contextlib
import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from marketkit.signing import Signer, b64

PEOPLE_ISSUER = "yaosu-dev"
GATEWAY = "gateway"


@dataclass(frozen=True)
class Keys:
    """A directory of keys with one directory a service inside."""

    root: Path

    def of(self, service: str) -> Path:
        """The service's own directory: its `YAOSU_KEYS_DIR`."""
        return self.root / service

    def signer(self, service: str) -> Signer:
        return Signer.read(self.of(service) / "signing.key")

    @property
    def issuer(self) -> Signer:
        """The development issuer, who says who people are."""
        return Signer.read(self.of(GATEWAY) / "issuer.key")


def make_keys(root: Path, sources: Mapping[str, str]) -> Keys:
    """The keys under `root`; what is there already stays as it is.

    Args:
        root: The directory of all keys.
        sources: Each service's name and the CloudEvents source by which it speaks.
    """
    keys = Keys(root)
    shared = root / "mac.key"
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    _keep(shared, b64(secrets.token_bytes(32)))
    for service in sources:
        keys.of(service).mkdir(exist_ok=True, mode=0o700)
        _keep(keys.of(service) / "signing.key", _private_key())
        _keep(keys.of(service) / "mac.key", shared.read_text("ascii"))
    _keep(keys.of(GATEWAY) / "issuer.key", _private_key())
    trust = {PEOPLE_ISSUER: _trusted("people", keys.issuer)} | {
        source: _trusted("service", keys.signer(service)) for service, source in sources.items()
    }
    for service in sources:
        _write(keys.of(service) / "trust.json", json.dumps(trust, indent=1))
    return keys


def _trusted(roles: str, signer: Signer) -> dict[str, Any]:
    key = {"kty": "OKP", "crv": "Ed25519", "x": b64(signer.public), "kid": signer.kid}
    return {"roles": roles, "keys": [key]}


def _private_key() -> str:
    return b64(Ed25519PrivateKey.generate().private_bytes_raw())


def _keep(path: Path, text: str) -> None:
    if not path.exists():
        _write(path, text)


def _write(path: Path, text: str) -> None:
    # Whole or not at all: half a key would be another key.
    unfinished = path.with_name(path.name + ".unfinished")
    with contextlib.suppress(FileNotFoundError):
        unfinished.unlink()
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    unfinished.replace(path)
