"""`yaosu verify`: a file of evidence checked offline, and what came of it as a table."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from yaosu import screen
from yaosu.evidence.check import Report, check


def verify(
    file: Annotated[Path, typer.Argument(help="证据文件（ZIP）")],
    checkpoint: Annotated[
        Path | None, typer.Option(help="另行保存的检查点，每行一个，须在文件的链上")
    ] = None,
) -> None:
    """离线核验证据：摘要、事件链、签名、持有量守恒与每场交易的结果。"""
    report = check(file, checkpoint)
    screen.console().print(table_of(report, file.name))
    if not report.is_sound:
        raise typer.Exit(1)


def table_of(report: Report, name: str) -> Table:
    """What was checked and what came of it."""
    verdict = "一致" if report.is_sound else "不一致，不可采信"
    table = Table(title=f"核验 {escape(name)}：{verdict}", title_justify="left")
    for heading in ("核验项", "结果", "说明"):
        table.add_column(heading, overflow="fold")
    for finding in report.findings:
        mark = "[red]✗[/red]" if finding.faults else "[green]✓[/green]"
        said = "\n".join(finding.faults) if finding.faults else finding.seen
        table.add_row(escape(finding.what), mark, escape(said))
    return table
