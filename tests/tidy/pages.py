"""The documents as these tests read them: headings, links, what stands in code marks."""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tidy.tree import ROOT

_FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^(#+) (.+)$", re.MULTILINE)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_CODE = re.compile(r"`([^`\n]+)`")


@cache
def pages() -> tuple[Path, ...]:
    """Every page of ours."""
    folders = (ROOT / "docs", ROOT / "services", ROOT / "libs", ROOT / "deploy")
    inner = (page for folder in folders for page in folder.rglob("*.md"))
    return tuple(sorted([*ROOT.glob("*.md"), *inner]))


@cache
def text_of(page: Path) -> str:
    return _FENCE.sub("", page.read_text("utf-8"))


def slug(heading: str) -> str:
    """The anchor a heading gets where pages are shown."""
    kept = re.sub(r"[^\w\- ]", "", heading.strip().lower())
    return kept.replace(" ", "-")


def anchors(page: Path) -> set[str]:
    return {slug(heading) for _, heading in _HEADING.findall(text_of(page))}


def links(page: Path) -> Iterator[str]:
    yield from _LINK.findall(text_of(page))


def section(page: Path, heading: str) -> str:
    """What stands under a heading, up to the next one of its rank; empty if there is none."""
    found = list(_HEADING.finditer(text_of(page)))
    for at, start in enumerate(found):
        if start[2] == heading:
            ends = [h.start() for h in found[at + 1 :] if len(h[1]) <= len(start[1])]
            return text_of(page)[start.end() : min(ends, default=None)]
    return ""


def coded(text: str) -> list[str]:
    """What stands in code marks."""
    return _CODE.findall(text)


def first_cells(text: str) -> list[str]:
    """What stands in code marks in the first column of the tables of a text."""
    rows = (line for line in text.splitlines() if line.startswith("| `"))
    return [name for row in rows for name in coded(row.split("|")[1])]
