"""Writes deploy/grafana/dashboards/*.json; a test holds the committed files to it.

python deploy/grafana/dashboards.py
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

FOLDER = Path(__file__).parent / "dashboards"
WIDTH, HEIGHT = 12, 8
SOURCE = {"type": "prometheus", "uid": "prometheus"}


@dataclass(frozen=True)
class Panel:
    """One picture: what it asks, how the answer is named, whether anything but 0 is bad."""

    title: str
    expr: str
    legend: str
    unit: str = "short"
    kind: Literal["timeseries", "stat"] = "timeseries"
    is_alarm: bool = False


OVERVIEW = (
    Panel(
        "台账不平衡（须为0）",
        "max by (service, asset) (yaosu_ledger_imbalance)",
        "{{service}} {{asset}}",
        kind="stat",
        is_alarm=True,
    ),
    Panel(
        "来源日志矛盾（须为0）",
        "max by (service, source) (yaosu_inbox_forked)",
        "{{service}} ← {{source}}",
        kind="stat",
        is_alarm=True,
    ),
    Panel("进程在线", 'up{job="yaosu"}', "{{instance}}", kind="stat"),
    Panel(
        "上次核对的余额数",
        "max by (service) (yaosu_ledger_checked_balances)",
        "{{service}}",
        kind="stat",
    ),
    Panel(
        "请求",
        "sum by (service, status_class) "
        "(rate(yaosu_http_request_duration_seconds_count[$__rate_interval]))",
        "{{service}} {{status_class}}",
        "reqps",
    ),
    Panel(
        "响应时间 p99",
        "histogram_quantile(0.99, sum by (le, service) "
        "(rate(yaosu_http_request_duration_seconds_bucket[$__rate_interval])))",
        "{{service}}",
        "s",
    ),
    Panel(
        "内部错误（每小时）",
        "sum by (service) (increase(yaosu_http_unexpected_errors_total[1h]))",
        "{{service}}",
    ),
    Panel(
        "门户暂停转发（1 为暂停）",
        "max by (market) (yaosu_gateway_upstream_spared)",
        "{{market}}",
    ),
    Panel(
        "后台任务重启（每小时）",
        "sum by (service, task) (increase(yaosu_task_restarts_total[1h]))",
        "{{service}} {{task}}",
    ),
)

EVENTS = (
    Panel("尚未入链", "max by (service) (yaosu_outbox_unsequenced)", "{{service}}"),
    Panel(
        "距上次送清（秒）",
        "max by (service) (yaosu_outbox_oldest_unsent_seconds)",
        "{{service}}",
    ),
    Panel(
        "时钟调整（秒）",
        "max by (service) (yaosu_clock_offset_seconds)",
        "{{service}}",
    ),
    Panel(
        "版本",
        "count by (service, version) (yaosu_build_info)",
        "{{service}} {{version}}",
    ),
    Panel("尚未送达消息队列", "max by (service) (yaosu_outbox_unsent)", "{{service}}"),
    Panel(
        "消息队列不能接收（每小时）",
        "sum by (service) (increase(yaosu_outbox_unsendable_total[1h]))",
        "{{service}}",
    ),
    Panel(
        "尚未读取",
        "max by (service, source) (yaosu_inbox_lag_events)",
        "{{service}} ← {{source}}",
    ),
    Panel(
        "读取",
        "sum by (service, source) (rate(yaosu_inbox_applied_total[$__rate_interval]))",
        "{{service}} ← {{source}}",
    ),
    Panel(
        "搁置（应为0）",
        "max by (service, source) (yaosu_inbox_parked)",
        "{{service}} ← {{source}}",
        kind="stat",
        is_alarm=True,
    ),
    Panel(
        "不予采信（每小时）",
        "sum by (service, source, reason) (increase(yaosu_inbox_discarded_total[1h]))",
        "{{service}} ← {{source}} {{reason}}",
    ),
)

BOARDS: dict[str, tuple[str, Sequence[Panel]]] = {
    "overview": ("Yaosu 总览", OVERVIEW),
    "events": ("Yaosu 事件", EVENTS),
}


def board(uid: str, title: str, panels: Sequence[Panel]) -> dict[str, Any]:
    return {
        "uid": f"yaosu-{uid}",
        "title": title,
        "tags": ["yaosu"],
        "timezone": "Asia/Shanghai",
        "schemaVersion": 39,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "panels": [_panel(number, panel) for number, panel in enumerate(panels)],
    }


def _panel(number: int, panel: Panel) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if panel.is_alarm:
        steps.append({"color": "red", "value": 1})
    return {
        "id": number + 1,
        "type": panel.kind,
        "title": panel.title,
        "datasource": SOURCE,
        "gridPos": {
            "x": number % 2 * WIDTH,
            "y": number // 2 * HEIGHT,
            "w": WIDTH,
            "h": HEIGHT,
        },
        "fieldConfig": {
            "defaults": {
                "unit": panel.unit,
                "min": 0,
                "thresholds": {"mode": "absolute", "steps": steps},
            },
            "overrides": [],
        },
        "targets": [
            {
                "refId": "A",
                "datasource": SOURCE,
                "expr": panel.expr,
                "legendFormat": panel.legend,
            }
        ],
    }


def files() -> dict[str, str]:
    """Each file's name and what it says."""
    return {
        f"{uid}.json": json.dumps(board(uid, *told), ensure_ascii=False, indent=1) + "\n"
        for uid, told in BOARDS.items()
    }


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for old in FOLDER.glob("*.json"):
        old.unlink()
    for name, text in files().items():
        (FOLDER / name).write_text(text, "utf-8")


if __name__ == "__main__":
    main()
