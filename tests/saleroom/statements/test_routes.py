"""The door of the bank's files: what each line is answered, and who may hand them in."""

import asyncio
import io
import zipfile
from typing import Any

import pytest
from prometheus_client import REGISTRY

from bank_files import FILES, XLSX, Counter, a_csv, a_row, an_xlsx, said
from builders import a_client, a_key
from contracts.escrow import BankFileKept
from contracts.sale import DepositConfirmed
from databases import rows
from marketkit.db import Database
from marketkit.guard import UPLOAD_BYTES_MAX, UPLOADS_AT_ONCE
from saleroom.statements.routes import routes
from stories import Story
from toy_market import DEPOSIT_DUE, OPENS, TICK, Doors

BOOKINGS = "SELECT bank_serial, use, verdict, other_name FROM bank_booking ORDER BY bank_serial"


@pytest.fixture
async def room(energy_house: Database) -> Story:
    room = Story(energy_house)
    await room.announce()
    return room


@pytest.fixture
def counter(room: Story) -> Counter:
    return Counter(Doors.of(room.house, routes))


async def test_a_deposit_is_booked_by_the_bank_s_line(room: Story, counter: Counter) -> None:
    entered = await room.register(1)
    room.at(OPENS)
    file = a_csv(a_row(entered, 摘要="保证金"))
    (verdict,) = await counter.verdicts(file)
    assert (verdict["code"], verdict["title"]) == ("DEPOSIT_BOOKED", "已记为保证金")
    assert (verdict["row"], verdict["bank_serial"]) == (2, f"S-{entered.registration_id}")
    (deposit,) = await rows(room.house, "SELECT state, bank_serial FROM deposit")
    assert (deposit.state, deposit.bank_serial) == ("CONFIRMED", f"S-{entered.registration_id}")
    (kept,) = await rows(room.house, "SELECT body, kept_by FROM bank_file")
    assert bytes(kept.body) == file
    assert "|caller-" in kept.kept_by
    assert await counter.verdicts(file) == [verdict]
    assert len(await room.told(DepositConfirmed)) == 1
    assert len(await room.told(BankFileKept)) == 1


async def test_every_line_has_its_verdict_and_good_ones_apply(
    room: Story, counter: Counter
) -> None:
    one, two, three, four = [await room.register(number) for number in (1, 2, 3, 4)]
    room.at(DEPOSIT_DUE + 2 * TICK)
    lines = [
        (a_row(one, 入账时间=said(OPENS)), "DEPOSIT_BOOKED"),
        (a_row(two, 金额="1.00"), "DEPOSIT_AMOUNT_WRONG"),
        (a_row(three, 对方户名="张三"), "THIRD_PARTY_PAYER"),
        (a_row(流水号="S9", 子账号="12345678901234"), "SUB_ACCOUNT_UNKNOWN"),
        (a_row(four, 入账时间="2031-01-01 09:00:00"), "BOOKED_IN_FUTURE"),
        (a_row(流水号="S8", 金额="1.001"), "LINE_MALFORMED"),
        (a_row(one, 流水号="S7"), "DEPOSIT_ALREADY_RECORDED"),
        (a_row(one, 金额="2.00"), "SERIAL_CONTENT_DIFFERS"),
        (a_row(one), "DEPOSIT_BOOKED"),
        (a_row(流水号="S6", 方向="付"), "REFUND_UNKNOWN"),
        (a_row(four, 流水号="S5", 入账时间=said(DEPOSIT_DUE)), "DEPOSIT_BOOKED"),
    ]
    file = a_csv(*(row for row, _ in lines))
    verdicts = await counter.verdicts(file)
    assert [one["code"] for one in verdicts] == [code for _, code in lines]
    malformed = verdicts[5]
    assert (malformed["row"], malformed["field"], malformed["cell"]) == (7, "金额", "D7")
    assert malformed["reason"] == "须为十进制数字文本，至多2位小数"
    assert all(verdict["title"] for verdict in verdicts)
    before = await rows(room.house, BOOKINGS)
    assert await counter.verdicts(file) == verdicts
    assert await rows(room.house, BOOKINGS) == before
    assert {row.use for row in before if row.verdict != "DEPOSIT_BOOKED"} == {"UNALLOCATED"}
    # Nothing is believed of a booking to come, nor of a row that is none.
    assert len(before) == 7


