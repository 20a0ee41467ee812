"""The programs of `deploy/`, which belong to no package."""

import importlib.util
import sys
from functools import cache
from pathlib import Path
from types import ModuleType

DEPLOY = Path(__file__).parents[2] / "deploy"


@cache
def program(*path: str) -> ModuleType:
    """A program, loaded from its file."""
    file = DEPLOY.joinpath(*path)
    spec = importlib.util.spec_from_file_location(f"deploy_{file.stem}", file)
    assert spec
    assert spec.loader
    found = importlib.util.module_from_spec(spec)
    # A dataclass looks its module up by name.
    sys.modules[spec.name] = found
    spec.loader.exec_module(found)
    return found
