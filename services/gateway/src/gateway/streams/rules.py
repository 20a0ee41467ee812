"""Where a stream stands, and the sealed form in which a client keeps it. Pure.

A plain position would count the bids of a sealed sale: so an id is encrypted, and of one length.
"""

import hmac
import secrets
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from marketkit.errors import Unreadable
from marketkit.signing import b64, unb64

PARTITIONS = 6
_NONCE_BYTES = 12
_PURPOSE = b"yaosu-stream-position/1"


class StreamPositionForged(Unreadable):
    title = "续传位置无效"


class Place(NamedTuple):
    """Where an event stands in its owner's log."""

    source: str
    partition: int
    sequence: int

    @classmethod
    def read(cls, text: str) -> "Place":
        """A place as it is notified: `source|partition|sequence`."""
        source, partition, sequence = text.rsplit("|", 2)
        return cls(source, int(partition), int(sequence))


@dataclass(frozen=True)
class Position:
    """What a stream has told: by source its epoch, by (source, partition) the last sequence."""

    epochs: Mapping[str, int]
    sequences: Mapping[tuple[str, int], int]

    def has(self, place: Place) -> bool:
        return place.sequence <= self.sequences.get((place.source, place.partition), 0)

    def lives_on_in(self, other: "Position") -> bool:
        """Whether no source began another life between this position and the other."""
        return all(self.epochs.get(name, 1) == epoch for name, epoch in other.epochs.items())

    def after(self, place: Place) -> "Position":
        """The position once this event, too, was told; an event told late moves nothing."""
        if self.has(place):
            return self
        told = {(place.source, place.partition): place.sequence}
        return Position(self.epochs, {**self.sequences, **told})


class Shown(NamedTuple):
    """A change on the board, and where its event stands."""

    place: Place
    market: str
    kind: str
    sale_id: str
    changed_at: datetime


class Noticed(NamedTuple):
    """What a watcher is given: where it begins, a change, a pause in which nothing changed.

    After a `reset` it should look at everything anew: too much changed, or another life began.
    """

    what: Literal["began", "change", "pause", "reset"]
    position: Position
    shown: Shown | None = None


@dataclass(frozen=True)
class PositionSeal:
    """Turns positions into ids and back, for the sources a board has."""

    mac_key: bytes
    sources: Sequence[str]

    @property
    def _cipher(self) -> AESGCM:
        return AESGCM(hmac.new(self.mac_key, _PURPOSE, "sm3").digest())

    @property
    def _names(self) -> list[str]:
        return sorted(self.sources)

    @property
    def _about(self) -> bytes:
        return "|".join(self._names).encode()

    def seal(self, position: Position) -> str:
        """An id that says nothing to whoever has no key."""
        numbers = []
        for source in self._names:
            numbers.append(position.epochs.get(source, 1))
            numbers += [position.sequences.get((source, n), 0) for n in range(PARTITIONS)]
        nonce = secrets.token_bytes(_NONCE_BYTES)
        plain = struct.pack(f">{len(numbers)}q", *numbers)
        return b64(nonce + self._cipher.encrypt(nonce, plain, self._about))

    def open(self, text: str) -> Position:
        """The position an id of ours stands for.

        Raises:
            StreamPositionForged: it is none of ours, for any reason, or of another set of sources.
        """
        try:
            raw = unb64(text)
            plain = self._cipher.decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], self._about)
            numbers = struct.unpack(f">{len(self.sources) * (PARTITIONS + 1)}q", plain)
        except (ValueError, InvalidTag, struct.error):
            raise StreamPositionForged() from None
        epochs: dict[str, int] = {}
        sequences: dict[tuple[str, int], int] = {}
        for at, source in enumerate(self._names):
            epochs[source], *told = numbers[at * (PARTITIONS + 1) :][: PARTITIONS + 1]
            sequences |= {(source, n): sequence for n, sequence in enumerate(told)}
        return Position(epochs, sequences)
