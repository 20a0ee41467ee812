"""`yaosu verify`: what a file of evidence says of itself, derived once more. No network, no clock.

First that nothing was altered: digests, signatures, chains from the first event on. Only then what
it says: holdings as the sum of movements, results of sales out of terms, bids and seed.
"""

import contextlib
import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from marketkit.signing import ZERO, canonical, chain_after, key_id, unb64, verify
from marketkit.units import ASSET_UNITS
from yaosu.evidence.archive import (
    CHECKPOINTS,
    FORMAT,
    KEYS,
    MANIFEST,
    CheckpointBody,
    Damaged,
    HeadOut,
    Keys,
    Manifest,
    Reader,
    SignedLine,
    events_name,
    kind_of,
    read,
    readable,
    sale_name,
)
from yaosu.evidence.holdings import Holdings
from yaosu.evidence.sales import Stories, Story, faults_of

FAULTS_MAX = 20


class Finding(NamedTuple):
    """One thing that was checked: what was seen, and what is wrong with it."""

    what: str
    seen: str
    faults: tuple[str, ...]


@dataclass
class Report:
    """All that was checked, in order."""

    findings: list[Finding] = field(default_factory=list)

    @property
    def is_sound(self) -> bool:
        return not any(finding.faults for finding in self.findings)

    def note(self, what: str, look: Callable[[], tuple[str, list[str]]]) -> None:
        try:
            seen, faults = look()
        except Damaged as damage:
            seen, faults = "", [str(damage)]
        self.findings.append(Finding(what, seen, tuple(faults[:FAULTS_MAX])))


def check(file: Path, held: Path | None = None) -> Report:
    """What holds and what does not of a file of evidence.

    Args:
        held: Checkpoints kept elsewhere, one a line: they must lie on the file's chains too.
    """
    report = Report()
    try:
        reader = Reader(file)
    except Damaged as damage:
        report.findings.append(Finding("证据文件", "", (str(damage),)))
        return report
    with closing(reader):
        evidence = _Evidence(reader)
        report.note("清单与摘要（SM3）", evidence.manifest)
        report.note("公钥", evidence.read_keys)
        report.note("检查点签名（Ed25519）", evidence.read_checkpoints)
        if held is not None:
            report.note("另存的检查点", lambda: evidence.read_held(held))
        report.note("事件链（SM3，自零起）", evidence.chains)
        if report.is_sound:
            report.note("事件内容", evidence.read_events)
            report.note("持有量守恒", evidence.holdings_hold)
            report.note("交易摘要文件", evidence.sales_files)
        if report.is_sound:
            for story in evidence.stories.told():
                report.note(f"交易 {story.sale_id}", lambda s=story: _result(s))  # type: ignore[misc]  # a lambda's default binds the story
    return report


