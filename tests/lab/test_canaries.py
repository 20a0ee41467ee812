import shutil
from pathlib import Path

from lab.canaries import files_under


def test_a_folder_that_is_wiped_while_it_is_looked_through_ends_no_look(tmp_path: Path) -> None:
    for name in ("kept", "wiped"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").touch()
    (tmp_path / "first").touch()
    files = files_under(tmp_path)
    assert next(files) == tmp_path / "first"
    shutil.rmtree(tmp_path / "wiped")
    assert list(files) == [tmp_path / "kept" / "file"]
