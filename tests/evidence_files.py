"""A sound file of evidence of one sale, and files that somebody has written otherwise."""

import zipfile
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import httpx
import pytest

from builders import MAC_KEY, Trust
from databases import LAND, Migrated, Package, fresh
from marketkit.db import Database
from marketkit.facts import Fact
from marketkit.inner import feed_routes
from marketkit.signing import canonical, sm3
from marketkit.web import create_app
from sale_story import Story, tell_all
from yaosu.evidence.archive import MANIFEST
from yaosu.evidence.check import Report, check
from yaosu.evidence.collect import Asker, Exported, export

Content = dict[str, bytes]


async def exported(house: Database, file: Path) -> Exported:
    trust = Trust.in_services(house)
    app = create_app(house, trust.verifier, "test", [feed_routes(MAC_KEY)])
    transport = httpx.ASGITransport(app)
    asker = Asker(house.signer, house.source)
    return await export(file, {"land": "http://land"}, asker, transports={"land": transport})


@pytest.fixture(scope="module")
async def evidence(
    migrated: Callable[[Package], Migrated], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Path]:
    """A sound file of one sale."""
    async with fresh(migrated(LAND)) as house:
        file = tmp_path_factory.mktemp("evidence") / "evidence.zip"
        await tell_all(house, Story().facts())
        await exported(house, file)
        yield file


async def told_otherwise(house: Database, file: Path, facts: Sequence[tuple[str, Fact]]) -> Report:
    """What is found when a service told, chained and signed these facts."""
    await tell_all(house, facts)
    await exported(house, file)
    return check(file)


def read(file: Path) -> Content:
    with zipfile.ZipFile(file) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def written(content: Content, folder: Path, *, resealed: bool = True) -> Path:
    """The content as a file, its manifest made to fit unless it shall not."""
    if resealed:
        files = {name: sm3(body).hex() for name, body in content.items() if name != MANIFEST}
        manifest = {"format": "yaosu-evidence/1", "files": files}
        content = content | {MANIFEST: canonical(manifest)}
    file = folder / "changed.zip"
    with zipfile.ZipFile(file, "w") as archive:
        for name, body in content.items():
            archive.writestr(name, body)
    return file


def faults(report: Report) -> str:
    return "\n".join(fault for finding in report.findings for fault in finding.faults)


def lines(body: bytes) -> list[bytes]:
    return body.splitlines(keepends=True)
