import json
import logging

import pytest
from pydantic import ValidationError
from sqlalchemy.exc import DBAPIError

from databases import rows
from marketkit import logs
from marketkit.db import Database
from marketkit.units import Form
from real_logs import real_logs

CANARY = "金丝雀-7319"


class Slip(Form):
    price_fen: int


def test_a_line_is_one_json_object_whoever_wrote_it(capsys: pytest.CaptureFixture[str]) -> None:
    with real_logs():
        logs.log.info("said", name="煤\n\x1b[31mred", at_count=1)
        logging.getLogger("a.library").warning("theirs %s", "x")
        logging.getLogger("httpx").info("GET /v1/sales?secret=1")
    first, second = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert first["ts"].endswith("Z")
    assert (first["event"], first["level"], first["service"]) == ("said", "info", "toy")
    assert first["name"] == "煤\n\x1b[31mred"
    assert (second["event"], second["level"], second["env"]) == ("theirs x", "warning", "test")


class Gone:
    """Standard output whose reader has gone."""

    def write(self, text: str) -> int:
        raise BrokenPipeError

    def flush(self) -> None:
        raise ValueError("closed")


def test_nobody_fails_because_nobody_reads_its_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    with real_logs(), monkeypatch.context() as patch:
        patch.setattr("sys.stdout", Gone())
        logs.log.info("said")


def test_row_54_no_field_breaks_or_colours_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    with real_logs():
        logs.log.info("said", name='a\n{"event":"forged"}\r\x1b[2J\x00')
    written = capsys.readouterr().out
    assert written.count("\n") == 1
    assert not any(mark in written for mark in ("\r", "\x1b", "\x00"))


async def test_a_stack_says_where_and_why_but_quotes_no_value(
    kit_house: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    async def quote() -> None:
        try:
            await rows(kit_house, "SELECT CAST(:said AS int)", said=CANARY)
        except DBAPIError as error:
            raise LookupError("the code's own words") from error

    with real_logs():
        try:
            await quote()
        except LookupError as error:
            logs.log.error("failed", exc_info=error)
        try:
            Slip.model_validate({"price_fen": CANARY})
        except ValidationError as error:
            logs.log.error("failed", exc_info=error)
    written = capsys.readouterr().out
    assert CANARY not in written
    first, second = (json.loads(line)["exception"] for line in written.splitlines())
    causes = ["InvalidTextRepresentation: 22P02", "LookupError: the code's own words"]
    places = [first.index(cause) for cause in causes]
    assert places == sorted(places)
    assert 'test_logs.py", line' in first
    assert "in quote" in first
    assert second.endswith("ValidationError: ")
