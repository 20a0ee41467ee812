"""Where a house on this machine answers, for commands that come later."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from yaosu.client import Stopped
from yaosu.keys import Keys

FILE = "addresses.json"


class NotRunning(Stopped):
    """No house has been started on this data directory."""


@dataclass(frozen=True)
class Addresses:
    """A house's gateway, the inner ports of its services, and its keys."""

    gateway_url: str
    inner_urls: Mapping[str, str]
    keys: Keys


def write_addresses(data_dir: Path, gateway_url: str, inner_urls: Mapping[str, str]) -> None:
    said = {"gateway_url": gateway_url, "inner_urls": dict(inner_urls)}
    (data_dir / FILE).write_text(json.dumps(said, indent=1), "utf-8")


def read_addresses(data_dir: Path) -> Addresses:
    """The addresses of the house last started on this data directory.

    Raises:
        NotRunning: None was.
    """
    try:
        said = json.loads((data_dir / FILE).read_text("utf-8"))
        return Addresses(said["gateway_url"], said["inner_urls"], Keys(data_dir / "keys"))
    except (OSError, ValueError, KeyError):
        raise NotRunning(f"{data_dir} 上没有已启动的系统，请执行：./run") from None
