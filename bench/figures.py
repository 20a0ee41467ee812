"""A figure: what was measured, beside what, and whether the goal was met."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Figure:
    """One line of the table. `met` is None where there is no goal but the figure itself."""

    work: str
    ours: str
    beside: str
    ratio: str
    goal: str
    met: bool | None


def table(figures: Sequence[Figure]) -> str:
    """The figures in Markdown."""
    head = "| work | ours | beside, in the same run | ratio | goal | |\n|---|---|---|---|---|---|"
    signs = {True: "met", False: "**missed**", None: ""}
    lines = [
        f"| {one.work} | {one.ours} | {one.beside} | {one.ratio} | {one.goal} | {signs[one.met]} |"
        for one in figures
    ]
    return "\n".join([head, *lines])


def spread(values: Sequence[float]) -> str:
    """Median (least-most)."""
    return f"{median(values):.2f} ({min(values):.2f}-{max(values):.2f})"
