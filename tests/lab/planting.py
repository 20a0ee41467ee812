"""How a fault is planted: a module's source is another as one process of the lab imports it.

A text that is to be replaced and does not stand there exactly once is an error: a plant cannot go
stale unseen.
"""

import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import NamedTuple


class PlantStale(Exception):
    """What a plant replaces is not there, or there more than once."""


class Edit(NamedTuple):
    """One text of a module's source, and what stands in its place."""

    module: str
    old: str
    new: str


@dataclass(frozen=True)
class Plant:
    """A fault, which guarantees' checks must see it, and under which plan.

    Args:
        about: What is wrong.
        caught_by: The guarantees one of which must be red.
        edits: What of the product's source is another in the processes of the lab.
        statements: For a service's database after its migration: constraints that would hide it.
        database: More options of PostgreSQL's command line.
    """

    name: str
    about: str
    caught_by: tuple[str, ...]
    plan: str
    edits: tuple[Edit, ...] = ()
    statements: Mapping[str, Sequence[str]] = field(default_factory=dict)
    database: Sequence[str] = ()


def together(several: Iterable[Mapping[str, Sequence[str]]]) -> dict[str, list[str]]:
    """The statements of several plants, by service."""
    found: dict[str, list[str]] = {}
    for statements in several:
        for name, said in statements.items():
            found.setdefault(name, []).extend(said)
    return found


def edited(module: str, source: str, edits: Sequence[Edit]) -> str:
    """A module's source with its edits made.

    Raises:
        PlantStale: A text does not stand there exactly once.
    """
    for edit in edits:
        if edit.module != module:
            continue
        if source.count(edit.old) != 1:
            raise PlantStale(f"{module}: {source.count(edit.old)} times:\n{edit.old}")
        source = source.replace(edit.old, edit.new)
    return source


def source_of(module: str) -> str:
    """The source of a module as it stands in the checkout."""
    spec = importlib.util.find_spec(module)
    assert spec is not None
    assert isinstance(spec.loader, importlib.machinery.SourceFileLoader)
    found = spec.loader.get_source(module)
    assert found is not None
    return found


class _Loader(importlib.machinery.SourceFileLoader):
    """Loads a module as its edits make it; no byte code of it is kept."""

    edits: Sequence[Edit] = ()

    def exec_module(self, module: ModuleType) -> None:
        text = edited(module.__name__, self.get_data(self.path).decode("utf-8"), self.edits)
        exec(compile(text, self.path, "exec"), module.__dict__)


class _Finder(importlib.abc.MetaPathFinder):
    def __init__(self, edits: Sequence[Edit]) -> None:
        self._edits = edits
        self._modules = {edit.module for edit in edits}

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname not in self._modules:
            return None
        found = importlib.machinery.PathFinder.find_spec(fullname, path)
        if found is None or found.origin is None:
            return None
        loader = _Loader(fullname, found.origin)
        loader.edits = self._edits
        return importlib.util.spec_from_file_location(fullname, found.origin, loader=loader)


def plant(edits: Sequence[Edit]) -> None:
    """From now on this process imports the product with these edits made."""
    loaded = {edit.module for edit in edits} & sys.modules.keys()
    assert not loaded, f"imported before it could be planted: {loaded}"
    sys.meta_path.insert(0, _Finder(edits))
