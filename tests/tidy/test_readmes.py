"""What pages list equals the code: facts, tables, articles, settings, metrics, log lines."""

import ast
import importlib
import pkgutil
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import marketkit.settings
from contracts import catalogue
from marketkit.db import KitTable, Table
from marketkit.errors import Refusal
from marketkit.reactions import Reactions
from saleroom import schema as saleroom_schema
from tidy.pages import coded, first_cells, section, text_of
from tidy.tree import ROOT, module_path, parsed, place, sources

OPERATIONS = ROOT / "docs" / "operations.md"
SALE = ROOT / "docs" / "sale.md"
RULES = ROOT / "deploy" / "prometheus" / "rules.yml"
MARKETS = {
    "energy-trade": "energy",
    "emission-trade": "emission",
    "land-index": "land",
    "gateway": "gateway",
}
# Said of a bid, refused to nobody.
VOID_AT_OPENING = {"DEPOSIT_NOT_CONFIRMED"}
CHINESE = re.compile(r"[\u4e00-\u9fff]")
METRIC = re.compile(r"\byaosu_\w+")
SERVICES = pytest.mark.parametrize("service", MARKETS)


def readme(service: str) -> Path:
    return ROOT / "services" / service / "README.md"


@cache
def modules() -> tuple[ModuleType, ...]:
    """Every module of the product but the programs."""
    names = (".".join(module_path(file).with_suffix("").parts) for file in sources())
    importable = (name for name in names if not name.endswith(("__main__", "alembic.env")))
    return tuple(importlib.import_module(name.removesuffix(".__init__")) for name in importable)


def modules_of(service: str) -> list[ModuleType]:
    package = importlib.import_module(service.replace("-", "_"))
    found = pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    return [importlib.import_module(one.name) for one in found if not one.name.endswith("__main__")]


def subclasses(kind: type[Any]) -> Iterator[type[Any]]:
    """Every subclass that the product defines."""
    modules()
    own = {module_path(file).parts[0] for file in sources()}
    for found in kind.__subclasses__():
        if found.__module__.partition(".")[0] in own:
            yield found
        yield from subclasses(found)


def tables(of: type[Table]) -> dict[str, str]:
    """Each table, with the package whose it is."""
    kinds: Iterator[Any] = subclasses(of)
    return {
        found.__table__.fullname: found.__module__.partition(".")[0]
        for found in kinds
        if hasattr(found, "__table__")
    }


def heard(service: str) -> set[str]:
    reactions = (
        value
        for module in modules_of(service)
        for value in vars(module).values()
        if isinstance(value, Reactions)
    )
    return {kind for one in reactions for kind in one.by_type}


@SERVICES
def test_the_facts_a_service_tells(service: str) -> None:
    listed = [
        code for code in coded(section(readme(service), "Facts told")) if "yaosu." not in code
    ]
    assert len(listed) == len(set(listed))
    assert set(listed) == {fact.kind for fact in catalogue.facts_of(MARKETS[service])}


@SERVICES
def test_the_facts_a_service_hears(service: str) -> None:
    listed = coded(section(readme(service), "Facts heard"))
    assert set(listed) == heard(service)


@SERVICES
def test_the_tables_of_a_service(service: str) -> None:
    package = service.replace("-", "_")
    own = {name for name, owner in tables(Table).items() if owner == package}
    assert set(coded(section(readme(service), "Tables"))) == own


@SERVICES
def test_the_articles_a_service_rests_on(service: str) -> None:
    listed = {
        code for code in coded(section(readme(service), "Policy documents")) if "art. " in code
    }
    files = (ROOT / "services" / service).glob("src/*/policy/**/*.toml")
    ruled = "\n".join(file.read_text("utf-8") for file in files)
    assert listed == set(re.findall(r'^article = "(.+)"$', ruled, re.MULTILINE))


@SERVICES
def test_a_readme_is_one_page(service: str) -> None:
    assert len(readme(service).read_text("utf-8").splitlines()) <= 60


def test_the_tables_every_database_has() -> None:
    rows = section(OPERATIONS, "Database roles").splitlines()
    kit = next(row for row in rows if row.startswith("| marketkit"))
    room = next(row for row in rows if row.startswith("| saleroom"))
    owned = {name for name, owner in tables(KitTable).items() if owner == "marketkit"}
    assert set(coded(kit)) == owned
    assert set(coded(room)) == set(tables(saleroom_schema.Table))


def test_every_setting_is_documented() -> None:
    kinds = [marketkit.settings.Settings, *subclasses(marketkit.settings.Settings)]
    fields = {name for kind in kinds for name in getattr(kind, "model_fields")}  # noqa: B009
    in_compose = re.findall(r"\bYAOSU_[A-Z_]+", (ROOT / "docker-compose.yml").read_text("utf-8"))
    listed = first_cells(section(OPERATIONS, "Settings"))
    assert sorted(set(listed)) == sorted(listed)
    assert set(listed) == {f"YAOSU_{name.upper()}" for name in fields} | set(in_compose)


def declared() -> dict[str, str]:
    """Each metric declared in the code, with its place."""
    return {
        node.args[0].value: place(file, node)
        for file in sources()
        for node in ast.walk(parsed(file))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in {"Counter", "Gauge", "Histogram", "Summary"}
        and node.args
        and isinstance(node.args[0], ast.Constant)
        and isinstance(node.args[0].value, str)
    }


def test_every_metric_is_documented() -> None:
    listed = first_cells(section(OPERATIONS, "Metrics"))
    assert sorted(set(listed)) == sorted(listed)
    assert set(listed) == set(declared())


def test_every_metric_is_ours_by_name() -> None:
    assert declared()
    assert not {name: at for name, at in declared().items() if not METRIC.fullmatch(name)}


def test_every_line_of_the_log_is_documented() -> None:
    said = {
        node.args[0].value
        for file in sources()
        for node in ast.walk(parsed(file))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) in {"log.info", "log.warning", "log.error"}
        and isinstance(node.args[0], ast.Constant)
    }
    assert set(first_cells(section(OPERATIONS, "Logs"))) == said


def test_every_refusal_has_its_own_chinese_title_and_code() -> None:
    refusals = list(subclasses(Refusal))
    assert len(refusals) > 20
    assert not [
        found.__qualname__
        for found in refusals
        if not CHINESE.search(str(found.__dict__.get("title", "")))
    ]
    owners: dict[str, set[str]] = {}
    for found in refusals:
        # Who says outright that it answers by another's code is not a second owner of it.
        if found.__dict__["code"] == re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", found.__name__).upper():
            owners.setdefault(str(found.__dict__["code"]), set()).add(found.__module__)
    assert not {code: places for code, places in owners.items() if len(places) > 1}


def test_every_code_an_officer_is_told_of_is_one() -> None:
    found = {str(kind.__dict__["code"]) for kind in subclasses(Refusal)}
    spoken = {
        node.value
        for file in sources()
        for node in ast.walk(parsed(file))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    told = [code for code in coded(text_of(SALE)) if re.fullmatch("[A-Z]+(_[A-Z]+)+", code)]
    assert len(told) > 30
    assert set(told) <= found | spoken | VOID_AT_OPENING


def test_the_articles_of_documents_are_all_a_readme_s() -> None:
    documents = tomllib.loads((ROOT / "docs/policy/documents.toml").read_text("utf-8"))
    told = "\n".join(text_of(readme(service)) for service in MARKETS)
    assert all(name in told for name in documents)
