"""What an operator of the gateway chooses."""

from pathlib import Path
from typing import ClassVar

from marketkit import settings
from marketkit.units import Form


class UpstreamSettings(Form):
    """Where a service answers people, where services, and by which name it speaks."""

    api: str
    inner: str
    source: str


class Settings(settings.Settings):
    """The gateway's settings; `upstreams` names each market once: energy, emission, land."""

    service: ClassVar[str] = "gateway"
    market: ClassVar[str] = "gateway"

    upstreams: dict[str, UpstreamSettings]

    @property
    def issuer_key(self) -> Path:
        """The development issuer's key; it is never there in production."""
        return self.keys_dir / "issuer.key"

    @property
    def sources(self) -> dict[str, str]:
        """By market, the name under which its service tells facts."""
        return {market: at.source for market, at in self.upstreams.items()}
