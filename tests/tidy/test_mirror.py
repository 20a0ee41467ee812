from pathlib import Path

import pytest

from tidy.tree import ROOT, files_of_tests, module_path, sources

FEATURE_FILES = {"rules.py", "actions.py", "routes.py", "reactions.py", "tables.py"}
MODULES = {module_path(file) for file in sources()}
TESTS = {file.relative_to(ROOT / "tests") for file in files_of_tests()}


def mirrored(module: Path) -> Path:
    return module.with_name(f"test_{module.name}")


RULES = sorted(module for module in MODULES if module.name == "rules.py")


def test_there_are_rules() -> None:
    assert Path("energy_trade/shutdowns/rules.py") in RULES


@pytest.mark.parametrize("module", RULES, ids=str)
def test_every_rules_module_is_tested_at_its_mirrored_path(module: Path) -> None:
    assert mirrored(module) in TESTS


def test_every_test_of_a_feature_file_has_its_module() -> None:
    tested = {
        test.with_name(test.name.removeprefix("test_"))
        for test in TESTS
        if test.name.removeprefix("test_") in FEATURE_FILES
    }
    assert tested <= MODULES
