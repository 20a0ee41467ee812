"""A service signs a million checkpoints a year: no more than a page of them is held at a time."""

import json
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from builders import MAC_KEY, Trust, a_signer
from databases import rows
from evidence_files import exported, faults, lines, read, written
from marketkit.checkpoint import sign_checkpoint
from marketkit.db import Database
from marketkit.inner import feed_routes
from marketkit.signing import canonical
from marketkit.web import create_app
from sale_story import Story, tell_all
from yaosu.evidence.archive import CHECKPOINTS
from yaosu.evidence.check import check
from yaosu.evidence.collect import Asker, CannotExport, export

COUNT = 5_000
# Held whole, so many are 8 MB as their owner signed them and 50 MB as they are read.
HELD_BYTES_MAX = 6_000_000


async def sign_many(house: Database, count: int = COUNT) -> None:
    """The same checkpoint as often, before anything is told."""
    await house.run(sign_checkpoint, "worker")
    again = (
        "INSERT INTO checkpoint (body, kid, signature) "
        "SELECT body, kid, signature FROM checkpoint, generate_series(2, :count)"
    )
    await rows(house, again, count=count)


@contextmanager
def few_held() -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < HELD_BYTES_MAX


async def test_neither_an_export_nor_its_check_holds_many(
    kit_house: Database, tmp_path: Path
) -> None:
    file = tmp_path / "evidence.zip"
    await sign_many(kit_house)
    await tell_all(kit_house, Story().facts())
    # What is imported late, or kept from a first time on, is not held.
    await exported(kit_house, file)
    with few_held():
        await exported(kit_house, file)
    held = tmp_path / "held.jsonl"
    held.write_bytes(read(file)[CHECKPOINTS])
    with few_held():
        report = check(file, held)
    assert faults(report) == ""
    assert f"{COUNT + 2} 个" in [finding.seen for finding in report.findings]


async def three_signed(house: Database, folder: Path) -> Path:
    """A file of evidence with three checkpoints, told facts before the last."""
    file = folder / "evidence.zip"
    await tell_all(house, Story().facts())
    await house.run(sign_checkpoint, "worker")
    await exported(house, file)
    return file


async def test_a_checkpoint_signed_back_and_forth_is_found(
    kit_house: Database, tmp_path: Path
) -> None:
    file = await three_signed(kit_house, tmp_path)
    content = read(file)
    first, second, third = lines(content[CHECKPOINTS])
    for order in ((second, first, third), (first, third, second)):
        changed = written(content | {CHECKPOINTS: b"".join(order)}, tmp_path)
        assert "检查点倒退" in faults(check(changed))


@pytest.mark.parametrize("is_held", [False, True], ids=["in the file", "kept elsewhere"])
@pytest.mark.parametrize("is_later", [False, True], ids=["before the true one", "after it"])
async def test_two_chains_signed_for_one_place_are_found(
    kit_house: Database, tmp_path: Path, is_held: bool, is_later: bool
) -> None:
    file = await three_signed(kit_house, tmp_path)
    content = read(file)
    first, second, third = lines(content[CHECKPOINTS])
    line, other = (third, second) if is_later else (second, third)
    body = json.loads(json.loads(line)["body"])
    for head in body["heads"]:
        head["chain"] = "11" * 32
    text = canonical(body)
    signature = kit_house.signer.sign(text).hex()
    said = json.loads(line) | {"body": text.decode(), "signature": signature}
    forged = canonical(said) + b"\n"
    held = tmp_path / "held.jsonl"
    held.write_bytes(forged)
    order = [first, forged, other] if not is_later else [first, other, forged]
    changed = file if is_held else written(content | {CHECKPOINTS: b"".join(order)}, tmp_path)
    assert "处的链值与签名的检查点不符" in faults(check(changed, held if is_held else None))


@dataclass
class Turning(httpx.AsyncBaseTransport):
    """A service that signs with another key after its first page of checkpoints, or is gone."""

    before: Database
    after: Database | None

    def __post_init__(self) -> None:
        self._house = self.before

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        is_more = request.url.path == "/v1/checkpoints" and request.url.params["after"] != "0"
        if is_more and self.after is None:
            raise httpx.ConnectError("down")
        if is_more and self.after is not None and self._house is self.before:
            self._house = self.after
            await self.after.run(sign_checkpoint, "worker")
        verifier = Trust.in_services(self.before).verifier
        app = create_app(self._house, verifier, "test", [feed_routes(MAC_KEY)])
        return await httpx.ASGITransport(app).handle_async_request(request)


async def exported_turning(house: Database, after: Database | None, file: Path) -> None:
    asker = Asker(house.signer, house.source)
    transports = {"land": Turning(house, after)}
    await export(file, {"land": "http://land"}, asker, transports=transports)


async def test_a_key_replaced_while_checkpoints_are_read_is_in_the_file(
    kit_house: Database, tmp_path: Path
) -> None:
    rotated = Database(kit_house.url, kit_house.source, kit_house.market, a_signer())
    await tell_all(kit_house, Story().facts())
    file = tmp_path / "rotated.zip"
    await exported_turning(kit_house, rotated, file)
    kids = [json.loads(line)["kid"] for line in lines(read(file)[CHECKPOINTS])]
    assert kids[-1] == rotated.signer.kid
    assert faults(check(file)) == ""
    await rotated.close()


async def test_a_service_that_goes_away_midway_is_said(kit_house: Database, tmp_path: Path) -> None:
    await tell_all(kit_house, Story().facts())
    file = tmp_path / "evidence.zip"
    with pytest.raises(CannotExport, match="land 未答复"):
        await exported_turning(kit_house, None, file)
    assert not file.exists()
