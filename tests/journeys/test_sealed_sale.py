"""The whole story, from the first document to evidence anyone can check, over real processes."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from brokers import Broker
from folds import check_answers, events, owned_states, until_the_board_is_the_fold
from yaosu.demo import play
from yaosu.stack import Stack

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture
async def house(broker: Broker, tmp_path: Path) -> AsyncIterator[Stack]:
    async with Stack(tmp_path / "data", kafka_servers=broker.servers) as stack:
        yield stack


async def test_a_sealed_sale_from_announcement_to_evidence(house: Stack) -> None:
    await play(house.gateway_url, house.inner_urls, house.data_dir, house.keys)
    await until_the_board_is_the_fold(house)
    assert set(owned_states(house).values()) == {"ARCHIVED"}
    assert check_answers(house, house.data_dir / "demo" / "sent") > 40
    before = [event["id"] for event in events(house, "energy")]
    # The second time nothing is done again, and the same is shown.
    await play(house.gateway_url, house.inner_urls, house.data_dir, house.keys)
    assert [event["id"] for event in events(house, "energy")] == before
