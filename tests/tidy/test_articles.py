"""The register of articles: listed, cited, tested; and the table that proves it."""

import ast
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tidy.tree import ROOT, files_of_tests, functions, module_path, parsed, place, sources

DOCUMENTS = ROOT / "docs" / "policy"
TABLE = ROOT / ".yaosu" / "reports" / "articles.md"
ARTICLE = re.compile(r"(?:\S.* )?art\. \d+(?:\(\d+\))*")
# Where the sale's own terms decide, a refusal says so instead of naming a document.
NOTICE = "notice"
UNITS = {"1", "bp", "day", "kW", "tce", "yuan", "yuan per tce or t"}


@dataclass(frozen=True)
class Value:
    """One rule of a policy file."""

    path: tuple[str, ...]
    shown: str
    unit: str
    article: str


def listed() -> dict[str, Path]:
    """Each article in use, with the page that tells it."""
    documents = tomllib.loads((DOCUMENTS / "documents.toml").read_text("utf-8"))
    return {
        f"{document['cited_as']} {article}".strip(): DOCUMENTS / document["described_in"]
        for document in documents.values()
        for article in document["articles"]
    }


def rules_in(table: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, inner in table.items():
        if isinstance(inner, dict):
            yield from [(*path, name)] if "article" in inner else rules_in(inner, (*path, name))


def values() -> list[Value]:
    found = []
    for file in sorted(ROOT.glob("services/*/src/*/policy/**/*.toml")):
        table = tomllib.loads(file.read_text("utf-8"))
        for path in rules_in(table):
            rule: Any = table
            for name in path:
                rule = rule[name]
            found.append(Value(path, str(rule["value"]), rule["unit"], rule["article"]))
    return found


def cited_in_code() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for file in sources():
        for node in ast.walk(parsed(file)):
            said = node.value if isinstance(node, ast.Constant) else None
            if isinstance(said, str) and ARTICLE.fullmatch(said):
                found.setdefault(said, set()).add(place(file, node))
    return found


def is_mark(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.article"


def marks_of(node: ast.AST) -> list[str]:
    return [
        argument.value
        for call in ast.walk(node)
        if isinstance(call, ast.Call) and is_mark(call)
        for argument in call.args
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str)
    ]


def marked() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for file in files_of_tests():
        for function in functions(file):
            for decorator in function.decorator_list:
                for article in marks_of(decorator):
                    found.setdefault(article, set()).add(f"{place(file)}::{function.name}")
    return found


def users_of(path: tuple[str, ...]) -> list[str]:
    """Functions that read a rule: every name of its path stands in them as an attribute."""
    found = []
    for file in sources():
        if "policy" in module_path(file).parts:
            continue
        for function in functions(file):
            read = {node.attr for node in ast.walk(function) if isinstance(node, ast.Attribute)}
            if set(path) <= read:
                found.append(f"{'.'.join(module_path(file).with_suffix('').parts)}.{function.name}")
    return found


def gaps(listed: set[str], cited: set[str], tested: set[str]) -> dict[str, set[str]]:
    return {
        "cited but absent from documents.toml": cited - listed - {NOTICE},
        "tested but absent from documents.toml": tested - listed - {NOTICE},
        "listed but cited nowhere": listed - cited,
        "listed but tested nowhere": listed - tested,
    }


def table() -> str:
    """Per article: each value with the functions that read it, then the tests that hold it."""
    ruled, tests = values(), marked()
    lines = ["# Article, value, function, tests"]
    for article in sorted(listed()):
        lines += ["", f"## {article}", "", "| rule | value | functions |", "|---|---|---|"]
        for value in (one for one in ruled if one.article == article):
            users = "<br>".join(users_of(value.path))
            lines.append(f"| {'.'.join(value.path)} | {value.shown} {value.unit} | {users} |")
        lines += ["", *(f"- {test}" for test in sorted(tests[article]))]
    return "\n".join(lines) + "\n"


def test_every_article_is_listed_cited_and_tested() -> None:
    cited = {value.article for value in values()} | set(cited_in_code())
    found = gaps(set(listed()), cited, set(marked()))
    assert not {what: articles for what, articles in found.items() if articles}


def test_every_article_is_told_on_its_page() -> None:
    for article, page in listed().items():
        number = article[article.index("art. ") :]
        assert re.search(rf"^## {re.escape(number)}\b", page.read_text("utf-8"), re.MULTILINE), page


def test_every_value_has_a_unit_we_know() -> None:
    assert {value.unit for value in values()} <= UNITS


def test_every_page_belongs_to_a_document() -> None:
    assert set(DOCUMENTS.glob("*.md")) == set(listed().values())


def test_the_table_article_value_function_tests_is_written() -> None:
    TABLE.parent.mkdir(parents=True, exist_ok=True)
    TABLE.write_text(table(), "utf-8")
    written = TABLE.read_text("utf-8")
    assert "energy_trade.shutdowns.rules.split_shutdown" in written
    assert "energy_trade.pool.rules.check_assignment" in written


@pytest.mark.parametrize(
    ("listed", "cited", "tested", "gap"),
    [
        ({"art. 1"}, {"art. 1", "art. 2"}, {"art. 1"}, "cited but absent from documents.toml"),
        ({"art. 1"}, {"art. 1"}, {"art. 1", "art. 2"}, "tested but absent from documents.toml"),
        ({"art. 1"}, {NOTICE}, {"art. 1"}, "listed but cited nowhere"),
        ({"art. 1"}, {"art. 1"}, {NOTICE}, "listed but tested nowhere"),
    ],
)
def test_the_register_finds_a_gap(
    listed: set[str], cited: set[str], tested: set[str], gap: str
) -> None:
    assert [what for what, articles in gaps(listed, cited, tested).items() if articles] == [gap]


@pytest.mark.parametrize("text", ["art. 6", "鲁政办字〔2022〕100号 art. 6", "Rules art. 23(2)"])
def test_what_reads_as_an_article(text: str) -> None:
    assert ARTICLE.fullmatch(text)
