from datetime import date
from importlib.resources import files
from pathlib import Path
from typing import get_args

import pytest

from energy_trade.policy import Asset, Policy, ShutdownCase, policy_on
from marketkit.policy import PolicyBroken, PolicyDateTooEarly, load_versions

SOURCE = files("energy_trade.policy").joinpath("2022-01-01.toml").read_text("utf-8")


def with_change(folder: Path, find: str, put: str) -> Path:
    assert find in SOURCE
    (folder / "2022-01-01.toml").write_text(SOURCE.replace(find, put), "utf-8")
    return folder


def test_the_rules_of_2022_begin_with_its_first_day() -> None:
    assert policy_on(date(2022, 1, 1)).version.startswith("2022-01-01+")
    with pytest.raises(PolicyDateTooEarly):
        policy_on(date(2021, 12, 31))


@pytest.mark.article("art. 4")
def test_every_row_of_the_split_makes_the_whole() -> None:
    for case in get_args(ShutdownCase):
        for asset in get_args(Asset):
            row = policy_on(date(2022, 1, 1)).shutdown_split.value[case][asset]
            assert row.province + row.city + row.county == 10_000


@pytest.mark.article("art. 4")
def test_the_register_is_the_plans() -> None:
    register = policy_on(date(2022, 1, 1)).unit_register
    assert (register.count.value, register.capacity.value) == (18, 1_203_000)
    assert (register.unit_capacity_below.value, register.retired_by.value) == (
        300_000,
        date(2025, 12, 31),
    )


@pytest.mark.article("art. 5")
def test_what_the_plan_leaves_open_is_marked_as_configuration() -> None:
    sale = policy_on(date(2022, 1, 1)).sale
    for name in type(sale).model_fields:
        rule = getattr(sale, name)
        assert rule.article == "art. 5"
        assert rule.note.startswith("local practice, configuration"), name


@pytest.mark.article("art. 5")
def test_no_floor_may_be_set_below_the_base_price() -> None:
    sale = policy_on(date(2022, 1, 1)).sale
    assert {asset: bounds.least for asset, bounds in sale.floor_price.value.items()} == (
        sale.base_price.value
    )
    assert sale.base_price.value["ENERGY"] == 20_000


@pytest.mark.article("art. 5")
def test_a_deposit_is_ten_to_thirty_percent() -> None:
    ratio = policy_on(date(2022, 1, 1)).sale.deposit_ratio.value
    assert (ratio.least, ratio.usual, ratio.most) == (1_000, 2_000, 3_000)


@pytest.mark.parametrize(
    ("find", "put"),
    [
        ("province = 10000", "province = 9999"),
        ("[shutdown_split.value.IN_CITY]", "[shutdown_split.value.IN_TOWN]"),
        ("COAL   = { province = 0,", "COKE = { province = 0,"),
        ('compensated = ["city"]', 'compensated = ["town"]'),
        ("least = 1000, usual = 2000", "least = 3000, usual = 2000"),
        ('least = "150.00"', 'least = "1500.01"'),
        ('"TIME"', '"LUCK"'),
        ("value = 18", "value = 18.0"),
        ("value = 18", 'value = "18"'),
        ("retired_by", "retire_by"),
    ],
)
def test_a_wrong_file_stops_the_start(tmp_path: Path, find: str, put: str) -> None:
    with pytest.raises(PolicyBroken):
        load_versions(with_change(tmp_path, find, put), Policy)


def test_a_split_without_one_of_its_cases_stops_the_start(tmp_path: Path) -> None:
    begin = SOURCE.index("[shutdown_split.value.IN_CITY]")
    end = SOURCE.index("[unit_register.count]")
    with pytest.raises(PolicyBroken, match="every case"):
        load_versions(with_change(tmp_path, SOURCE[begin:end], ""), Policy)