async def test_a_line_after_the_due_instant_is_late(room: Story, counter: Counter) -> None:
    entered = await room.register(1)
    room.at(DEPOSIT_DUE.replace(second=1))
    late = a_row(entered, 入账时间=said(DEPOSIT_DUE.replace(second=1)))
    assert await counter.codes(a_csv(late)) == ["DEPOSIT_LATE"]


@pytest.mark.parametrize("encoding", ["utf-8", "gbk"])
async def test_a_name_in_either_encoding_is_the_same(
    room: Story, counter: Counter, encoding: str
) -> None:
    entered = await room.register(1)
    room.at(OPENS)
    file = a_csv(a_row(entered), encoding=encoding)
    assert file.startswith(b"\xef\xbb\xbf") == (encoding == "utf-8")
    assert await counter.codes(file) == ["DEPOSIT_BOOKED"]


async def test_utf_8_without_a_mark(room: Story, counter: Counter) -> None:
    entered = await room.register(1)
    room.at(OPENS)
    assert await counter.codes(a_csv(a_row(entered))[3:]) == ["DEPOSIT_BOOKED"]


async def test_an_excel_file_is_the_same(room: Story, counter: Counter) -> None:
    entered = await room.register(1)
    room.at(OPENS)
    file = an_xlsx(a_row(entered), a_row(流水号="S2", 方向="转"))
    booked, malformed = await counter.verdicts(file, media=XLSX)
    assert booked["code"] == "DEPOSIT_BOOKED"
    assert malformed["cell"] == "C3"


async def test_the_same_line_in_another_file_has_no_effect(room: Story, counter: Counter) -> None:
    entered = await room.register(1)
    room.at(OPENS)
    assert await counter.codes(a_csv(a_row(entered))) == ["DEPOSIT_BOOKED"]
    again = a_csv(a_row(entered), a_row(流水号="S2"))
    assert await counter.codes(again) == ["DEPOSIT_BOOKED", "SUB_ACCOUNT_UNKNOWN"]
    assert len(await room.told(DepositConfirmed)) == 1


async def test_a_line_adds_who_paid_to_what_was_typed(room: Story, counter: Counter) -> None:
    entered = await room.register(1)
    room.at(OPENS)
    await room.pay_deposit(entered, bank_serial="S1")
    third = a_csv(a_row(entered, 流水号="S1", 对方户名="张三"))
    assert await counter.codes(third) == ["THIRD_PARTY_PAYER"]
    assert await counter.codes(a_csv(a_row(entered, 流水号="S1"))) == ["DEPOSIT_BOOKED"]
    (booking,) = await rows(room.house, BOOKINGS)
    assert booking.other_name == "企业1"
    other = await room.register(2)
    assert await counter.codes(a_csv(a_row(other, 流水号="S1"))) == ["SERIAL_CONTENT_DIFFERS"]


async def test_the_same_file_five_times_at_once_has_one_effect(
    room: Story, counter: Counter
) -> None:
    entered = [await room.register(number) for number in range(1, 6)]
    room.at(OPENS)
    file = a_csv(*(a_row(one) for one in entered))
    answers = await asyncio.gather(*(counter.hand_in(file) for _ in range(5)))
    taken = [answer for answer in answers if answer.status_code != 503]
    assert len(taken) >= UPLOADS_AT_ONCE
    assert {(answer.status_code, answer.content) for answer in taken} == {(202, taken[0].content)}
    assert await counter.codes(file) == ["DEPOSIT_BOOKED"] * 5
    assert len(await room.told(DepositConfirmed)) == 5
    assert len(await room.told(BankFileKept)) == 1


async def test_two_files_at_once_with_one_serial_book_it_once(
    room: Story, counter: Counter
) -> None:
    one, two = [await room.register(number) for number in (1, 2)]
    room.at(OPENS)
    files = [a_csv(a_row(entered, 流水号="SAME")) for entered in (one, two)]
    await asyncio.gather(*(counter.hand_in(file) for file in files))
    codes = [(await counter.codes(file))[0] for file in files]
    assert sorted(codes) == ["DEPOSIT_BOOKED", "SERIAL_CONTENT_DIFFERS"]
    assert len(await room.told(DepositConfirmed)) == 1


async def test_a_repeated_command_answers_the_same_bytes(room: Story, counter: Counter) -> None:
    file = a_csv(a_row())
    first, second = [await counter.hand_in(file, key="one") for _ in range(2)]
    assert (first.status_code, first.content) == (second.status_code, second.content)
    other = await counter.hand_in(a_csv(a_row(流水号="S2")), key="one")
    assert (other.status_code, other.json()["code"]) == (422, "IDEMPOTENCY_KEY_REUSED")


