import hashlib
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from marketkit.policy import (
    PolicyBroken,
    PolicyDateTooEarly,
    PolicyVersion,
    Rule,
    in_force,
    load_versions,
)
from marketkit.units import Kgce, QuantityTce


class Law(PolicyVersion):
    pool: Rule[QuantityTce]
    share: Rule[Decimal]


def write(folder: Path, day: str, pool: str = "780000", *, named: str = "", more: str = "") -> Path:
    folder.mkdir(exist_ok=True)
    file = folder / f"{named or day}.toml"
    file.write_text(
        f"effective = {day}\n{more}\n"
        f'[pool]\nvalue = "{pool}"\nunit = "tce"\narticle = "art. 3"\n'
        '[share]\nvalue = 0.15\nunit = "1"\narticle = "art. 5"\nnote = "of the offer"\n'
    )
    return file


def test_a_version_is_its_day_and_the_digest_of_its_bytes(tmp_path: Path) -> None:
    file = write(tmp_path, "2022-01-01")
    (law,) = load_versions(tmp_path, Law)
    assert law.version == "2022-01-01+" + hashlib.sha256(file.read_bytes()).hexdigest()[:8]
    assert law.effective == date(2022, 1, 1)


def test_a_value_comes_exact_in_minor_units_with_its_article(tmp_path: Path) -> None:
    write(tmp_path, "2022-01-01")
    (law,) = load_versions(tmp_path, Law)
    assert law.pool.value == Kgce(780_000_000)
    assert (law.pool.article, law.pool.unit) == ("art. 3", "tce")
    assert law.share.value == Decimal("0.15")


def test_the_day_selects_the_version(tmp_path: Path) -> None:
    write(tmp_path, "2022-01-01", "1")
    write(tmp_path, "2023-07-01", "2")
    versions = load_versions(tmp_path, Law)

    def pool_on(day: date) -> int:
        return in_force(versions, day).pool.value

    assert pool_on(date(2022, 1, 1)) == 1_000
    assert pool_on(date(2023, 6, 30)) == 1_000
    assert pool_on(date(2023, 7, 1)) == 2_000


def test_a_region_with_rules_of_its_own_goes_by_them(tmp_path: Path) -> None:
    write(tmp_path, "2022-01-01", "1")
    write(tmp_path, "2024-01-01", "3")
    write(tmp_path / "370502", "2023-01-01", "2")
    versions = load_versions(tmp_path, Law)

    def pool_on(day: date, region: str | None) -> int:
        return in_force(versions, day, region).pool.value

    assert pool_on(date(2022, 6, 1), "370502") == 1_000
    assert pool_on(date(2023, 1, 1), "370502") == 2_000
    assert pool_on(date(2024, 1, 1), "370502") == 2_000
    assert pool_on(date(2024, 1, 1), "370503") == 3_000
    assert pool_on(date(2023, 1, 1), None) == 1_000


def test_a_day_before_the_first_file_is_malformed(tmp_path: Path) -> None:
    write(tmp_path, "2022-01-01")
    with pytest.raises(PolicyDateTooEarly) as refused:
        in_force(load_versions(tmp_path, Law), date(2021, 12, 31))
    assert (refused.value.code, refused.value.status) == ("INPUT_INVALID", 422)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("[shaer]\nvalue = 1\n", "shaer"),
        ('version = "2022-01-01+00000000"\n', "version"),
        ("not toml", "toml"),
    ],
)
def test_a_file_that_says_something_else_stops_the_start(
    tmp_path: Path, wrong: str, said: str
) -> None:
    write(tmp_path, "2022-01-01", more=wrong)
    with pytest.raises(PolicyBroken, match=said):
        load_versions(tmp_path, Law)


@pytest.mark.parametrize(
    ("find", "put", "said"),
    [
        ('article = "art. 3"\n', "", "article"),
        ('unit = "tce"\n', "", "unit"),
        ('value = "780000"', "value = 780000", "pool"),
        ('value = "780000"', 'value = "780000.0001"', "pool"),
        ("note =", "notes =", "notes"),
        ("effective = 2022-01-01", "", "effective"),
        ("[share]", "[other]", "share"),
    ],
)
def test_a_missing_misspelt_or_ill_typed_key_stops_the_start(
    tmp_path: Path, find: str, put: str, said: str
) -> None:
    file = write(tmp_path, "2022-01-01")
    changed = file.read_text().replace(find, put)
    assert changed != file.read_text()
    file.write_text(changed)
    with pytest.raises(PolicyBroken, match=said):
        load_versions(tmp_path, Law)


def test_name_and_effective_day_must_agree(tmp_path: Path) -> None:
    write(tmp_path, "2022-01-01", named="2022-01-02")
    with pytest.raises(PolicyBroken, match="differ"):
        load_versions(tmp_path, Law)


def test_a_misnamed_file_stops_the_start(tmp_path: Path) -> None:
    write(tmp_path, "2022-01-01")
    write(tmp_path, "2022-01-01", named="draft")
    with pytest.raises(PolicyBroken, match="name"):
        load_versions(tmp_path, Law)


def test_a_folder_without_common_rules_stops_the_start(tmp_path: Path) -> None:
    write(tmp_path / "370502", "2022-01-01")
    with pytest.raises(PolicyBroken, match="no policy file"):
        load_versions(tmp_path, Law)
