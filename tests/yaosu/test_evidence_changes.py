"""Whatever is changed in a file of evidence is found."""

import io
import os
import random
import zipfile
from pathlib import Path

import pytest

from evidence_files import Content, faults, lines, read, written
from yaosu.evidence.archive import MANIFEST
from yaosu.evidence.check import check


def edit(body: list[bytes], chance: random.Random) -> list[bytes]:
    at = chance.randrange(len(body))
    place = chance.randrange(len(body[at]) - 1)
    changed = bytearray(body[at])
    changed[place] = chance.choice([b for b in b"0123456789abcdef" if b != changed[place]])
    return [*body[:at], bytes(changed), *body[at + 1 :]]


def delete(body: list[bytes], chance: random.Random) -> list[bytes]:
    at = chance.randrange(len(body))
    return body[:at] + body[at + 1 :]


def insert(body: list[bytes], chance: random.Random) -> list[bytes]:
    at = chance.randrange(len(body) + 1)
    return [*body[:at], chance.choice(body), *body[at:]]


def swap(body: list[bytes], chance: random.Random) -> list[bytes]:
    left, right = chance.sample(range(len(body)), 2)
    changed = list(body)
    changed[left], changed[right] = body[right], body[left]
    return changed


def truncate(body: list[bytes], chance: random.Random) -> list[bytes]:
    return body[: chance.randrange(len(body))]


def cut(body: list[bytes], chance: random.Random) -> list[bytes]:
    whole = b"".join(body)
    return [whole[: chance.randrange(len(whole))]]


# 1,300 changes of a file in `./test`; by hand as many times as many.
TIMES = int(os.environ.get("YAOSU_MUTATIONS_TIMES", "1"))
MUTATIONS = (edit, delete, insert, swap, truncate, cut)


def mutated(content: Content, chance: random.Random) -> tuple[str, Content]:
    """One mutation of one member's lines; which, and what came of it."""
    while True:
        name = chance.choice(sorted(content.keys() - {MANIFEST}))
        mutation = chance.choice(MUTATIONS)
        body = lines(content[name])
        if len(body) < (2 if mutation is swap else 1):
            continue
        changed = b"".join(mutation(body, chance))
        if changed != content[name]:
            return f"{mutation.__name__} {name}", content | {name: changed}


class TestMutations:
    async def test_every_change_of_a_member_is_found(self, evidence: Path, tmp_path: Path) -> None:
        content = read(evidence)
        chance = random.Random(7)
        for _ in range(300 * TIMES):
            what, changed = mutated(content, chance)
            report = check(written(changed, tmp_path, resealed=False))
            assert not report.is_sound, what

    async def test_a_manifest_made_to_fit_hides_nothing(
        self, evidence: Path, tmp_path: Path
    ) -> None:
        content = read(evidence)
        chance = random.Random(11)
        for _ in range(600 * TIMES):
            what, changed = mutated(content, chance)
            if what == "truncate checkpoints.jsonl" or what == "delete checkpoints.jsonl":
                continue  # an earlier state, told by a checkpoint kept elsewhere: above
            assert not check(written(changed, tmp_path)).is_sound, what

    async def test_every_member_is_needed_and_none_may_be_added(
        self, evidence: Path, tmp_path: Path
    ) -> None:
        content = read(evidence)
        for name in content:
            kept = {other: body for other, body in content.items() if other != name}
            assert not check(written(kept, tmp_path, resealed=False)).is_sound, name
            if name != MANIFEST:
                assert not check(written(kept, tmp_path)).is_sound, name
        for name in ("events/land-index-6.jsonl", "sales/other.json"):
            assert not check(written(content | {name: b""}, tmp_path)).is_sound, name

    async def test_whatever_byte_of_the_file_is_changed_no_other_content_is_believed(
        self, evidence: Path, tmp_path: Path
    ) -> None:
        """A ZIP has bytes that say nothing of its members, such as their dates."""
        content, whole = read(evidence), evidence.read_bytes()
        chance = random.Random(13)
        file = tmp_path / "changed.zip"
        for _ in range(400 * TIMES):
            at = chance.randrange(len(whole))
            changed = bytes([whole[at] ^ 1 << chance.randrange(8)])
            file.write_bytes(whole[:at] + changed + whole[at + 1 :])
            if check(file).is_sound:
                assert read(file) == content, at

    async def test_a_file_cut_short_is_found(self, evidence: Path, tmp_path: Path) -> None:
        whole = evidence.read_bytes()
        file = tmp_path / "cut.zip"
        for length in range(0, len(whole), max(1, len(whole) // 100)):
            file.write_bytes(whole[:length])
            assert not check(file).is_sound

    @pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
    async def test_another_packing_is_not_read(
        self, evidence: Path, tmp_path: Path, method: int
    ) -> None:
        file = tmp_path / "packed.zip"
        with zipfile.ZipFile(file, "w", method) as archive:
            for name, body in read(evidence).items():
                archive.writestr(name, body)
        assert "压缩方式" in faults(check(file))

    async def test_a_name_twice_is_not_read(self, evidence: Path, tmp_path: Path) -> None:
        buffer = io.BytesIO(evidence.read_bytes())
        with (
            zipfile.ZipFile(buffer, "a") as archive,
            pytest.warns(UserWarning, match="Duplicate name"),
        ):
            archive.writestr(MANIFEST, b"{}")
        file = tmp_path / "twice.zip"
        file.write_bytes(buffer.getvalue())
        assert "重名" in faults(check(file))

    @pytest.mark.parametrize("body", [b"", b"PK", b"nothing of the kind"])
    async def test_another_file_is_said_to_be_none(self, tmp_path: Path, body: bytes) -> None:
        file = tmp_path / "other.zip"
        file.write_bytes(body)
        assert "不是可读取的证据文件" in faults(check(file))
        assert "不是可读取的证据文件" in faults(check(tmp_path / "missing.zip"))