async def test_only_the_trading_centre_of_the_city_hands_in_and_reads(
    room: Story, counter: Counter
) -> None:
    doors = counter.doors
    file = a_csv(a_row())
    accepted = await counter.hand_in(file)
    for role in ("enterprise", "bureau_officer", "auditor", "supervisor", "key_officer"):
        refused = await counter.hand_in(file, token=doors.token(role))
        assert (refused.status_code, refused.json()["code"]) == (403, "ROLE_NOT_ALLOWED")
        for path in (FILES, accepted.headers["location"]):
            answer = await doors.send("GET", path, token=doors.token(role))
            assert (answer.status_code, answer.json()["code"]) == (403, "ROLE_NOT_ALLOWED")
    county = await counter.hand_in(file, token=doors.token("trading_center", region_code="370502"))
    assert (county.status_code, county.json()["code"]) == (403, "REGION_NOT_ALLOWED")
    async with a_client(doors.app, **a_key(), **{"Content-Type": "text/csv"}) as client:
        assert (await client.post(FILES, content=file)).status_code == 401
    async with a_client(doors.app, "forged", **a_key(), **{"Content-Type": "text/csv"}) as client:
        assert (await client.post(FILES, content=file)).status_code == 401
    token = doors.token("trading_center")
    async with a_client(doors.app, token, **{"Content-Type": "text/csv"}) as client:
        keyless = await client.post(FILES, content=file)
    assert (keyless.status_code, keyless.json()["code"]) == (400, "IDEMPOTENCY_KEY_MISSING")
    (kept,) = (await doors.send("GET", FILES, token=token)).json()["items"]
    assert kept["sm3"] in accepted.headers["location"]
    unknown = await doors.send("GET", f"{FILES}/{'0' * 64}", token=token)
    assert (unknown.status_code, unknown.json()["code"]) == (404, "BANK_FILE_UNKNOWN")


def a_bomb() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("xl/worksheets/sheet1.xml", b"0" * (201 * 1024 * 1024))
    return file.getvalue()


@pytest.mark.parametrize(
    ("body", "media", "status", "code"),
    [
        (b"", "text/csv", 422, "HEADER_WRONG"),
        (b"\x00\x01", "text/csv", 422, "SHEET_UNREADABLE"),
        (b"\xff\xfe\xff", "text/csv", 422, "SHEET_UNREADABLE"),
        (b'"open', "text/csv", 422, "SHEET_UNREADABLE"),
        (b"a,b\n1,2\n", "text/csv", 422, "HEADER_WRONG"),
        (b"PK\x03\x04broken", XLSX, 422, "SHEET_UNREADABLE"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "application/vnd.ms-excel", 422, "SHEET_UNREADABLE"),
        (b"x" * (UPLOAD_BYTES_MAX + 1), "text/csv", 413, "BODY_TOO_LARGE"),
        (b"{}", "application/json", 415, "MEDIA_TYPE_UNSUPPORTED"),
        (b"a", "text/html", 415, "MEDIA_TYPE_UNSUPPORTED"),
    ],
)
async def test_a_file_that_is_none_changes_nothing(
    room: Story, counter: Counter, body: bytes, media: str, status: int, code: str
) -> None:
    answer = await counter.hand_in(body, media=media)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert await rows(room.house, "SELECT 1 FROM bank_file") == []


async def test_files_that_would_burst_are_refused(room: Story, counter: Counter) -> None:
    for body in (a_bomb(), a_csv(*([["x"]] * 20_001)), a_csv(["x"] * 41)):
        answer = await counter.hand_in(body)
        assert (answer.status_code, answer.json()["code"]) == (422, "SHEET_TOO_LARGE")
    assert await rows(room.house, "SELECT 1 FROM bank_file") == []


async def test_the_template_is_a_file_without_lines(room: Story, counter: Counter) -> None:
    for ending in ("xlsx", "csv"):
        template = await counter.doors.send("GET", f"{FILES}/template.{ending}")
        assert (
            template.headers["content-disposition"] == f'attachment; filename="bank-file.{ending}"'
        )
        assert await counter.codes(template.content) == []


async def test_no_metric_counts_files_or_lines(room: Story, counter: Counter) -> None:
    await counter.hand_in(a_csv(a_row()))
    said_of: set[Any] = {
        sample.labels.get("route") for metric in REGISTRY.collect() for sample in metric.samples
    }
    assert not [route for route in said_of if route and route.startswith(FILES)]
