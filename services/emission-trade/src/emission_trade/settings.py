"""What an operator of emission-trade chooses."""

from typing import ClassVar

from marketkit import settings


class Settings(settings.Settings):
    service: ClassVar[str] = "emission-trade"
    market: ClassVar[str] = "emission"
