"""Each command of a sale tells one fact of one registration or sale; nothing else tells it."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

from lab.findings import Findings
from lab.history import Call

# What each kind of call tells of whom its answer names.
TELLS = {
    "announce": "sale.announced",
    "qualify": "sale.qualified",
    "deposit": "sale.deposit_confirmed",
    "confirm": "sale.confirmed",
    "sign": "sale.contract_signed",
    "payment": "payment.recorded",
    "deliver": "quota.credited",
    "archive": "sale.archived",
}


def judge_tellings(
    calls: Iterable[Call], events: Iterable[dict[str, Any]], findings: Findings
) -> None:
    """Hold what was answered against what stands in the log, as often."""
    answered = Counter(
        (TELLS[call.kind], _whom(call.document()))
        for call in calls
        if call.kind in TELLS and call.is_done
    )
    facts = ((_kind(event), event) for event in events)
    told = Counter(
        (kind, event["data"].get("registration_id", event["subject"]))
        for kind, event in facts
        if kind in TELLS.values()
    )
    for fact, times in (answered - told).items():
        findings.fault("G1", f"{fact}: {times} answered, and not told")
    for fact, times in (told - answered).items():
        findings.fault("G8", f"{fact}: told {times} times more than answered")
    findings.figures["tellings_judged"] = answered.total()
    findings.figures["told_twice"] = (told - answered).total()


def _whom(answer: dict[str, Any]) -> str:
    return str(answer.get("registration_id") or answer["sale_id"])


def _kind(event: dict[str, Any]) -> str:
    # yaosu.<market>.<kind>.v<version>
    return ".".join(event["type"].split(".")[2:-1])
