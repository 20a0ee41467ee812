"""`yaosu lab` runs what lies beside the tests; where there are none it says so."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import yaosu

PACKAGE = Path(yaosu.__file__).parent
CALL = "from yaosu.main import main; main()"


def lab(*options: str, path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", CALL, "lab", *options],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(path)},
    )


def test_an_installed_package_has_no_lab(tmp_path: Path) -> None:
    shutil.copytree(PACKAGE, tmp_path / "site" / "cli" / "src" / "yaosu")
    ended = lab(path=tmp_path / "site" / "cli" / "src")
    assert ended.returncode == 1
    assert "needs a checkout" in ended.stderr


def test_a_plan_that_is_none_is_said_with_those_there_are() -> None:
    ended = lab("--plan", "P99", path=PACKAGE.parent)
    assert ended.returncode == 2
    assert "P0" in ended.stderr
