import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from statistics import median

import pytest

from tidy.tree import (
    ROOT,
    Function,
    files_of_tests,
    functions,
    line_count,
    module_path,
    parsed,
    place,
    sources,
)

NAMES_BANNED = {
    "utils.py",
    "helpers.py",
    "common.py",
    "constants.py",
    "base.py",
    "types.py",
    "schemas.py",
    "models.py",
    "crud.py",
    "services.py",
    "exceptions.py",
}
MARKETKIT = [file for file in sources() if module_path(file).parts[0] == "marketkit"]


def length(function: Function) -> int:
    assert function.end_lineno is not None
    return function.end_lineno - function.lineno + 1


def ninth_decile(numbers: Iterable[int]) -> int:
    ordered = sorted(numbers)
    return ordered[len(ordered) * 9 // 10]


def parameter_count(function: Function) -> int:
    given = function.args
    named = [*given.posonlyargs, *given.args, *given.kwonlyargs]
    return sum(parameter.arg not in {"self", "cls"} for parameter in named)


def annotations(file: Path) -> Iterator[tuple[str, ast.expr]]:
    """What each annotation is of, and the annotation."""
    for node in ast.walk(parsed(file)):
        if isinstance(node, ast.arg) and node.annotation:
            yield node.arg, node.annotation
        elif isinstance(node, ast.AnnAssign):
            yield ast.unparse(node.target), node.annotation
        elif isinstance(node, Function) and node.returns:
            yield node.name, node.returns


def is_float(annotation: ast.expr) -> bool:
    return any(isinstance(node, ast.Name) and node.id == "float" for node in ast.walk(annotation))


def catches_all(node: ast.AST) -> bool:
    if not isinstance(node, ast.ExceptHandler):
        return False
    caught = ast.unparse(node.type) if node.type else "BaseException"
    return bool(re.search(r"\b(Base)?Exception\b", caught))


def calls(file: Path, *names: str) -> list[str]:
    return [
        place(file, node)
        for node in ast.walk(parsed(file))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in names
    ]


def lines_with(files: Iterable[Path], pattern: str) -> list[str]:
    found = re.compile(pattern)
    return [
        f"{place(file)}:{number}"
        for file in files
        for number, line in enumerate(file.read_text("utf-8").splitlines(), 1)
        if found.search(line)
    ]


def test_there_is_something_to_read() -> None:
    assert len(sources()) > 20
    assert ROOT / "libs/marketkit/src/marketkit/units.py" in sources()


def test_functions_are_short() -> None:
    lengths = [length(function) for file in sources() for function in functions(file)]
    assert median(lengths) <= 8
    assert ninth_decile(lengths) <= 30


def test_no_function_is_longer_than_50_lines() -> None:
    assert not [
        f"{place(file, function)} {function.name}: {length(function)}"
        for file in sources()
        for function in functions(file)
        if length(function) > 50
    ]


def test_no_function_has_more_than_seven_parameters() -> None:
    # A command's parameters are what a person may type: as many as the command has options.
    assert not [
        f"{place(file, function)} {function.name}: {parameter_count(function)}"
        for file in sources()
        for function in functions(file)
        if parameter_count(function) > 7 and module_path(file) != Path(f"yaosu/{function.name}.py")
    ]


def test_files_are_short() -> None:
    assert ninth_decile(line_count(file) for file in sources()) <= 250
    assert not [place(file) for file in sources() if line_count(file) > 400]


def test_marketkit_stays_small() -> None:
    assert sum(line_count(file) for file in MARKETKIT) <= 6_400
    assert not [place(file) for file in MARKETKIT if line_count(file) > 350]


def test_a_service_starts_in_40_lines() -> None:
    mains = [file for file in sources() if file.name == "main.py" and "services" in file.parts]
    assert not [place(file) for file in mains if line_count(file) > 40]


def test_a_service_is_at_most_sixteen_features() -> None:
    for package in ROOT.glob("services/*/src/*"):
        folders = {folder.name for folder in package.iterdir() if folder.is_dir()}
        assert len(folders - {"policy", "__pycache__"}) <= 16


def test_no_file_has_a_name_that_attracts_everything() -> None:
    assert not [place(file) for file in sources() if file.name in NAMES_BANNED]


def test_only_seconds_are_floats() -> None:
    assert not [
        f"{place(file, annotation)} {name}"
        for file in sources()
        for name, annotation in annotations(file)
        if is_float(annotation) and not name.endswith(("_s", "_seconds"))
    ]


def test_only_the_worker_loop_and_the_last_door_catch_everything() -> None:
    allowed = {Path("marketkit/worker.py"), Path("marketkit/web.py")}
    assert not [
        place(file, node)
        for file in sources()
        if module_path(file) not in allowed
        for node in ast.walk(parsed(file))
        if catches_all(node)
    ]


def test_only_the_transaction_commits() -> None:
    allowed = {Path("marketkit/db.py"), Path("marketkit/migrations.py")}
    others = [file for file in sources() if module_path(file) not in allowed]
    assert not [found for file in others for found in calls(file, "commit", "rollback")]


def test_nothing_is_left_for_later() -> None:
    assert not lines_with(sources(), r"\b(TODO|FIXME|XXX)\b")


def test_each_escape_from_the_type_checker_has_a_code_and_a_reason() -> None:
    here = Path(__file__)
    others = [file for file in (*sources(), *files_of_tests()) if file != here]
    assert not lines_with(others, r"# type: ignore(?!\[[a-z-, ]+\]  # \S)")


def test_no_test_patches_the_code() -> None:
    assert not [
        place(file, node)
        for file in files_of_tests()
        for node in ast.walk(parsed(file))
        if (isinstance(node, ast.ImportFrom) and str(node.module).startswith("unittest"))
        or (isinstance(node, ast.Import) and any("mock" in name.name for name in node.names))
    ]


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("try: ...\nexcept Exception: ...", True),
        ("try: ...\nexcept (ValueError, Exception): ...", True),
        ("try: ...\nexcept: ...", True),
        ("try: ...\nexcept ValueError: ...", False),
    ],
)
def test_what_counts_as_catching_everything(code: str, found: bool) -> None:
    assert any(catches_all(node) for node in ast.walk(ast.parse(code))) is found


@pytest.mark.parametrize(
    ("code", "found"), [("float", True), ("list[float]", True), ("int", False)]
)
def test_what_counts_as_a_float(code: str, found: bool) -> None:
    assert is_float(ast.parse(code, mode="eval").body) is found
