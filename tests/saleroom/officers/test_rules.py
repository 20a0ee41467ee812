"""When a drill can be answered, and what answers it."""

from hashlib import sha256

import pytest

from saleroom.officers.rules import DrillAnswerWrong, DrillNotCurrent, check_answer, check_current


def test_the_last_drill_of_the_key_registered_is_current() -> None:
    check_current(asked="d", current="d", drill_key=b"k", public_key=b"k")


@pytest.mark.parametrize(
    ("asked", "drill_key"), [("another", b"k"), ("", b"k"), ("d", b"old"), ("d", b"")]
)
def test_another_drill_or_key_is_not(asked: str, drill_key: bytes) -> None:
    with pytest.raises(DrillNotCurrent):
        check_current(asked=asked, current="d", drill_key=drill_key, public_key=b"k")


def test_an_answer_is_known_by_its_digest() -> None:
    check_answer(b"answer", sha256(b"answer").digest())
    for wrong in (b"", b"Answer", sha256(b"answer").digest()):
        with pytest.raises(DrillAnswerWrong):
            check_answer(wrong, sha256(b"answer").digest())
