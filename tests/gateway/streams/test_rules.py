import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.streams.rules import Place, Position, PositionSeal, StreamPositionForged

SOURCES = ["/370500/energy-trade", "/370500/emission-trade"]
SEAL = PositionSeal(bytes(32), SOURCES)
SEQUENCES = st.integers(0, 2**62)


@given(st.lists(SEQUENCES, min_size=12, max_size=12), st.integers(1, 9))
def test_an_id_leads_back_to_its_position(numbers: list[int], epoch: int) -> None:
    places = [(source, partition) for source in SOURCES for partition in range(6)]
    position = Position(dict.fromkeys(SOURCES, epoch), dict(zip(places, numbers, strict=True)))
    assert SEAL.open(SEAL.seal(position)) == position


def test_an_id_says_nothing_not_even_by_its_length() -> None:
    early, late = Position({}, {}), Position({}, {(SOURCES[0], 3): 2**40})
    ids = [SEAL.seal(position) for position in (early, early, late)]
    assert len({len(one) for one in ids}) == 1
    assert len(set(ids)) == 3


@pytest.mark.parametrize("at", [0, 15, 40, -1])
def test_an_id_that_was_changed_is_refused(at: int) -> None:
    good = SEAL.seal(Position({}, {}))
    other = "A" if good[at] != "A" else "B"
    changed = good[:at] + other + (good[at + 1 :] if at != -1 else "")
    with pytest.raises(StreamPositionForged):
        SEAL.open(changed)


@pytest.mark.parametrize("text", ["", "x", "!!!", "A" * 300, "四"])
def test_what_is_no_id_is_refused(text: str) -> None:
    with pytest.raises(StreamPositionForged):
        SEAL.open(text)


def test_an_id_of_another_key_or_of_other_sources_is_refused() -> None:
    good = SEAL.seal(Position({}, {}))
    for seal in (PositionSeal(bytes(31) + b"x", SOURCES), PositionSeal(bytes(32), SOURCES[:1])):
        with pytest.raises(StreamPositionForged):
            seal.open(good)


def test_an_event_told_late_does_not_move_a_position_back() -> None:
    position = Position({}, {}).after(Place(SOURCES[0], 2, 7))
    assert position.after(Place(SOURCES[0], 2, 3)) == position
    assert position.has(Place(SOURCES[0], 2, 3))
    assert not position.has(Place(SOURCES[0], 1, 1))
