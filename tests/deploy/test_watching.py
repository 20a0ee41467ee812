"""Alerts and dashboards ask for metrics that exist, and each alert leads to its runbook."""

import ast
import re
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from deploy.programs import program
from tidy.pages import anchors, section
from tidy.tree import ROOT, parsed, sources

OPERATIONS = ROOT / "docs" / "operations.md"
CHINESE = re.compile(r"[\u4e00-\u9fff]")
# A histogram is asked for by its parts.
PARTS = ("", "_bucket", "_count", "_sum")


@cache
def alerts() -> list[dict[str, Any]]:
    rules = yaml.safe_load((ROOT / "deploy/prometheus/rules.yml").read_text("utf-8"))
    return [alert for group in rules["groups"] for alert in group["rules"]]


@cache
def metrics() -> set[str]:
    """Names under which a metric of the code may be asked for."""
    found = {"up"}
    for file in sources():
        for node in ast.walk(parsed(file)):
            if (
                isinstance(node, ast.Call)
                and ast.unparse(node.func) in {"Counter", "Gauge", "Histogram"}
                and isinstance(node.args[0], ast.Constant)
            ):
                name = str(node.args[0].value)
                is_parted = ast.unparse(node.func) == "Histogram"
                found |= {name + part for part in PARTS} if is_parted else {name}
    return found


def dashboards() -> ModuleType:
    return program("grafana", "dashboards.py")


def asked_by(expr: str) -> set[str]:
    return set(re.findall(r"\b(?:yaosu_\w+|up)\b", expr))


def test_there_are_alerts() -> None:
    assert len(alerts()) >= 8


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert["alert"])
def test_an_alert_asks_for_a_metric_there_is_and_leads_to_its_runbook(
    alert: dict[str, Any],
) -> None:
    assert re.fullmatch(r"Yaosu[A-Za-z]+", alert["alert"])
    assert asked_by(alert["expr"])
    assert asked_by(alert["expr"]) <= metrics()
    assert alert["labels"]["severity"] in {"page", "ticket"}
    assert CHINESE.search(alert["annotations"]["summary"])
    page, _, anchor = alert["annotations"]["runbook"].partition("#")
    assert ROOT / page.strip("/") == OPERATIONS
    assert anchor in anchors(OPERATIONS)


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert["alert"])
def test_the_runbook_of_an_alert_names_it(alert: dict[str, Any]) -> None:
    anchor = alert["annotations"]["runbook"].partition("#")[2]
    heading = anchor.replace("-", " ").capitalize()
    told = section(OPERATIONS, heading)
    assert f"`{alert['alert']}` · {alert['labels']['severity']}." in told


def test_the_dashboards_are_those_their_program_writes() -> None:
    written: dict[str, str] = dashboards().files()
    folder: Path = dashboards().FOLDER
    assert {file.name: file.read_text("utf-8") for file in folder.iterdir()} == written


def test_every_panel_asks_for_a_metric_there_is() -> None:
    panels = [panel for _, told in dashboards().BOARDS.values() for panel in told]
    assert panels
    for panel in panels:
        assert asked_by(panel.expr), panel.title
        assert asked_by(panel.expr) <= metrics(), panel.title


def test_every_metric_is_on_a_dashboard() -> None:
    panels = [panel for _, told in dashboards().BOARDS.values() for panel in told]
    shown = {name for panel in panels for name in asked_by(panel.expr)}
    families = {re.sub(r"_(bucket|count|sum)$", "", name) for name in metrics()}
    assert {re.sub(r"_(bucket|count|sum)$", "", name) for name in shown} == families