@dataclass
class _Evidence:
    reader: Reader
    keys: dict[tuple[str, str], bytes] = field(default_factory=dict)
    retired: dict[tuple[str, str], datetime | None] = field(default_factory=dict)
    # The last checkpoint of each service, and the chain that any of them says of a place in a log.
    last: dict[str, CheckpointBody] = field(default_factory=dict)
    wanted: defaultdict[tuple[str, int], dict[int, str]] = field(
        default_factory=lambda: defaultdict(dict)
    )
    holdings: Holdings = field(default_factory=Holdings)
    stories: Stories = field(default_factory=Stories)

    def manifest(self) -> tuple[str, list[str]]:
        body = self.reader.content(MANIFEST)
        said = read(Manifest, body, MANIFEST)
        faults = []
        if said.format != FORMAT or canonical(said.model_dump()) != body:
            faults.append("清单的格式不是本软件所写")
        there = self.reader.names - {MANIFEST}
        faults += [f"{name} 不在清单中" for name in sorted(there - said.files.keys())]
        faults += [f"缺少 {name}" for name in sorted(said.files.keys() - there)]
        faults += [
            f"{name} 的摘要与清单不符"
            for name, digest in said.files.items()
            if name in there and self.reader.digest(name) != digest
        ]
        return f"{len(said.files)} 个文件", faults

    def read_keys(self) -> tuple[str, list[str]]:
        body = self.reader.content(KEYS)
        keys = read(Keys, body, KEYS)
        faults = (
            []
            if canonical(keys.model_dump(mode="json")) == body
            else ["公钥文件的格式不是本软件所写"]
        )
        for key in keys.keys:
            try:
                self.keys[key.source, key.kid] = unb64(key.x)
                self.retired[key.source, key.kid] = key.valid_until
            except ValueError:
                faults.append(f"{key.source} 的公钥无法读取")
            else:
                if key_id(unb64(key.x)) != key.kid or len(unb64(key.x)) != 32:
                    faults.append(f"{key.source} 的公钥与其编号不符")
        faults += self._unsigned(keys)
        return "，".join(f"{source} {kid}" for source, kid in self.keys), faults

    def _unsigned(self, keys: Keys) -> list[str]:
        signed = {}
        for one in keys.signed:
            key = self.keys.get((one.source, one.kid))
            with contextlib.suppress(ValueError):
                signature = bytes.fromhex(one.signature)
                if key and verify(key, keys.said_by(one.source), signature):
                    signed[one.source] = one
        extra = [] if len(signed) == len(keys.signed) else ["公钥清单的签名无效或重复"]
        missing = sorted({key.source for key in keys.keys} - signed.keys())
        return extra + [f"{source} 的公钥清单没有签名" for source in missing]

    def read_checkpoints(self) -> tuple[str, list[str]]:
        faults: list[str] = []
        count, source, is_sorted = 0, "", True
        for number, line in enumerate(self.reader.lines(CHECKPOINTS), 1):
            signed = read(SignedLine, line, CHECKPOINTS)
            body = self._body(signed)
            count += 1
            if body is None or canonical(signed.model_dump()) != line:
                faults.append(f"第 {number} 个检查点的签名无效")
                continue
            # Not before its first day is not asked: a demonstration's clock goes back.
            until = self.retired[body.source, signed.kid]
            if until is not None and body.time > until:
                faults.append(f"第 {number} 个检查点签于其公钥停用之后")
            is_sorted = is_sorted and source <= body.source
            source = body.source
            faults += self._next(body)
        if not is_sorted:
            faults.append("检查点的次序有误")
        if not count:
            faults.append("没有检查点")
        return f"{count} 个，{len(self.last)} 个服务", faults

    def _next(self, body: CheckpointBody) -> list[str]:
        """Take a checkpoint in: no more are held than a service's last."""
        earlier = self.last.get(body.source)
        self.last[body.source] = body
        self._want(body)
        follows = earlier is None or _follows(earlier, body)
        return [] if follows else [f"{body.source} 的检查点倒退"]

    def _want(self, body: CheckpointBody) -> None:
        for head in body.heads:
            place = self.wanted[body.source, head.partition]
            # Of two that say otherwise one is wrong, and no chain is the empty one.
            is_said = place.setdefault(head.sequence, head.chain) == head.chain
            place[head.sequence] = head.chain if is_said else ""

    def _body(self, signed: SignedLine) -> CheckpointBody | None:
        """A checkpoint's body if its service signed it."""
        body = read(CheckpointBody, signed.body.encode(), CHECKPOINTS)
        key = self.keys.get((body.source, signed.kid))
        try:
            signature = bytes.fromhex(signed.signature)
        except ValueError:
            return None
        return body if key and verify(key, signed.body.encode(), signature) else None

    def read_held(self, file: Path) -> tuple[str, list[str]]:
        faults = []
        count = 0
        for number, line in enumerate(_lines_of(file), 1):
            body = self._body(line)
            if body is None:
                faults.append(f"第 {number} 个另存的检查点不是以文件中的公钥签署的")
            else:
                count += 1
                self._want(body)
        return f"{count} 个", faults

    def chains(self) -> tuple[str, list[str]]:
        faults: list[str] = []
        count = 0
        for (source, partition), chains in self.wanted.items():
            length, found = self._chain(events_name(source, partition), chains)
            faults += found
            count += length
            if length != _last_sequence(self.last.get(source), partition):
                faults.append(f"{events_name(source, partition)} 的条数与最后的检查点不符")
        expected = {events_name(*place) for place in self.wanted}
        extra = {name for name in self.reader.names if name.startswith("events/")} - expected
        return f"{count} 个事件", faults + [f"{name} 没有检查点" for name in sorted(extra)]

    def _chain(self, name: str, wanted: dict[int, str]) -> tuple[int, list[str]]:
        chain, sequence = ZERO, 0
        wrong = [] if wanted.get(0, ZERO.hex()) == ZERO.hex() else [0]
        for line in self.reader.lines(name):
            chain = chain_after(chain, line)
            sequence += 1
            if sequence in wanted and wanted[sequence] != chain.hex():
                wrong.append(sequence)
        wrong += sorted(at for at in wanted if at > sequence)
        return sequence, [f"{name} 第 {at} 条处的链值与签名的检查点不符" for at in wrong]

    def read_events(self) -> tuple[str, list[str]]:
        counts: defaultdict[str, int] = defaultdict(int)
        for source, name, line in self._event_lines():
            try:
                event = json.loads(line)
                kind = kind_of(event)
                self.holdings.take(kind, event["id"], event["data"])
                self.stories.take(source, kind, event)
            except (ValueError, KeyError, TypeError, RecursionError) as error:
                raise Damaged(f"{name} 有无法读取的事件（{type(error).__name__}）") from None
            counts[kind] += 1
        return f"{sum(counts.values())} 个，{len(counts)} 种", []

    def _event_lines(self) -> Iterator[tuple[str, str, bytes]]:
        for source, last in self.last.items():
            for head in last.heads:
                name = events_name(source, head.partition)
                for line in self.reader.lines(name):
                    yield source, name, line

    def holdings_hold(self) -> tuple[str, list[str]]:
        holdings = self.holdings
        faults = [*holdings.faults, *holdings.overdrawn()]
        faults += [f"账户 {account} 未开立而有变动" for account in sorted(holdings.unopened())]
        sums = holdings.sums()
        faults += [
            f"{asset} 合计 {ASSET_UNITS[asset].format(excess)}，应为 0"
            for asset, excess in sums.items()
            if excess
        ]
        seen = "，".join(f"{asset} 合计 0" for asset in sums if not sums[asset])
        return f"{holdings.movement_count} 笔变动，{seen}", faults

    def sales_files(self) -> tuple[str, list[str]]:
        stories = list(self.stories.told())
        expected = {sale_name(story.sale_id): story for story in stories}
        there = {name for name in self.reader.names if name.startswith("sales/")}
        faults = [f"{name} 多余或缺失" for name in sorted(there ^ expected.keys())]
        faults += [
            f"{name} 与事件所述不符"
            for name, story in expected.items()
            if name in there and self.reader.content(name) != readable(story.document())
        ]
        return f"{len(stories)} 场交易", faults


