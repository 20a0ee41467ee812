"""What an operator of land-index chooses."""

from typing import ClassVar

from marketkit import settings


class Settings(settings.Settings):
    service: ClassVar[str] = "land-index"
    market: ClassVar[str] = "land"
