from datetime import UTC, datetime

import pytest

from gateway.board.rules import ENDED_STATES, SEALED_STATES, SourceStaleness
from gateway.holdings.rules import ASSET_TITLES
from gateway.pages import rules
from gateway.pages.rules import (
    BID_BYTES,
    COURSE,
    COURSE_WORDS,
    STATES,
    behind,
    course,
    is_as_committed,
    moment,
    page_count,
    per_cent,
    precisely,
    yuan,
)
from marketkit.signing import b64, sm3
from marketkit.units import ASSET_UNITS


def test_instants_are_the_citys_own() -> None:
    at = datetime(2022, 12, 31, 16, 0, 0, 1, tzinfo=UTC)
    assert moment(at) == "2023-01-01 00:00:00"
    assert precisely(at) == "2023-01-01 00:00:00.000001"
    assert moment(None) == "—"


def test_money_has_its_thousands_separated() -> None:
    assert yuan(226_500_000) == "2,265,000.00"
    assert yuan(5) == "0.05"


@pytest.mark.parametrize(
    ("basis_points", "said"), [(2000, "20%"), (1250, "12.50%"), (5, "0.05%"), (10_000, "100%")]
)
def test_a_ratio_reads_as_per_cent(basis_points: int, said: str) -> None:
    assert per_cent(basis_points) == said


@pytest.mark.parametrize("state", COURSE)
def test_a_sale_stands_at_one_place_of_its_course(state: str) -> None:
    places = [stage.place for stage in course(state, [])]
    at = places.index("now")
    assert at == COURSE.index(state)
    assert places == ["done"] * at + ["now"] + ["ahead"] * (len(COURSE) - 1 - at)
    assert [stage.word for stage in course(state, [])] == list(COURSE_WORDS)


def test_a_suspended_sale_stands_where_it_was_suspended() -> None:
    kinds = ["sale.announced", "sale.opened_for_bids", "sale.suspended"]
    assert course("SUSPENDED", kinds) == course("OPEN", [])


@pytest.mark.parametrize("state", ["FAILED", "CANCELLED"])
def test_a_sale_that_was_given_up_has_left_its_course(state: str) -> None:
    assert course(state, ["sale.announced"]) == []


@pytest.mark.parametrize("kind", ["sale.failed", "sale.cancelled"])
def test_once_archived_it_still_has(kind: str) -> None:
    kinds = ["sale.announced", kind, "sale.archived"]
    assert course("ARCHIVED", kinds) == []
    assert rules.given_up(kinds) == kind.removeprefix("sale.").upper()
    assert rules.given_up(["sale.announced", "sale.archived"]) == ""


def test_every_state_has_a_word_and_is_running_or_ended() -> None:
    assert set(STATES) == {*rules.RUNNING, *ENDED_STATES}
    assert not set(rules.RUNNING) & set(ENDED_STATES)
    assert set(SEALED_STATES) <= set(STATES)


def test_every_asset_has_a_title_and_a_unit_title() -> None:
    for asset in ASSET_UNITS:
        assert asset in ASSET_TITLES
        assert rules.unit_title(asset) != ASSET_UNITS[asset].name


def test_a_plaintext_is_checked_with_the_spaces_it_was_committed_with() -> None:
    text = '{"steps":[],"nonce":""}'
    commitment = b64(sm3(text.encode().ljust(BID_BYTES)))
    assert is_as_committed(text, commitment)
    assert not is_as_committed(text + "x", commitment)
    assert not is_as_committed(text, b64(sm3(text.encode())))
    assert not is_as_committed(None, commitment)
    assert not is_as_committed(text, "not base64url")


@pytest.mark.parametrize(
    ("lag_events", "is_stopped", "said"),
    [
        (0, False, ""),
        (None, False, ""),
        (3, False, "尚有3条待更新"),
        (None, True, "数据有疑问，已暂停更新"),
    ],
)
def test_a_source_that_is_behind_says_so(
    lag_events: int | None, is_stopped: bool, said: str
) -> None:
    source = SourceStaleness(
        market="energy", source="/s", lag_events=lag_events, known_at=None, is_stopped=is_stopped
    )
    assert behind(source) == said


@pytest.mark.parametrize(("total", "count"), [(0, 1), (1, 1), (20, 1), (21, 2)])
def test_pages_are_counted(total: int, count: int) -> None:
    assert page_count(total, 20) == count
