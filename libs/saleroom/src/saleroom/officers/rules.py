"""When a drill can be answered, and what answers it. Pure: no clock, no database.

One answer for every wrong one: who asks learns nothing of a key by asking often.
"""

from hashlib import sha256
from hmac import compare_digest

from marketkit.errors import Conflict, NotFound, RuleBroken


class DrillUnknown(NotFound):
    title = "密钥演练不存在"


class DrillNotCurrent(Conflict):
    title = "密钥演练已由新的演练取代，或演练后更换了公钥，请重新演练"


class DrillAlreadyAnswered(Conflict):
    title = "本次密钥演练已完成"


class DrillAnswerWrong(RuleBroken):
    title = "密钥演练的答复有误"


def check_current(*, asked: str, current: str, drill_key: bytes, public_key: bytes) -> None:
    """Return if the drill asked for is the last one, and of the key its officer has registered.

    Raises:
        DrillNotCurrent: another drill has begun since, or the officer has another key now.
    """
    if asked != current or drill_key != public_key:
        raise DrillNotCurrent()


def check_answer(answer: bytes, answer_sha256: bytes) -> None:
    """Return if this is the answer whose SHA-256 was kept.

    Raises:
        DrillAnswerWrong: it is not, whatever it is.
    """
    if not compare_digest(sha256(answer).digest(), answer_sha256):
        raise DrillAnswerWrong()
