"""The demonstration: the plan's own facts, played through the gateway's public API."""

from pathlib import Path

from yaosu.addresses import read_addresses
from yaosu.demo.play import play
from yaosu.options import DATA_DIR, DataDir, done

__all__ = ["demo", "play"]


def demo(data_dir: DataDir = DATA_DIR) -> None:
    """在已启动的系统上播放演示；再次播放不增加任何事实。"""

    async def work() -> None:
        house = read_addresses(Path(data_dir))
        await play(house.gateway_url, house.inner_urls, data_dir, house.keys)

    done(work())
