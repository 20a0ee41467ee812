"""The catalogue of planted faults: each is there, can be planted, and is nowhere but here."""

import subprocess
import sys
from pathlib import Path

import pytest

from lab.plans import PLANS
from lab.planting import Edit, PlantStale, edited, source_of
from lab.plants import PLANTS

ROOT = Path(__file__).parents[2]
WANTED = 21


def test_none_is_missing() -> None:
    assert len(PLANTS) == WANTED


@pytest.mark.parametrize("name", PLANTS)
def test_a_plant_stands_in_the_source_of_today(name: str) -> None:
    plant = PLANTS[name]
    assert plant.about
    assert plant.caught_by
    assert plant.plan in PLANS
    assert plant.edits or plant.database or plant.plan == "restore"
    for module in {edit.module for edit in plant.edits}:
        source = source_of(module)
        changed = edited(module, source, plant.edits)
        assert changed != source
        compile(changed, module, "exec")


def test_a_stale_plant_is_an_error() -> None:
    with pytest.raises(PlantStale):
        edited("marketkit.db", "nothing of the kind", [Edit("marketkit.db", "something", "")])


def test_a_planted_process_has_the_fault_and_others_have_not() -> None:
    asked = "import marketkit.batch as b; print('stored_or_claimed' in b.execute.__code__.co_names)"
    plain = subprocess.run(
        [sys.executable, "-c", asked], capture_output=True, text=True, check=True
    )
    planted = subprocess.run(
        [sys.executable, "-c", "from lab.planting import plant; from lab.plants import PLANTS; "
         f"plant(PLANTS['no-dedupe'].edits); {asked}"],
        capture_output=True, text=True, check=True, env={"PYTHONPATH": str(ROOT / "tests")},
    )  # fmt: skip
    assert (plain.stdout.strip(), planted.stdout.strip()) == ("True", "False")


def test_what_is_shipped_holds_no_plant_and_names_none() -> None:
    """A wheel is made of a package's `src` alone, an image of `libs` and `services` alone."""
    shipped = [
        file
        for folder in ("libs", "services", "cli")
        for file in (ROOT / folder).rglob("*")
        if file.is_file() and file.suffix in {".py", ".toml", ".sql"}
    ]
    assert len(shipped) > 150
    for file in shipped:
        text = file.read_text("utf-8")
        assert "lab.plant" not in text, file
        assert not [name for name in PLANTS if f'"{name}"' in text], file
        assert file.name not in {"plants.py", "planting.py", "nursery.py"}
    ignored = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    assert [line for line in ignored if line.startswith(("*", "!"))][:4] == [
        "*",
        "!libs",
        "!services",
        "!requirements",
    ]
