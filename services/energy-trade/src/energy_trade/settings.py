"""What an operator of energy-trade chooses."""

from typing import ClassVar

from marketkit import settings


class Settings(settings.Settings):
    service: ClassVar[str] = "energy-trade"
    market: ClassVar[str] = "energy"