def _result(story: Story) -> tuple[str, list[str]]:
    result = story.cleared
    if result is None:
        seen = f"未成交（{story.failed.reason}）" if story.failed else "尚无结果"
    else:
        price = result.model_dump(mode="json")["clearing_price_yuan"]
        at = f"，成交价 {price} 元" if price else ""
        seen = f"{len(story.bids)} 份报价，成交 {result.sold}{at}，重算一致"
    return seen, list(faults_of(story))


def _heads(body: CheckpointBody) -> dict[int, HeadOut]:
    return {head.partition: head for head in body.heads}


def _follows(earlier: CheckpointBody, later: CheckpointBody) -> bool:
    """Whether a service may have signed one after the other: logs grow, clocks go on."""
    before, after = _heads(earlier), _heads(later)
    # Only a clock that nothing was told by yet may be set back.
    has_begun = any(head.sequence for head in earlier.heads)
    return (
        earlier.epoch <= later.epoch
        and (earlier.time < later.time or not has_begun)
        and before.keys() <= after.keys()
        and all(head.sequence <= after[number].sequence for number, head in before.items())
    )


def _last_sequence(last: CheckpointBody | None, partition: int) -> int:
    head = _heads(last).get(partition) if last else None
    return head.sequence if head else 0


def _lines_of(file: Path) -> Iterator[SignedLine]:
    try:
        with file.open("rb") as lines:
            for line in lines:
                said = json.loads(line)
                yield SignedLine(**{name: said[name] for name in ("body", "kid", "signature")})
    except (OSError, ValueError, KeyError, TypeError):
        raise Damaged("另存的检查点无法读取") from None
