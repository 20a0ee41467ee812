"""What a run must have done and looked at: where nothing happened, nothing was shown."""

import asyncio
from collections.abc import Iterable, Mapping

from lab.findings import Findings

# The lab's own fault, no guarantee's: no plant counts as caught by it.
LAB = "LAB"
# Of every run that is judged, however short.
LOOKED = (
    "answered_writes",
    "balances",
    "bids_judged",
    "bytes_scanned",
    "canaries_sought",
    "canaries_seen_in_files",
    "canaries_seen_in_rows",
    "closings",
    "events",
    "isolation_probes",
    "samples",
    "tellings_judged",
    "verified_events",
    "verified_results",
    "wire_records",
)


def watched_on(watchers: Iterable["asyncio.Task[None]"], findings: Findings) -> None:
    """Find fault with who should have looked until now and has ended: it saw no more since."""
    for watcher in watchers:
        if watcher.done():
            why = "cancelled" if watcher.cancelled() else repr(watcher.exception())
            findings.fault(LAB, f"{watcher.get_name()} looks no more: {why}")


def judge_enough(findings: Findings, least: Mapping[str, int], share: float) -> None:
    """Find fault with a run that did or saw too little.

    Args:
        findings: What it found; its figures are judged.
        least: What a run of its plan's whole length must reach.
        share: Which part of that length this run had.
    """
    figures = findings.figures
    wanted = dict.fromkeys(LOOKED, 1)
    wanted |= {name: int(number * min(1.0, share)) for name, number in least.items()}
    for name, number in wanted.items():
        if (found := figures.get(name, 0)) < number:
            findings.fault(LAB, f"{name.replace('_', ' ')}: {found}, and {number} are wanted")
    if figures.get("samples_missed", 0) > figures.get("samples", 0):
        findings.fault(LAB, f"{figures['samples_missed']} samples were missed, most of them")
