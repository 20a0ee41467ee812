"""The code base as these tests read it: files, syntax trees, functions."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
MIGRATIONS = {"migrations", "revisions"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


@cache
def sources() -> tuple[Path, ...]:
    """Every Python file of the product; a migration is a list of statements, and long."""
    roots = [*ROOT.glob("libs/*/src"), *ROOT.glob("services/*/src"), ROOT / "cli" / "src"]
    files = (file for root in roots for file in root.rglob("*.py"))
    return tuple(sorted(file for file in files if not MIGRATIONS & set(file.parts)))


@cache
def files_of_tests() -> tuple[Path, ...]:
    return tuple(sorted((ROOT / "tests").rglob("*.py")))


@cache
def parsed(file: Path) -> ast.Module:
    return ast.parse(file.read_text("utf-8"), str(file))


def functions(file: Path) -> Iterator[Function]:
    for node in ast.walk(parsed(file)):
        if isinstance(node, Function):
            yield node


def place(file: Path, node: ast.AST | None = None) -> str:
    """Where something stands, as one may click it."""
    line = f":{node.lineno}" if node is not None and hasattr(node, "lineno") else ""
    return f"{file.relative_to(ROOT)}{line}"


def module_path(file: Path) -> Path:
    """A source file's path from its package on: `energy_trade/pool/rules.py`."""
    parts = file.relative_to(ROOT).parts
    return Path(*parts[parts.index("src") + 1 :])


def line_count(file: Path) -> int:
    return len(file.read_text("utf-8").splitlines())
