"""A drill before an announcement: what a key officer must open, and how that is proved."""

import secrets
from dataclasses import dataclass
from hashlib import sha256

from marketkit.errors import RuleBroken
from saleroom.sealing import place_info, unwrap, wrap

CHALLENGE_BYTES = 32


class ChallengeUnreadable(RuleBroken):
    title = "演练内容无法解开，请核对交易编号与私钥"


@dataclass(frozen=True)
class Drill:
    """One drill before a sale's announcement: nothing of it can pass for a share."""

    sale_id: str
    drill_id: str

    def info(self, officer: str) -> str:
        return place_info("yaosu-drill/1", self.sale_id, self.drill_id, officer)

    def challenge(self, officer: str, public_key: bytes) -> tuple[bytes, bytes]:
        """A fresh challenge that only this officer can read, and the SHA-256 of its answer.

        Raises:
            PublicKeyUnusable: Nothing can be wrapped to the key.
        """
        secret = secrets.token_bytes(CHALLENGE_BYTES)
        wrapped = wrap(secret, public_key, self.info(officer))
        return wrapped, sha256(self._answer_to(secret, officer)).digest()

    def answer(self, wrapped: bytes, *, private_key: bytes, officer: str) -> bytes:
        """What proves that the officer read the challenge, on the officer's own machine.

        Raises:
            ChallengeUnreadable: It is none of this drill and officer, or not for this key.
        """
        secret = unwrap(wrapped, private_key, self.info(officer))
        if secret is None or len(secret) != CHALLENGE_BYTES:
            raise ChallengeUnreadable()
        return self._answer_to(secret, officer)

    def _answer_to(self, secret: bytes, officer: str) -> bytes:
        # A digest: whatever an officer's machine unwraps in a drill does not leave it.
        return sha256(self.info(officer).encode() + secret).digest()
