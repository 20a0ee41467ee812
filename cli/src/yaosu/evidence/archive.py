"""The file of evidence: a ZIP of a few members, each named with its SM3 in the manifest."""

import hashlib
import io
import json
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, TypeVar

from pydantic import Field, ValidationError

from marketkit.outbox import EVENT_BYTES_MAX
from marketkit.signing import canonical
from marketkit.units import Form, Instant

FORMAT = "yaosu-evidence/1"
MANIFEST = "manifest.json"
KEYS = "keys.json"
CHECKPOINTS = "checkpoints.jsonl"
MEMBER_BYTES_MAX = 64 * 1024 * 1024

_ZIP_FAULTS = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    OSError,
    RuntimeError,
    ValueError,
    KeyError,
)


F = TypeVar("F", bound=Form)


class Damaged(Exception):
    """The file cannot be read as evidence; says in Chinese what of it."""


class Manifest(Form):
    """Every other member and its SM3."""

    format: str
    files: dict[str, str]


class PublicKey(Form):
    """A service's key: what it signed is checked with it, also after another took its place."""

    source: str
    kid: str
    x: str
    valid_from: Instant
    valid_until: Instant | None


class KeysSignature(Form):
    """A service's word for its keys, by the one it signed with then."""

    source: str
    kid: str
    signature: str


class Keys(Form):
    keys: list[PublicKey]
    signed: list[KeysSignature]

    def said_by(self, source: str) -> bytes:
        """What the service signed: its keys as it tells them."""
        own = (key for key in self.keys if key.source == source)
        return canonical(
            [{"alg": "Ed25519", **key.model_dump(mode="json", exclude={"source"})} for key in own]
        )


class SignedLine(Form):
    """A checkpoint as its service keeps it: the signed body verbatim."""

    body: str
    kid: str
    signature: str


class HeadOut(Form):
    partition: int
    sequence: int = Field(ge=0)
    chain: str


class CheckpointBody(Form):
    """How far a service's log reached at an instant."""

    source: str
    epoch: int
    time: Instant
    heads: list[HeadOut]


def events_name(source: str, partition: int) -> str:
    """The member that holds one partition of a service's log."""
    return f"events/{source.rpartition('/')[2]}-{partition}.jsonl"


def sale_name(sale_id: str) -> str:
    return f"sales/{sale_id}.json"


def kind_of(event: Mapping[str, Any]) -> str:
    """What an event is, whichever market told it: `sale.announced` of `yaosu.energy.….v1`."""
    return ".".join(str(event["type"]).split(".")[2:-1])


def readable(document: object) -> bytes:
    """JSON for people: one form for one document, so that it can be compared byte by byte."""
    text = json.dumps(document, ensure_ascii=False, indent=1, sort_keys=True)
    return text.encode() + b"\n"


@dataclass
class Writer:
    """Writes members and, at the end, the manifest of them."""

    archive: zipfile.ZipFile
    files: dict[str, str] = field(default_factory=dict)

    @contextmanager
    def member(self, name: str) -> Iterator[Callable[[bytes], None]]:
        """What is given to the function inside goes into the member of this name."""
        digest = hashlib.new("sm3")
        with self.archive.open(_member(name), "w", force_zip64=True) as out:

            def write(chunk: bytes) -> None:
                digest.update(chunk)
                out.write(chunk)

            yield write
        self.files[name] = digest.hexdigest()

    def add(self, name: str, content: bytes) -> None:
        with self.member(name) as write:
            write(content)

    def finish(self) -> None:
        manifest = Manifest(format=FORMAT, files=self.files)
        self.archive.writestr(_member(MANIFEST), canonical(manifest.model_dump()))


def _member(name: str) -> zipfile.ZipInfo:
    # No time and no account of the machine that exported: the same facts are the same file.
    member = zipfile.ZipInfo(name)
    member.compress_type = zipfile.ZIP_DEFLATED
    member.external_attr = 0o644 << 16
    return member


class Reader:
    """Reads members of a file nobody vouches for.

    Raises:
        Damaged: From every method, whatever is wrong with the file.
    """

    def __init__(self, file: Path) -> None:
        try:
            self._archive = zipfile.ZipFile(file)
            members = self._archive.infolist()
        except _ZIP_FAULTS:
            raise Damaged("不是可读取的证据文件（ZIP）") from None
        self.names = {member.filename for member in members}
        if len(self.names) != len(members):
            raise Damaged("文件中有重名成员")
        # Only what we write: other methods of packing are other programs' faults to meet.
        packed = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
        if any(m.compress_type not in packed or m.flag_bits & 1 for m in members):
            raise Damaged("成员的压缩方式不受支持")

    def close(self) -> None:
        self._archive.close()

    def digest(self, name: str) -> str:
        digest = hashlib.new("sm3")
        for chunk in self._chunks(name):
            digest.update(chunk)
        return digest.hexdigest()

    def content(self, name: str) -> bytes:
        """A whole member of moderate size."""
        content = b""
        for chunk in self._chunks(name):
            content += chunk
            if len(content) > MEMBER_BYTES_MAX:
                raise Damaged(f"{name} 过大")
        return content

    def lines(self, name: str) -> Iterator[bytes]:
        """A member's lines without their ends, none longer than an event can be."""
        try:
            with self._open(name) as member, _buffered(member) as reader:
                while line := reader.readline(EVENT_BYTES_MAX + 2):
                    if not line.endswith(b"\n"):
                        raise Damaged(f"{name} 有不完整或过长的行")
                    yield line[:-1]
        except _ZIP_FAULTS:
            raise Damaged(f"{name} 无法读取") from None

    def _chunks(self, name: str) -> Iterator[bytes]:
        try:
            with self._open(name) as member:
                while chunk := member.read(1 << 20):
                    yield chunk
        except _ZIP_FAULTS:
            raise Damaged(f"{name} 无法读取") from None

    def _open(self, name: str) -> IO[bytes]:
        if name not in self.names:
            raise Damaged(f"缺少 {name}")
        return self._archive.open(name)


def _buffered(member: IO[bytes]) -> io.BufferedReader:
    assert isinstance(member, io.BufferedIOBase)
    return io.BufferedReader(member)


def read(form: type[F], body: bytes, name: str) -> F:
    """A document of this form.

    Raises:
        Damaged: It is another.
    """
    try:
        return form.model_validate_json(body)
    except ValidationError:
        raise Damaged(f"{name} 内容有误") from None
