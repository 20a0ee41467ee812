"""What was asked of the house and what it answered: on disk, synced, before anything is sent."""

import json
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


class Broken(Exception):
    """A promise that the workload itself sees broken: it cannot go on from there."""

    def __init__(self, guarantee: str, what: str) -> None:
        super().__init__(what)
        self.guarantee = guarantee


@dataclass
class Call:
    """One command under one key, and every settled answer it got, by whichever door."""

    kind: str
    key: str
    principal: str
    path: str
    body: bytes
    sent_at: float = 0.0
    settled_at: float = 0.0
    status: int = 0
    answer: bytes = b""
    tries: int = 0
    unknown_since: float = 0.0
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def is_settled(self) -> bool:
        return self.status != 0

    @property
    def is_done(self) -> bool:
        return 200 <= self.status < 300

    def document(self) -> dict[str, Any]:
        """What was answered.

        Raises:
            Broken: Nothing was, for a minute.
        """
        if not self.is_settled:
            raise Broken("G1", f"no answer in a minute: {self.kind} {self.key}")
        found: dict[str, Any] = json.loads(self.answer)
        return found

    @property
    def code(self) -> str:
        return "" if self.is_done or not self.answer else str(self.document().get("code", ""))


class History:
    """The lab's own log: one JSON line for each attempt and each answer, synced as written."""

    def __init__(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        self._handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self.calls: dict[tuple[str, str], Call] = {}
        self.mismatches: list[str] = []
        self.statuses: dict[int, int] = {}
        self.unknown_s_max = 0.0
        self.unexpected: list[str] = []
        # What calls were answered that are to be asked again.
        self.turned_away: list[bytes] = []

    def close(self) -> None:
        os.close(self._handle)

    def begin(self, call: Call) -> Call:
        """The call of this key; what was first said under it is what is sent."""
        return self.calls.setdefault((call.principal, call.key), call)

    def invoke(self, call: Call) -> None:
        call.tries += 1
        call.sent_at = call.sent_at or time.time()
        self._write({"invoke": call.key, "by": call.principal, "path": call.path, "n": call.tries})

    def unknown(self, call: Call, why: str, body: bytes = b"") -> None:
        if body:
            self.turned_away.append(body)
        call.unknown_since = call.unknown_since or time.monotonic()
        self._write({"unknown": call.key, "why": why})

    def settle(self, call: Call, status: int, answer: bytes) -> None:
        """Note an answer for good; another than the first is a fault of the house."""
        self._write(
            {"answer": call.key, "status": status, "body": answer.decode("utf-8", "replace")}
        )
        self.statuses[status] = self.statuses.get(status, 0) + 1
        if call.is_settled:
            if (call.status, call.answer) != (status, answer):
                self.mismatches.append(
                    f"{call.kind} {call.key}: {call.status} {call.answer[:200]!r}, "
                    f"then {status} {answer[:200]!r}"
                )
            return
        call.status, call.answer, call.settled_at = status, answer, time.time()
        if call.unknown_since:
            unknown_s = time.monotonic() - call.unknown_since
            self.unknown_s_max = max(self.unknown_s_max, unknown_s)

    def note(self, **said: Any) -> None:
        self._write(said)

    def _write(self, line: dict[str, Any]) -> None:
        text = json.dumps({"at": round(time.time(), 6), **line}, ensure_ascii=False)
        os.write(self._handle, text.encode() + b"\n")
        os.fdatasync(self._handle)
