import shutil
from pathlib import Path

from lab.canaries import files_under


def test_what_is_wiped_while_it_is_looked_through_ends_no_look(tmp_path: Path) -> None:
    for name in ("kept", "wiped"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    for name in ("one", "other"):
        (tmp_path / name).write_text(name)
    files = files_under(tmp_path)
    first, content = next(files)
    assert first.name == content.decode()
    (tmp_path / ({"one", "other"} - {first.name}).pop()).unlink()
    shutil.rmtree(tmp_path / "wiped")
    assert list(files) == [(tmp_path / "kept" / "file", b"kept")]
