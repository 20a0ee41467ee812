"""What every event is, before any store or wire. Pure."""

from typing import ClassVar

from marketkit.units import Form


class Fact(Form):
    """What happened, as others are told it. Subclasses live in `contracts`, one class an event."""

    kind: ClassVar[str]
    version: ClassVar[int] = 1
    # A step of a sale is sealed by a signed checkpoint as soon as it is in the log.
    is_step: ClassVar[bool] = False

    @classmethod
    def type_in(cls, market: str) -> str:
        return f"yaosu.{market}.{cls.kind}.v{cls.version}"
