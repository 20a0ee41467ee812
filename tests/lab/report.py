"""A run's report for people: figures, each fault in a line, and the command that repeats it."""

import json
from pathlib import Path
from typing import Any


def table(report: dict[str, Any]) -> str:
    """The whole report as text."""
    head = f"plan {report['plan']}, seed {report['seed']}, {report['minutes']} min"
    if report["plants"]:
        head += f", planted {', '.join(report['plants'])}"
    lines = [head, ""]
    for name, value in sorted(report["figures"].items()):
        shown = value if not isinstance(value, dict) else _counts(value)
        lines.append(f"  {name.replace('_', ' '):26} {shown}")
    lines.append(f"  {'answers by status':26} {_counts(report['statuses'])}")
    lines.append("")
    for guarantee, faults in sorted(report["faults"].items()):
        lines += [f"RED {guarantee}: {fault}" for fault in faults[:5]]
        if len(faults) > 5:
            lines.append(f"RED {guarantee}: and {len(faults) - 5} more")
    lines.append("RED" if report["is_red"] else "GREEN")
    lines.append(f"again: {report['replay']}")
    return "\n".join(lines)


def write(report: dict[str, Any], file: Path) -> None:
    file.write_text(json.dumps(report, ensure_ascii=False, indent=1) + "\n")


def _counts(counts: dict[str, Any]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items())
